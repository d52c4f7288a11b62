"""Slot arrays: the decoded form of code pages, one 16-byte slot per two bytes of a physical page.

An array is aligned to 64 KiB, so a slot's address gives the offset in its page: pc = virtual page |
((slot & 0x7fff) >> 3). Behind the 2048 slots stand two guards that continue on the next page. A
store into a decoded page resets the slots that it touches, so fence.i finds nothing to do.
"""

from __future__ import annotations

from ringzero.engine.blocks import drop_stencils, number_at, set_number
from ringzero.engine.core import (
    CHANGES,
    LEAVING,
    LINKS,
    ORIGINALS,
    PAGE_SLOTS,
    PAGE_STRIDE,
    REGIONS,
    SLOT_BYTES,
    STAMPED,
    USERS,
    Core,
    Shared,
    Slot,
    hart_bit,
)
from ringzero.engine.quiescence import (
    DECODING,
    OPERANDS,
    RUNNING,
    acquire,
    all_passed,
    become,
    give_way,
    new_stamp,
    release,
)
from ringzero.isa.decode import decode
from ringzero.isa.decoded import Decoded
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import (
    address_of,
    advance,
    atomic,
    fence,
    native,
    peek,
    poke,
    ptr,
    read_once,
    reinterpret,
    typed_range,
    u8,
    u16,
    u32,
    u64,
    write_once,
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
WARM = COUNT + 12  # a leader that is not stitched yet
FAR = COUNT + 13  # branches and jumps to another page: FAR + 2 * index + (size == 2)
HANDLERS = FAR + COUNT

SINK = 32  # in place of x0 where it is written
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
def header(shared: Shared, array: u64, field: int) -> u64:
    """A word behind the slots of an array."""
    return read_once(u64, shared.slots, array * PAGE_STRIDE + field)


@native
def set_header(shared: Shared, array: u64, field: int, value: u64) -> None:
    """Write such a word."""
    write_once(u64, shared.slots, array * PAGE_STRIDE + field, value)


@native
def clear_slots(shared: Shared, slots: ptr[Slot], handler: int, guard: int) -> None:
    """Every slot of an array to one special handler."""
    fill = shared.handlers[handler]
    for i in typed_range(u64(PAGE_SLOTS)):
        slots[i].handler = fill
    slots[PAGE_SLOTS].handler = shared.handlers[guard]
    slots[PAGE_SLOTS + 1].handler = shared.handlers[guard]


@native
def forget_slots(shared: Shared, array: u64, first: u64, size: u64) -> bool:
    """Bytes of a page changed: their slots, and one that began before them, decode again.

    Whether any of them was decoded.
    """
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
        count_change(shared, array)
        drop_regions(shared, array)
        drop_stencils(shared, array, WARM, False)
    return was_code


@native
def count_change(shared: Shared, array: u64) -> None:
    """Decoded code of an array changed: regions that were made of it are too late."""
    set_header(shared, array, CHANGES, header(shared, array, CHANGES) + 1)


@native
def fill_slot(shared: Shared, slot: Slot, word: u32, offset: u64) -> u64:
    """Decode a word into a slot of a page, at a byte offset; NEVER_NEAR where no page is around.

    Gives the number of its handler.
    """
    decoded = Decoded()
    decode(word, decoded)
    rd = decoded.rd
    if rd == 0 and writes_rd(decoded.index):
        rd = u32(SINK)
    slot.rd = u8(rd)
    slot.rs1 = u8(decoded.rs1)
    slot.rs2 = u8(decoded.rs2)
    slot.rs3 = u8(decoded.rs3)
    slot.imm = u32(decoded.imm)
    handler = 2 * u64(decoded.index) + u64(decoded.size == 2)
    if offset + decoded.imm >= 4096 and goes_to_target(decoded.index):
        handler += FAR
    if shared.parallel != 0:
        fence()  # a hart that finds the handler finds its operands
    slot.handler = shared.handlers[handler]
    return handler


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
    if shared.parallel == 0:
        decode_into(shared, slot, code_at(shared, slot))
    elif not decode_here(core, slot):
        tries = u64(0)
        become(core, u64(DECODING))
        while not decode_here(core, slot):
            give_way(shared, tries)
            tries += 1


@native
def decode_here(core: Core, slot: ptr[Slot]) -> bool:
    """`decode_shared` by a hart that goes on in the array.

    It may have been sent away from there meanwhile: it is a user again, and running, before anyone
    can change the slot once more.
    """
    shared = core.shared[0]
    by = hart_bit(core)
    acquire(shared)
    done = decode_shared(shared, slot, by)
    if done:
        become(core, u64(RUNNING))
        array = (address_of(slot) - address_of(shared.slots)) // PAGE_STRIDE
        atomic("or", u64, shared.slots, array * PAGE_STRIDE + USERS, by)
    release(shared)
    return done


@native
def decode_shared(shared: Shared, slot: ptr[Slot], by: u64) -> bool:
    """Decode a slot while other harts run, the lock being held; False: a hart may be reading what
    stood there.

    `by` is the hart that decodes, as a bit.
    """
    array = (address_of(slot) - address_of(shared.slots)) // PAGE_STRIDE
    done = slot[0].handler != shared.handlers[DECODE]
    leaving = header(shared, array, LEAVING) & ~by
    if not done and all_passed(shared, leaving, header(shared, array, STAMPED), OPERANDS):
        set_header(shared, array, LEAVING, 0)
        before = code_at(shared, slot)
        decode_into(shared, slot, before)
        fence()
        done = code_at(shared, slot) == before
        if not done:  # a store came in between, and may not have seen that this is code now
            slot[0].handler = shared.handlers[DECODE]
            fence()
            set_header(shared, array, LEAVING, header(shared, array, USERS))
            set_header(shared, array, STAMPED, new_stamp(shared))
    return done


@native
def code_at(shared: Shared, slot: ptr[Slot]) -> u32:
    """The word that a slot is decoded from: 16 bits if compressed, or where the page ends."""
    distance = address_of(slot) - address_of(shared.slots)
    page = u64(shared.owners[distance // PAGE_STRIDE])
    offset = (distance % PAGE_STRIDE) // (SLOT_BYTES // 2)
    where = (page << 12) + offset
    word = u32(0)
    if offset & 2 == 0:  # all of it at once, where it can be: another hart may be storing it
        word = read_once(u32, shared.memory, where)
    elif offset & 4 == 0:
        word = u32(read_once(u64, shared.memory, where - 2) >> 16 & 0xFFFF_FFFF)
    else:
        word = u32(read_once(u16, shared.memory, where))
        if offset != 0xFFE:
            word = word | (u32(read_once(u16, shared.memory, where + 2)) << 16)
    return word if word & 3 == 3 and offset != 0xFFE else word & 0xFFFF


@native
def decode_into(shared: Shared, slot: ptr[Slot], word: u32) -> None:
    """Decode what a slot stands for, which is in memory."""
    distance = address_of(slot) - address_of(shared.slots)
    offset = (distance % PAGE_STRIDE) // (SLOT_BYTES // 2)
    if word & 3 == 3 and offset == 0xFFE:
        set_number(shared, distance, u64(STRADDLE))
        slot[0].handler = shared.handlers[STRADDLE]
    else:
        set_number(shared, distance, fill_slot(shared, slot[0], word, offset))


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
    return core.slots


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
def decode_all(shared: Shared, array: u64, wanted: ptr[u8]) -> u64:
    """Decode the slots that `wanted` marks: from now on a store to them counts as code.

    What it returns tells `install_region` whether one came.
    """
    slots = slot_array(shared, array)
    changes = header(shared, array, CHANGES)
    tries = u64(0)
    for i in typed_range(u64(PAGE_SLOTS)):
        if wanted[i] != 0 and slots[i].handler == shared.handlers[DECODE]:
            acquire(shared)
            while not decode_shared(shared, advance(slots, i), u64(0)):
                release(shared)
                give_way(shared, tries)
                tries += 1
                acquire(shared)
            release(shared)
    return changes


@native
def install_region(shared: Shared, array: u64, slot: u64, address: u64, changes: u64) -> bool:
    """Let a compiled region stand at a slot, if what it was made of is as `decode_all` found it."""
    acquire(shared)
    fine = header(shared, array, CHANGES) == changes
    slots = slot_array(shared, array)
    if fine:
        if original(shared, array, slot) == 0:
            set_original(shared, array, slot, shared.handlers[number_at(shared, array, slot)])
            count = region_count(shared, array) + 1
            poke(u64, shared.slots, array * PAGE_STRIDE + REGIONS, count)
        slots[slot].handler = address
        drop_stencils(shared, array, WARM, True)  # blocks jump to each other past their slots
    release(shared)
    return fine
