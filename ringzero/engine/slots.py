"""Slot arrays: the decoded form of code pages, one 16-byte slot per two bytes of a physical page.

An array is aligned to 64 KiB, so a slot's address gives the offset in its page: pc = virtual page |
((slot & 0x7fff) >> 3). Behind the 2048 slots stand two guards that continue on the next page. A
store into a decoded page resets the slots that it touches, so fence.i finds nothing to do.
"""

from __future__ import annotations

from ringzero.engine.core import (
    BESIDE,
    CONTEXT_SIZE,
    CONTEXTS,
    EXECUTES,
    LINKS,
    LOG,
    NO_PAGE,
    ORIGINALS,
    PAGE_SLOTS,
    PAGE_STRIDE,
    REGIONS,
    SEEN,
    SLOT_BYTES,
    TLB_SIZE,
    WRITES,
    Core,
    Shared,
    Slot,
    TlbEntry,
)
from ringzero.isa.decode import Decoded, decode
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import (
    address_of,
    advance,
    native,
    peek,
    poke,
    ptr,
    reinterpret,
    typed_range,
    u8,
    u16,
    u32,
    u64,
)

# Handlers that are no instruction, after the two per instruction (sizes 4 and 2) and ILLEGAL's.
COUNT = 2 * len(INSTRUCTIONS)
ILLEGAL_4, ILLEGAL_2 = COUNT, COUNT + 1
DECODE = COUNT + 2  # not decoded yet
CROSS = COUNT + 3  # a guard: go on at the next page
STRADDLE = COUNT + 4  # a 32-bit instruction over the end of its page
HALT = COUNT + 5  # in the scratch array: the single step ends here
JUMP_TO = COUNT + 6  # to any address, given in place of the slot
EVENT = COUNT + 7  # the budget is spent
SPENT = COUNT + 8  # EVENT, in a region
BAIL = COUNT + 9  # a side exit of a region
LINK = COUNT + 10  # a region is at the end of its page; then JUMP_TO
LINK_BAIL = COUNT + 11  # the same; then BAIL
FAR = COUNT + 12  # branches and jumps to another page: FAR + 2 * index + (size == 2)
HANDLERS = FAR + COUNT

NEVER_NEAR = 1 << 62  # an offset from which every target is on another page
LINK_BYTES = 40  # of a Link
INVALID = 0xFFFF_FFFF_FFFF_FFFF  # never equal to a masked address: bits 3..11 of those are zero

STATIC = tuple(i for i, one in enumerate(INSTRUCTIONS) if one.may_jump_static)
WRITES_RD = tuple(i for i, one in enumerate(INSTRUCTIONS) if one.destination == "rd")


@native
def slot_array(shared: Shared, index: u64) -> ptr[Slot]:
    """The slots of array `index`."""
    return reinterpret(ptr[Slot], advance(shared.slots, index * PAGE_STRIDE))


@native
def code_page(shared: Shared, page: u64) -> u64:
    """Byte offset (from Shared.slots) of the slot array of a backed page, made if need be."""
    present = u64(shared.pages[page])
    if present != NO_PAGE:
        return (present - 1) * PAGE_STRIDE
    index = new_array(shared)
    shared.owners[index] = u32(page)
    poke(u64, shared.slots, index * PAGE_STRIDE + BESIDE, u64(0))
    poke(u64, shared.slots, index * PAGE_STRIDE + SEEN, u64(0))
    drop_regions(shared, index)
    shared.pages[page] = u32(index + 1)
    clear_slots(shared, slot_array(shared, index), DECODE, CROSS)
    protect_code(shared, page)
    return index * PAGE_STRIDE


@native
def new_array(shared: Shared) -> u64:
    """A slot array that no page uses."""
    if shared.spares != 0:
        shared.spares -= 1
        return u64(shared.spare[shared.spares])
    if shared.slot_used == shared.slot_arrays:
        forget_everything(shared)
    shared.slot_used += 1
    return shared.slot_used - 1


