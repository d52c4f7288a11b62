"""Slot arrays: the decoded form of code pages, one 16-byte slot per two bytes of a physical page.

An array is aligned to 64 KiB, so a slot's address gives the offset in its page: pc = virtual page |
((slot & 0x7fff) >> 3). Behind the 2048 slots stand two guards that continue on the next page. A
store into a decoded page resets the slots that it touches, so fence.i finds nothing to do.
"""

from __future__ import annotations

from ringzero.engine.native.code.blocks import drop_stencils, number_at
from ringzero.engine.native.state import (
    CHANGES,
    LINKS,
    ORIGINALS,
    PAGE_SLOTS,
    PAGE_STRIDE,
    REGIONS,
    Core,
    Shared,
    Slot,
)
from ringzero.engine.native.threads.epochs import (
    acquire,
    release,
)
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import (
    address_of,
    advance,
    native,
    peek,
    poke,
    ptr,
    read_once,
    reinterpret,
    typed_range,
    u8,
    u64,
    write_once,
)

# Handlers that are no instruction, after the two per instruction (sizes 4 and 2) and ILLEGAL's.
COUNT = 2 * len(INSTRUCTIONS)
ILLEGAL_4, ILLEGAL_2 = COUNT, COUNT + 1
DECODE = COUNT + 2  # not decoded yet
CROSS = COUNT + 3  # a guard: go on at the next page
STRADDLE = COUNT + 4  # a 32-bit instruction over the end of its page
HALT = COUNT + 5  # in the scratch array: a single step ends here, other code is fetched anew
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
def clear_scratch(core: Core) -> None:
    """A new scratch array."""
    clear_slots(core.shared[0], core.scratch, HALT, CROSS)


@native
def clear_scratch_slot(core: Core) -> None:
    """The one instruction that the scratch array holds is forgotten: it is fetched anew."""
    core.scratch[core.scratch_slot].handler = core.shared[0].handlers[HALT]


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
