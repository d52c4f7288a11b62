"""Memory access inside a region: the TLB only. A miss raises, and the region's exit for that
segment hands the instruction to the interpreter, which does what `isa.access` says.

`load_checked` and `store_checked` are for accesses whose page was found already, with others;
`load_anyhow` and `store_anyhow` for those that were seen to leave often.
"""

from __future__ import annotations

from ringzero.engine.native.state import READS, WRITES, core_of
from ringzero.engine.native.translation.physical import atomically
from ringzero.engine.native.translation.tlb import (
    PAGE_MASK,
    entry_for,
    store_to_code_page,
    within_page,
)
from ringzero.isa.hart import NO_RESERVATION, Hart
from ringzero.isa.privileged.trap import Trap
from ringzero.lang import (
    Fixed,
    Struct,
    compare_exchange,
    likely,
    native,
    peek,
    poke,
    ptr,
    read_acquire,
    read_once,
    reinterpret,
    u8,
    u64,
    unlikely,
    write_once,
)


@native(inline=True)
def missed() -> Trap:
    """Nothing to record: the interpreter starts the instruction anew."""
    return Trap()


@native(inline=True)
def place(hart: Hart, table: int, kind: type[Fixed], address: u64) -> u64:
    """Where in RAM a table says an address lies."""
    entry = entry_for(core_of(hart), table, address)
    if unlikely(entry.tag != address & (PAGE_MASK | (kind.bits // 8 - 1))):
        raise missed()
    return address + entry.offset


@native(inline=True)
def load(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """See `isa.access.load`."""
    where = place(hart, READS, kind, address)
    return u64(read_once(kind, core_of(hart).memory, where))


@native(inline=True)
def store(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """See `isa.access.store`. A store to a page of code, but to none of it, stays in the region."""
    entry = entry_for(core_of(hart), WRITES, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        write_once(kind, core_of(hart).memory, address + entry.offset, kind(value))
    elif not store_to_code_page(hart, kind, address, value):
        raise missed()


@native(inline=True)
def load_unaligned(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """`load` for code that was seen to leave: misaligned inside a page, it stays in the region."""
    core = core_of(hart)
    entry = entry_for(core, READS, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        return u64(read_once(kind, core.memory, address + entry.offset))
    if entry.tag != address & PAGE_MASK or not within_page(kind, address):
        raise missed()
    return u64(peek(kind, core.memory, address + entry.offset))


@native(inline=True)
def store_unaligned(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """The same of `store`."""
    core = core_of(hart)
    entry = entry_for(core, WRITES, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        write_once(kind, core.memory, address + entry.offset, kind(value))
    elif entry.tag == address & PAGE_MASK and within_page(kind, address):
        poke(kind, core.memory, address + entry.offset, kind(value))
    elif not store_to_code_page(hart, kind, address, value):
        raise missed()


class FoundPage(Struct):
    """In place of the hart: where a page that was looked up already is."""

    memory: ptr[u8]
    offset: u64


@native(inline=True)
def load_checked(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """See `isa.access.load`."""
    found = reinterpret(FoundPage, hart)
    return u64(read_once(kind, found.memory, address + found.offset))


@native(inline=True)
def store_checked(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """See `isa.access.store`."""
    found = reinterpret(FoundPage, hart)
    write_once(kind, found.memory, address + found.offset, kind(value))


@native(inline=True)
def amo(hart: Hart, operation: str, kind: type[Fixed], address: u64, operand: u64) -> u64:
    """See `isa.access.amo`."""
    where = place(hart, WRITES, kind, address)
    return atomically(core_of(hart), operation, kind, where, operand)


@native(inline=True)
def load_reserved(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """See `isa.access.load_reserved`."""
    where = place(hart, READS, kind, address)
    value = u64(read_acquire(kind, core_of(hart).memory, where))
    hart.reservation = where + core_of(hart).shared[0].ram_base
    hart.reservation_value = value
    return value


@native(inline=True)
def store_conditional(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> u64:
    """See `isa.access.store_conditional`."""
    where = place(hart, WRITES, kind, address)
    reserved = hart.reservation == where + core_of(hart).shared[0].ram_base
    hart.reservation = NO_RESERVATION
    if not reserved:
        return 1
    expected = kind(hart.reservation_value)
    memory = core_of(hart).memory
    return u64(not compare_exchange(kind, memory, where, expected, kind(value)))