@native
def clear_slots(shared: Shared, slots: ptr[Slot], handler: int, guard: int) -> None:
    """Every slot of an array to one special handler."""
    fill = shared.handlers[handler]
    for i in typed_range(u64(PAGE_SLOTS)):
        slots[i].handler = fill
    slots[PAGE_SLOTS].handler = shared.handlers[guard]
    slots[PAGE_SLOTS + 1].handler = shared.handlers[guard]


@native(cold=True)
def protect_code(shared: Shared, page: u64) -> None:
    """A page that holds code leaves all write tables: its stores take the slow path."""
    for h in typed_range(shared.harts):
        drop_entries(core_at(shared, h), WRITES, page)


@native
def drop_entries(core: Core, table: int, what: u64) -> None:
    """Drop the entries of a table, in all contexts, that stand for a page or a slot array."""
    for context in typed_range(u64(CONTEXTS)):
        entered = core.filled[context]
        if entered <= LOG:
            for i in typed_range(entered):
                place = u64(core.entered[context * LOG + i])
                if table <= place < table + TLB_SIZE:
                    drop_entry(core.contexts[context * CONTEXT_SIZE + place], table, what)
        else:
            for i in typed_range(u64(TLB_SIZE)):
                drop_entry(core.contexts[context * CONTEXT_SIZE + table + i], table, what)


@native(inline=True)
def drop_entry(entry: TlbEntry, table: int, what: u64) -> None:
    """Drop an entry if it stands for a page of RAM (writes), or a slot array (execution)."""
    stands_for = (entry.tag + entry.offset) >> 12 if table == WRITES else entry.offset
    if entry.tag != INVALID and stands_for == what:
        entry.tag = INVALID


@native
def core_at(shared: Shared, index: u64) -> Core:
    """One of the machine's cores."""
    return reinterpret(ptr[Core], shared.cores)[index]


@native
def forget_code(shared: Shared, where: u64, size: u64) -> None:
    """Memory at an offset changed: its slots, and one that began before it, decode again."""
    first = where & 0xFFF
    array = u64(shared.pages[where >> 12]) - 1
    slots = slot_array(shared, array)
    low = first >> 1
    if low > 0:
        low -= 1  # a 32-bit instruction may have begun two bytes earlier
    high = (first + size + 1) >> 1
    if high > PAGE_SLOTS:
        high = u64(PAGE_SLOTS)
    decode_handler = shared.handlers[DECODE]
    was_code = False
    for i in typed_range(low, high):
        if slots[i].handler != decode_handler:
            was_code = True
            slots[i].handler = decode_handler
            set_original(shared, array, i, 0)
    if was_code:
        drop_regions(shared, array)


@native
def forget_range(shared: Shared, where: u64, size: u64) -> None:
    """A device or a debugger changed memory: the same for a range over many pages."""
    at = where
    end = where + size
    while at < end:
        step = 4096 - (at & 0xFFF)
        if step > end - at:
            step = end - at
        if shared.pages[at >> 12] != NO_PAGE:
            forget_code(shared, at, step)
        at += step


@native(cold=True)
def forget_everything(shared: Shared) -> None:
    """All slot arrays are in use: start over."""
    for i in typed_range(shared.slot_used):
        page = u64(shared.owners[i])
        if u64(shared.pages[page]) == i + 1:
            shared.pages[page] = NO_PAGE
    shared.slot_used = 0
    shared.spares = 0
    for h in typed_range(shared.harts):
        core = core_at(shared, h)
        for context in typed_range(u64(CONTEXTS)):
            for i in typed_range(u64(TLB_SIZE)):
                core.contexts[context * CONTEXT_SIZE + EXECUTES + i].tag = INVALID


