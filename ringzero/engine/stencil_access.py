"""Memory access in stencils: the tables only. A miss gives the instruction to the interpreter,
which does what `isa.access` says; so a stencil calls nothing.
"""

from __future__ import annotations

from ringzero.engine.core import READS, WRITES, core_of
from ringzero.engine.tlb import PAGE_MASK, entry_for
from ringzero.isa.hart import NO_RESERVATION, Hart
from ringzero.isa.trap import Trap
from ringzero.lang import atomic, compare_exchange, native, read_once, u64, unlikely, write_once


@native(inline=True)
def missed() -> Trap:
    """Nothing to record: the interpreter starts the instruction anew."""
    return Trap()


@native(inline=True)
def place(hart: Hart, table: int, kind: type, address: u64) -> u64:
    """Where in RAM a table says an address lies."""
    entry = entry_for(core_of(hart), table, address)
    if unlikely(entry.tag != address & (PAGE_MASK | (kind.bits // 8 - 1))):
        raise missed()
    return address + entry.offset


@native(inline=True)
def load(hart: Hart, kind: type, address: u64) -> u64:
    """See `isa.access.load`."""
    where = place(hart, READS, kind, address)
    return u64(read_once(kind, core_of(hart).memory, where))


@native(inline=True)
def store(hart: Hart, kind: type, address: u64, value: u64) -> None:
    """See `isa.access.store`."""
    where = place(hart, WRITES, kind, address)
    write_once(kind, core_of(hart).memory, where, kind(value))


@native(inline=True)
def amo(hart: Hart, operation: str, kind: type, address: u64, operand: u64) -> u64:
    """See `isa.access.amo`."""
    where = place(hart, WRITES, kind, address)
    return u64(atomic(operation, kind, core_of(hart).memory, where, kind(operand)))


@native(inline=True)
def load_reserved(hart: Hart, kind: type, address: u64) -> u64:
    """See `isa.access.load_reserved`."""
    where = place(hart, READS, kind, address)
    value = u64(read_once(kind, core_of(hart).memory, where))
    hart.reservation = where + core_of(hart).shared[0].ram_base
    hart.reservation_value = value
    return value


@native(inline=True)
def store_conditional(hart: Hart, kind: type, address: u64, value: u64) -> u64:
    """See `isa.access.store_conditional`."""
    where = place(hart, WRITES, kind, address)
    reserved = hart.reservation == where + core_of(hart).shared[0].ram_base
    hart.reservation = NO_RESERVATION
    if not reserved:
        return 1
    expected = kind(hart.reservation_value)
    memory = core_of(hart).memory
    return u64(not compare_exchange(kind, memory, where, expected, kind(value)))
