"""Memory access in pieces: as in regions, but for stores. A miss is a side exit to the
interpreter, which does what `isa.access` says; so a piece calls nothing.
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
from ringzero.lang import Fixed, native, u64, write_once

__all__ = ["amo", "load", "load_reserved", "missed", "store", "store_conditional"]


@native(inline=True)
def store(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """See `isa.access.store`. A store to a page of code is a miss."""
    where = place(hart, WRITES, kind, address)
    write_once(kind, core_of(hart).memory, where, kind(value))