@native
def fill_slot(shared: Shared, slot: Slot, word: u32, offset: u64) -> None:
    """Decode a word into a slot of a page, at a byte offset; NEVER_NEAR where no page is around."""
    decoded = Decoded()
    decode(word, decoded)
    rd = decoded.rd
    if rd == 0 and writes_rd(decoded.index):
        rd = 32  # writes to x0 go to the sink
    slot.rd = u8(rd)
    slot.rs1 = u8(decoded.rs1)
    slot.rs2 = u8(decoded.rs2)
    slot.rs3 = u8(decoded.rs3)
    slot.imm = u32(decoded.imm)
    handler = 2 * u64(decoded.index) + u64(decoded.size == 2)
    if offset + decoded.imm >= 4096 and goes_to_target(decoded.index):
        handler += FAR
    slot.handler = shared.handlers[handler]


@native
def decode_word(word: u32, out: Decoded) -> None:
    """`isa.decode` for Python."""
    decode(word, out)


@native
def goes_to_target(index: u32) -> bool:
    """Whether an instruction may continue at pc + imm."""
    for number in STATIC:  # noqa: SIM110 — unrolled when compiled
        if index == number:
            return True
    return False


@native
def writes_rd(index: u32) -> bool:
    """Whether an instruction's destination is an x register."""
    for number in WRITES_RD:  # noqa: SIM110 — unrolled when compiled
        if index == number:
            return True
    return False


