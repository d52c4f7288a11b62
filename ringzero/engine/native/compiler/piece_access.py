"""Memory access in stencils: as in regions, but for stores. A miss gives the instruction to the
interpreter, which does what `isa.access` says; so a stencil calls nothing.
"""

from __future__ import annotations

from ringzero.engine.native.state import READS, WRITES, Core, TlbEntry, core_of
from ringzero.engine.native.translation.checked import (
    amo,
    load,
    load_reserved,
    missed,
    place,
    store_conditional,
)
from ringzero.engine.native.translation.tlb import entry_for
from ringzero.isa.hart import Hart
from ringzero.lang import native, u64, write_once

__all__ = ["amo", "load", "load_reserved", "missed", "store", "store_conditional"]


@native(inline=True)
def store(hart: Hart, kind: type, address: u64, value: u64) -> None:
    """See `isa.access.store`. One beside code is a miss."""
    where = place(hart, WRITES, kind, address)
    write_once(kind, core_of(hart).memory, where, kind(value))


@native(inline=True)
def read_entry(core: Core, address: u64) -> TlbEntry:
    """The read table's entry for an address."""
    return entry_for(core, READS, address)


@native(inline=True)
def write_entry(core: Core, address: u64) -> TlbEntry:
    """The write table's entry for an address."""
    return entry_for(core, WRITES, address)
