"""The TLB, and memory access through it: what native engines bind for `isa.access`.

Direct-mapped tables: read, write, execute, and stores to pages that hold code; a context of four
tables for each address space, mode and SUM (`contexts`, `fences`). A tag is compared with the
address masked so that a misaligned access misses. Pages that hold decoded code, and watched pages,
never enter the write table. The meaning stays `isa.access`'s: a miss runs that text.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import page_number
from ringzero.engine.native.code.code_writes import count_data_store, holds_code
from ringzero.engine.native.code.decoded_pages import INVALID, clear_scratch_slot
from ringzero.engine.native.code.invalidate import come_in, forget_code, is_in
from ringzero.engine.native.code.pages import code_page
from ringzero.engine.native.state import (
    CODE_WRITES,
    EXECUTES,
    NO_PAGE,
    READS,
    TLB_SIZE,
    WRITES,
    Core,
    TlbEntry,
    core_of,
    hart_bit,
)
from ringzero.engine.native.translation.contexts import describe, enter
from ringzero.engine.native.translation.physical import NOWHERE, atomically, backing
from ringzero.engine.native.translation.walks import find_page
from ringzero.isa.hart import NO_RESERVATION, Hart
from ringzero.isa.privileged import access
from ringzero.isa.privileged.access import BLOCK
from ringzero.isa.privileged.paging import Translation
from ringzero.isa.privileged.pmp import EXECUTE, READ, WRITE
from ringzero.isa.privileged.trap import FETCH, LOAD, STORE
from ringzero.lang import (
    Fixed,
    address_of,
    compare_exchange,
    fence,
    likely,
    native,
    original,
    peek,
    poke,
    read_acquire,
    read_once,
    typed_range,
    u64,
    write_once,
)

PAGE_MASK = ~0xFFF

# The definitions as they stand, for where a table misses; bound programs replace the others.
load_definition = original(access.load)
store_definition = original(access.store)
amo_definition = original(access.amo)
load_reserved_definition = original(access.load_reserved)
store_conditional_definition = original(access.store_conditional)
zero_block_definition = original(access.zero_block)


@native(inline=True)
def entry_for(core: Core, table: int, address: u64) -> TlbEntry:
    """The one entry of a table that may hold an address."""
    return core.tlb[((address >> 12) & (TLB_SIZE - 1)) + table]


@native(inline=True)
def load(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """`isa.access.load` with the read table in front."""
    core = core_of(hart)
    entry = entry_for(core, READS, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        return u64(read_once(kind, core.memory, address + entry.offset))
    return load_missed(hart, kind, address)


@native(cold=True)
def load_missed(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """Fill the table if the page may be cached; then load as the definition says.

    A misaligned load inside a page that is cached needs no more than the table.
    """
    core = core_of(hart)
    entry = entry_for(core, READS, address)
    if entry.tag != address & PAGE_MASK:
        fill(core, address, LOAD)
    if entry.tag == address & PAGE_MASK and within_page(kind, address):
        if address & (kind.bits // 8 - 1) == 0:
            return u64(read_once(kind, core.memory, address + entry.offset))
        return u64(peek(kind, core.memory, address + entry.offset))
    return load_definition(hart, kind, address)


@native(inline=True)
def within_page(kind: type[Fixed], address: u64) -> bool:
    """Whether an access does not reach into the next page."""
    return address & 0xFFF <= 4096 - kind.bits // 8


@native(inline=True)
def store(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """`isa.access.store` with the write table in front."""
    core = core_of(hart)
    entry = entry_for(core, WRITES, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        write_once(kind, core.memory, address + entry.offset, kind(value))
    else:
        store_missed(hart, kind, address, value)


@native(cold=True)
def store_to_code_page(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> bool:
    """A store to a page that holds code, at no decoded instruction; False if it is not that."""
    core = core_of(hart)
    entry = entry_for(core, CODE_WRITES, address)
    if entry.tag != address & (PAGE_MASK | (kind.bits // 8 - 1)):
        return False
    shared = core.shared[0]
    where = address + entry.offset
    if shared.pages[where >> 12] == NO_PAGE or holds_code(shared, where, kind.bits // 8):
        return False
    count_data_store(shared, where >> 12)
    write_once(kind, core.memory, where, kind(value))
    if shared.parallel != 0:
        # another hart may have decoded it meanwhile
        forget_code(shared, where, kind.bits // 8, hart_bit(core))
    return True


@native(cold=True)
def store_missed(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """Fill the table if the page may be cached; then store as the definition says."""
    if store_to_code_page(hart, kind, address, value):
        return
    core = core_of(hart)
    entry = entry_for(core, WRITES, address)
    if entry.tag != address & PAGE_MASK:
        fill(core, address, STORE)
    if entry.tag == address & PAGE_MASK and within_page(kind, address):
        if address & (kind.bits // 8 - 1) == 0:
            write_once(kind, core.memory, address + entry.offset, kind(value))
        else:
            poke(kind, core.memory, address + entry.offset, kind(value))
    else:
        store_definition(hart, kind, address, value)


@native(inline=True)
def amo(hart: Hart, operation: str, kind: type[Fixed], address: u64, operand: u64) -> u64:
    """`isa.access.amo` with the write table in front (it holds readable pages only)."""
    core = core_of(hart)
    entry = entry_for(core, WRITES, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        return atomically(core, operation, kind, address + entry.offset, operand)
    return amo_missed(hart, operation, kind, address, operand)


@native(cold=True)
def amo_missed(hart: Hart, operation: str, kind: type[Fixed], address: u64, operand: u64) -> u64:
    """Fill, then the definition."""
    if address & (kind.bits // 8 - 1) == 0:
        fill(core_of(hart), address, STORE)
    return amo_definition(hart, operation, kind, address, operand)


@native(inline=True)
def load_reserved(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """`isa.access.load_reserved` with the read table in front."""
    core = core_of(hart)
    entry = entry_for(core, READS, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        where = address + entry.offset
        value = u64(read_acquire(kind, core.memory, where))
        hart.reservation = where + core.shared[0].ram_base
        hart.reservation_value = value
        return value
    return load_reserved_missed(hart, kind, address)


@native(cold=True)
def load_reserved_missed(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """Fill, then the definition."""
    if address & (kind.bits // 8 - 1) == 0:
        fill(core_of(hart), address, LOAD)
    value = load_reserved_definition(hart, kind, address)
    fence()
    return value


@native(inline=True)
def store_conditional(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> u64:
    """`isa.access.store_conditional` with the write table in front."""
    core = core_of(hart)
    entry = entry_for(core, WRITES, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        where = address + entry.offset
        reserved = hart.reservation == where + core.shared[0].ram_base
        hart.reservation = NO_RESERVATION
        if not reserved:
            return 1
        expected = kind(hart.reservation_value)
        memory = core.memory
        return u64(not compare_exchange(kind, memory, where, expected, kind(value)))
    return store_conditional_missed(hart, kind, address, value)


@native(cold=True)
def store_conditional_missed(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> u64:
    """Fill, then the definition."""
    if address & (kind.bits // 8 - 1) == 0:
        fill(core_of(hart), address, STORE)
    return store_conditional_definition(hart, kind, address, value)


@native
def zero_block(hart: Hart, address: u64) -> None:
    """`isa.access.zero_block` with the write table in front."""
    core = core_of(hart)
    entry = entry_for(core, WRITES, address)
    if likely(entry.tag == address & PAGE_MASK):
        block = (address & ~(BLOCK - 1)) + entry.offset
        for word in typed_range(u64(BLOCK // 8)):
            write_once(u64, core.memory, block + (word << 3), u64(0))
    else:
        fill(core, address, STORE)
        zero_block_definition(hart, address)


@native
def fill(core: Core, address: u64, kind: int) -> None:
    """Translate a page for one kind of access and cache what may be cached."""
    found = Translation()
    find_page(core, address, kind, found)
    page = found.physical & PAGE_MASK
    where = backing(core.shared[0], page, 4096)
    if where == NOWHERE:
        return
    describe(core, address, found)
    tag = address & PAGE_MASK
    if kind == STORE:
        if found.permissions & (READ | WRITE) == READ | WRITE and unwatched(core, where):
            fill_write(core, tag, where)
    elif kind == LOAD and found.permissions & READ != 0:
        enter(core, READS, tag, where - tag)


@native
def fill_write(core: Core, tag: u64, where: u64) -> None:
    """Cache a page for stores, among those that hold code or those that do not.

    Another hart may make it a code page meanwhile: it looks into the write tables after that, this
    one looks whether it has become one after it is in the table.
    """
    shared = core.shared[0]
    if shared.pages[where >> 12] == NO_PAGE:
        enter(core, WRITES, tag, where - tag)
        if shared.parallel == 0:
            return
        fence()
        if shared.pages[where >> 12] == NO_PAGE:
            return
        entry_for(core, WRITES, tag).tag = u64(INVALID)
    enter(core, CODE_WRITES, tag, where - tag)


@native
def unwatched(core: Core, where: u64) -> bool:
    """Whether Python need not hear of stores to a page of RAM."""
    return where >> 12 != core.shared[0].watched


@native(cold=True)
def find_code(core: Core, address: u64) -> u64:
    """The offset of the first slot of the page around an instruction address, or the fault.

    What is not RAM, and a page that PMP divides, is not decoded as a page: the hart's scratch page
    stands for it, whose slots fetch each instruction anew, and raise what that raises.
    """
    found = Translation()
    find_page(core, address, FETCH, found)
    where = backing(core.shared[0], found.physical & PAGE_MASK, 4096)
    if where == NOWHERE or found.permissions & EXECUTE == 0:
        clear_scratch_slot(core)
        return address_of(core.scratch) - address_of(core.shared[0].slots)
    describe(core, address, found)
    shared = core.shared[0]
    offset = code_page(core, where >> 12)
    come_in(core, offset)
    enter(core, EXECUTES, address & PAGE_MASK, offset)
    if shared.parallel != 0:
        fence()  # another hart may free the page, or change code in it, and then look here
        while u64(shared.pages[where >> 12]) != page_number(offset) + 1 or not is_in(core, offset):
            offset = code_page(core, where >> 12)
            come_in(core, offset)
            enter(core, EXECUTES, address & PAGE_MASK, offset)
            fence()
    return offset


@native(inline=True)
def read_entry(core: Core, address: u64) -> TlbEntry:
    """The read table's entry for an address."""
    return entry_for(core, READS, address)


@native(inline=True)
def write_entry(core: Core, address: u64) -> TlbEntry:
    """The write table's entry for an address."""
    return entry_for(core, WRITES, address)


@native(inline=True)
def execute_entry(core: Core, address: u64) -> TlbEntry:
    """The execute table's entry for an instruction address."""
    return entry_for(core, EXECUTES, address)