@native(cold=True)
def decode_slot(core: Core, slot: ptr[Slot]) -> None:
    """First execution of a slot in a code page."""
    shared = core.shared[0]
    core.decoded += 1
    distance = address_of(slot) - address_of(shared.slots)
    page = u64(shared.owners[distance // PAGE_STRIDE])
    offset = (distance % PAGE_STRIDE) // (SLOT_BYTES // 2)
    where = (page << 12) + offset
    word = u32(peek(u16, shared.memory, where))
    if word & 3 == 3:
        if offset == 0xFFE:
            slot[0].handler = shared.handlers[STRADDLE]
            return
        word = word | (u32(peek(u16, shared.memory, where + 2)) << 16)
    fill_slot(shared, slot[0], word, offset)


@native
def fill_scratch(core: Core, pc: u64, word: u32) -> ptr[Slot]:
    """Decode a word into the hart's own array, where all other slots halt; its slot."""
    shared = core.shared[0]
    core.scratch[core.scratch_slot].handler = shared.handlers[HALT]
    core.scratch_slot = (pc & 0xFFF) >> 1
    fill_slot(shared, core.scratch[core.scratch_slot], word, NEVER_NEAR)
    return advance(core.scratch, core.scratch_slot)


@native
def clear_scratch(core: Core) -> None:
    """A new scratch array."""
    clear_slots(core.shared[0], core.scratch, HALT, CROSS)


@native(inline=True)
def slots_base(core: Core) -> ptr[u8]:
    """The first byte of all slot arrays."""
    return core.shared[0].slots


# ---- regions: slots whose handler is compiled code, and the handler that it displaced


@native
def original(shared: Shared, array: u64, slot: u64) -> u64:
    """The handler under a region, or zero."""
    return peek(u64, shared.slots, array * PAGE_STRIDE + ORIGINALS + slot * 8)


@native
def set_original(shared: Shared, array: u64, slot: u64, handler: u64) -> None:
    """Remember what a region displaces."""
    poke(u64, shared.slots, array * PAGE_STRIDE + ORIGINALS + slot * 8, handler)


@native
def region_count(shared: Shared, array: u64) -> u64:
    """How many slots of an array hold regions."""
    return peek(u64, shared.slots, array * PAGE_STRIDE + REGIONS)


@native(cold=True)
def drop_regions(shared: Shared, array: u64) -> None:
    """Code of a page changed: its regions go, and no region of another page comes here."""
    unbind_links(shared, array)
    if region_count(shared, array) == 0:
        return
    slots = slot_array(shared, array)
    for i in typed_range(u64(PAGE_SLOTS)):
        handler = original(shared, array, i)
        if handler != 0:
            slots[i].handler = handler
            set_original(shared, array, i, 0)
    poke(u64, shared.slots, array * PAGE_STRIDE + REGIONS, u64(0))


@native
def link_number(core: Core) -> u64:
    """Which of all links Core.link is."""
    first = address_of(core.shared[0].links)
    return (address_of(core.link) - first) // LINK_BYTES


@native
def add_link(shared: Shared, array: u64, number: u64) -> None:
    """A link is bound to an array."""
    shared.links[number].next = peek(u64, shared.slots, array * PAGE_STRIDE + LINKS)
    poke(u64, shared.slots, array * PAGE_STRIDE + LINKS, number + 1)


@native
def remove_link(shared: Shared, array: u64, number: u64) -> None:
    """A link will be bound to another array."""
    at = peek(u64, shared.slots, array * PAGE_STRIDE + LINKS)
    if at == number + 1:
        poke(u64, shared.slots, array * PAGE_STRIDE + LINKS, shared.links[number].next)
        return
    while at != 0:
        link = shared.links[at - 1]
        if link.next == number + 1:
            link.next = shared.links[number].next
        at = link.next


@native
def unbind_links(shared: Shared, array: u64) -> None:
    """An array no longer is what links expect."""
    at = peek(u64, shared.slots, array * PAGE_STRIDE + LINKS)
    while at != 0:
        link = shared.links[at - 1]
        link.bound = u64(INVALID)
        at = link.next
    poke(u64, shared.slots, array * PAGE_STRIDE + LINKS, u64(0))


@native
def decode_all(core: Core, array: u64, wanted: ptr[u8]) -> None:
    """Decode the slots that `wanted` marks: from now on a store to them counts as code."""
    shared = core.shared[0]
    slots = slot_array(shared, array)
    for i in typed_range(u64(PAGE_SLOTS)):
        if wanted[i] != 0 and slots[i].handler == shared.handlers[DECODE]:
            decode_slot(core, advance(slots, i))


@native
def install_region(core: Core, array: u64, slot: u64, address: u64) -> None:
    """Let a compiled region stand at a slot; its instructions have been decoded."""
    shared = core.shared[0]
    slots = slot_array(shared, array)
    if original(shared, array, slot) == 0:
        set_original(shared, array, slot, slots[slot].handler)
        count = region_count(shared, array) + 1
        poke(u64, shared.slots, array * PAGE_STRIDE + REGIONS, count)
    slots[slot].handler = address


# ---- stores beside code


@native
def holds_code(shared: Shared, where: u64, size: u64) -> bool:
    """Whether a store to a code page touches what was decoded."""
    slots = slot_array(shared, u64(shared.pages[where >> 12]) - 1)
    first = where & 0xFFF
    low = first >> 1
    if low > 0:
        low -= 1
    for i in typed_range(low, (first + size + 1) >> 1):
        if slots[i].handler != shared.handlers[DECODE]:
            return True
    return False


@native
def stored_beside(shared: Shared, page: u64) -> None:
    """Count stores beside a page's code: many mean that the page may hold none any more."""
    array = u64(shared.pages[page]) - 1
    count = peek(u64, shared.slots, array * PAGE_STRIDE + BESIDE) + 1
    if count >> (10 + u64(shared.releases[page] & 15)) != 0:
        shared.idle_array = array + 1
        count = u64(0)
    poke(u64, shared.slots, array * PAGE_STRIDE + BESIDE, count)


@native(cold=True)
def release_array(shared: Shared, running: u64) -> None:
    """Between slices: give the idle array back, unless a hart runs in it just now."""
    array = shared.idle_array - 1
    shared.idle_array = 0
    page = u64(shared.owners[array])
    if shared.releases[page] < 15:
        shared.releases[page] += 1
    if array == running or u64(shared.pages[page]) != array + 1:
        return
    drop_regions(shared, array)
    shared.pages[page] = NO_PAGE
    shared.spare[shared.spares] = u32(array)
    shared.spares += 1
    for h in typed_range(shared.harts):
        drop_entries(core_at(shared, h), EXECUTES, array * PAGE_STRIDE)
