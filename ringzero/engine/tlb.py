"""The translation cache, and memory access through it: what native engines bind for `isa.access`.

Per context (mode and SUM) direct-mapped tables: read, write, execute, store beside code. What was
entered is logged, so that a context is emptied at the cost of what it holds. A tag is
compared with the address masked so that a misaligned access misses. Pages that hold decoded code,
and watched pages, never enter the write table. The meaning stays `isa.access`'s: a miss runs that
text.
"""

from __future__ import annotations

from ringzero.engine.arrays import code_page
from ringzero.engine.changes import come_in, forget_code, is_in
from ringzero.engine.core import (
    CODES,
    CONTEXT_SIZE,
    CONTEXTS,
    EXECUTES,
    GUEST_SUPERVISOR,
    GUEST_SUPERVISOR_SUM,
    GUEST_USER,
    LARGE_WORDS,
    LOG,
    MACHINE,
    NO_PAGE,
    PAGE_STRIDE,
    READS,
    SUPERVISOR,
    SUPERVISOR_SUM,
    TABLES,
    TLB_SIZE,
    UNUSUAL,
    USER,
    WRITES,
    Core,
    TlbEntry,
    core_of,
    hart_bit,
)
from ringzero.engine.physical import NOWHERE, atomically, backing
from ringzero.engine.slots import INVALID, holds_code, stored_beside
from ringzero.engine.walks import find_page
from ringzero.isa import access
from ringzero.isa.hart import NO_RESERVATION, Hart, M, S
from ringzero.isa.paging import (
    STATUS_MPRV,
    STATUS_MXR,
    STATUS_SUM,
    Translation,
)
from ringzero.isa.pmp import EXECUTE, READ, WRITE
from ringzero.isa.rv_h import ADDRESS_GIVEN, OF_GUEST, OF_VIRTUAL
from ringzero.isa.trap import FETCH, LOAD, STORE, access_fault
from ringzero.lang import (
    advance,
    compare_exchange,
    fence,
    likely,
    native,
    original,
    peek,
    poke,
    read_once,
    typed_range,
    u16,
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


@native(inline=True)
def entry_for(core: Core, table: int, address: u64) -> TlbEntry:
    """The one entry of a table that may hold an address."""
    return core.tlb[((address >> 12) & (TLB_SIZE - 1)) + table]


@native(inline=True)
def load(hart: Hart, kind: type, address: u64) -> u64:
    """`isa.access.load` with the read table in front."""
    core = core_of(hart)
    entry = entry_for(core, READS, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        return u64(read_once(kind, core.memory, address + entry.offset))
    return load_missed(hart, kind, address)


@native(cold=True)
def load_missed(hart: Hart, kind: type, address: u64) -> u64:
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
def within_page(kind: type, address: u64) -> bool:
    """Whether an access does not reach into the next page."""
    return address & 0xFFF <= 4096 - kind.bits // 8


@native(inline=True)
def store(hart: Hart, kind: type, address: u64, value: u64) -> None:
    """`isa.access.store` with the write table in front."""
    core = core_of(hart)
    entry = entry_for(core, WRITES, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        write_once(kind, core.memory, address + entry.offset, kind(value))
    else:
        store_missed(hart, kind, address, value)


@native(cold=True)
def store_beside(hart: Hart, kind: type, address: u64, value: u64) -> bool:
    """A store to a page that holds code, but not where the code is; False if it is not that."""
    core = core_of(hart)
    entry = entry_for(core, CODES, address)
    if entry.tag != address & (PAGE_MASK | (kind.bits // 8 - 1)):
        return False
    shared = core.shared[0]
    where = address + entry.offset
    if shared.pages[where >> 12] == NO_PAGE or holds_code(shared, where, kind.bits // 8):
        return False
    stored_beside(shared, where >> 12)
    write_once(kind, core.memory, where, kind(value))
    if shared.parallel != 0:
        # another hart may have decoded it meanwhile
        forget_code(shared, where, kind.bits // 8, hart_bit(core))
    return True


@native(cold=True)
def store_missed(hart: Hart, kind: type, address: u64, value: u64) -> None:
    """Fill the table if the page may be cached; then store as the definition says."""
    if store_beside(hart, kind, address, value):
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
def amo(hart: Hart, operation: str, kind: type, address: u64, operand: u64) -> u64:
    """`isa.access.amo` with the write table in front (it holds readable pages only)."""
    core = core_of(hart)
    entry = entry_for(core, WRITES, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        return atomically(core, operation, kind, address + entry.offset, operand)
    return amo_missed(hart, operation, kind, address, operand)


@native(cold=True)
def amo_missed(hart: Hart, operation: str, kind: type, address: u64, operand: u64) -> u64:
    """Fill, then the definition."""
    if address & (kind.bits // 8 - 1) == 0:
        fill(core_of(hart), address, STORE)
    return amo_definition(hart, operation, kind, address, operand)


@native(inline=True)
def load_reserved(hart: Hart, kind: type, address: u64) -> u64:
    """`isa.access.load_reserved` with the read table in front."""
    core = core_of(hart)
    entry = entry_for(core, READS, address)
    if likely(entry.tag == address & (PAGE_MASK | (kind.bits // 8 - 1))):
        where = address + entry.offset
        value = u64(read_once(kind, core.memory, where))
        hart.reservation = where + core.shared[0].ram_base
        hart.reservation_value = value
        return value
    return load_reserved_missed(hart, kind, address)


@native(cold=True)
def load_reserved_missed(hart: Hart, kind: type, address: u64) -> u64:
    """Fill, then the definition."""
    if address & (kind.bits // 8 - 1) == 0:
        fill(core_of(hart), address, LOAD)
    return load_reserved_definition(hart, kind, address)


@native(inline=True)
def store_conditional(hart: Hart, kind: type, address: u64, value: u64) -> u64:
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
def store_conditional_missed(hart: Hart, kind: type, address: u64, value: u64) -> u64:
    """Fill, then the definition."""
    if address & (kind.bits // 8 - 1) == 0:
        fill(core_of(hart), address, STORE)
    return store_conditional_definition(hart, kind, address, value)


@native
def fill(core: Core, address: u64, kind: int) -> None:
    """Translate a page for one kind of access and cache what may be cached."""
    found = Translation()
    find_page(core, address, kind, found)
    page = found.physical & PAGE_MASK
    where = backing(core.shared[0], page, 4096)
    if where == NOWHERE:
        return
    if found.size > 4096:
        covered(core, address, found.size)
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
    enter(core, CODES, tag, where - tag)


@native
def unwatched(core: Core, where: u64) -> bool:
    """Whether Python need not hear of stores to a page of RAM."""
    return where >> 12 != core.shared[0].watched


@native
def enter(core: Core, table: int, tag: u64, offset: u64) -> None:
    """Cache one page."""
    entered = core.filled[core.context]
    if entered < LOG:
        place = ((tag >> 12) & (TLB_SIZE - 1)) + table
        core.entered[core.context * LOG + entered] = u16(place)
    core.filled[core.context] = entered + 1
    entry = entry_for(core, table, tag)
    entry.tag = tag
    entry.offset = offset


@native
def covered(core: Core, address: u64, size: u64) -> None:
    """Remember that pieces of a superpage are in the tables: a fence for one drops them all."""
    if size > 1 << 21:
        core.giga = core.giga | (u64(1) << (address >> 30))
    else:
        word = (address >> 27) & (LARGE_WORDS - 1)
        core.large[word] = core.large[word] | (u64(1) << (address >> 21))


@native
def in_superpage(core: Core, address: u64) -> bool:
    """Whether pieces of a superpage around an address may be in the tables."""
    word = (address >> 27) & (LARGE_WORDS - 1)
    bits = (core.large[word] >> (address >> 21)) | (core.giga >> (address >> 30))
    return bits & 1 != 0


@native(cold=True)
def find_code(core: Core, address: u64) -> u64:
    """The slot array (byte offset) of the page around an instruction address, or the fault."""
    found = Translation()
    find_page(core, address, FETCH, found)
    where = backing(core.shared[0], found.physical & PAGE_MASK, 4096)
    if where == NOWHERE or found.permissions & EXECUTE == 0:
        raise access_fault(core.hart, address, FETCH)
    if found.size > 4096:
        covered(core, address, found.size)
    shared = core.shared[0]
    offset = code_page(core, where >> 12)
    come_in(core, offset)
    enter(core, EXECUTES, address & PAGE_MASK, offset)
    if shared.parallel != 0:
        fence()  # another hart may give the array back, or change code in it, and then look here
        while u64(shared.pages[where >> 12]) != offset // PAGE_STRIDE + 1 or not is_in(
            core, offset
        ):
            offset = code_page(core, where >> 12)
            come_in(core, offset)
            enter(core, EXECUTES, address & PAGE_MASK, offset)
            fence()
    return offset


# ---- contexts and flushes


@native
def context_of(hart: Hart) -> u64:
    """Which tables hold translations for the hart as it is."""
    if hart.mstatus & (STATUS_MXR | STATUS_MPRV) != 0:
        return UNUSUAL
    if hart.virtual != 0:
        return guest_context_of(hart)
    if hart.mode == M:
        return MACHINE
    if hart.mode != S:
        return USER
    if hart.mstatus & STATUS_SUM != 0:
        return SUPERVISOR_SUM
    return SUPERVISOR


@native
def guest_context_of(hart: Hart) -> u64:
    """The same while V=1."""
    if hart.vsstatus & STATUS_MXR != 0:
        return UNUSUAL
    if hart.mode != S:
        return GUEST_USER
    if hart.vsstatus & STATUS_SUM != 0:
        return GUEST_SUPERVISOR_SUM
    return GUEST_SUPERVISOR


@native
def select_context(core: Core) -> None:
    """Point the hart at the tables of its present context; the unusual one starts empty."""
    context = context_of(core.hart)
    core.tlb = advance(core.contexts, context * CONTEXT_SIZE)
    core.context = context
    if context == UNUSUAL:
        clear_context(core, context)


@native
def clear_context(core: Core, context: u64) -> None:
    """Empty the tables of a context."""
    first = context * CONTEXT_SIZE
    entered = core.filled[context]
    if entered <= LOG:
        for i in typed_range(entered):
            core.contexts[first + u64(core.entered[context * LOG + i])].tag = INVALID
    else:
        for i in typed_range(u64(CONTEXT_SIZE)):
            core.contexts[first + i].tag = INVALID
    core.filled[context] = 0


@native(cold=True)
def flush_all(core: Core) -> None:
    """Empty all tables."""
    for context in typed_range(u64(CONTEXTS)):
        if core.filled[context] != 0:
            clear_context(core, context)
    core.giga = 0
    for i in typed_range(u64(LARGE_WORDS)):
        core.large[i] = 0


@native(cold=True)
def flush_guest(core: Core) -> None:
    """Empty the tables that may hold translations of guest virtual addresses."""
    for context in typed_range(u64(UNUSUAL), u64(CONTEXTS)):
        if core.filled[context] != 0:
            clear_context(core, context)


@native
def flush_page(core: Core, address: u64) -> None:
    """Drop one page from all tables; all of them when a superpage may have covered it."""
    if in_superpage(core, address):
        flush_all(core)
        return
    tag = address & PAGE_MASK
    index = (address >> 12) & (TLB_SIZE - 1)
    for context in typed_range(u64(CONTEXTS)):
        if core.filled[context] != 0:
            for table in range(TABLES):
                entry = core.contexts[context * CONTEXT_SIZE + table * TLB_SIZE + index]
                if entry.tag == tag:
                    entry.tag = INVALID


@native
def fence_translation(hart: Hart, address: u64, asid: u64, which: u64) -> None:
    """sfence.vma. Entries carry no ASID: satp writes have emptied the tables already.

    What is fenced of a guest, by hfence or by itself, concerns its tables only; and a guest
    physical address may be behind any of its entries.
    """
    if which & (ADDRESS_GIVEN | OF_GUEST) == ADDRESS_GIVEN:
        flush_page(core_of(hart), address)
    elif which & (OF_VIRTUAL | OF_GUEST) != 0 or hart.virtual != 0:
        flush_guest(core_of(hart))
    else:
        flush_all(core_of(hart))


@native(inline=True)
def execute_entry(core: Core, address: u64) -> TlbEntry:
    """The execute table's entry for an instruction address."""
    return entry_for(core, EXECUTES, address)
