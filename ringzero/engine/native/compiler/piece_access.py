"""Memory access in stencils: as in regions, but for stores. A miss gives the instruction to the
interpreter, which does what `isa.access` says; so a stencil calls nothing.
"""

from __future__ import annotations

from ringzero.engine.native.state import WRITES, core_of
from ringzero.engine.native.translation.checked import (
    amo,
    load,
    load_reserved,
    missed,
    place,
    store_conditional,
)
from ringzero.isa.hart import Hart
from ringzero.lang import native, u64, write_once

__all__ = ["amo", "load", "load_reserved", "missed", "store", "store_conditional"]


@native(inline=True)
def store(hart: Hart, kind: type, address: u64, value: u64) -> None:
    """See `isa.access.store`. One beside code is a miss."""
    where = place(hart, WRITES, kind, address)
    write_once(kind, core_of(hart).memory, where, kind(value))
