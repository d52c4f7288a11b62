"""Decoded pages: what pages of code are executed from, a 16-byte slot for two bytes of code.

The slots of a page are aligned, so a slot's address tells the instruction's place in its page
(`address`). Behind the 2048 slots stand two guards that continue on the next page. A store into a
page of code resets the slots that it touches, so fence.i finds nothing to do.
"""

from __future__ import annotations

import ctypes

from ringzero.engine.native.code.address import decoded_page
from ringzero.engine.native.code.blocks import drop_blocks
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.state import PAGE_SLOTS, Core, DecodedPage, Link, Shared, Slot
from ringzero.engine.native.threads.epochs import acquire, release
from ringzero.lang import (
    address_of,
    atomic,
    native,
    ptr,
    read_once,
    typed_range,
    u64,
    write_once,
)
from ringzero.lang.host import view

SINK = 32  # in place of x0 where it is written
NEVER_NEAR = 1 << 62  # an offset from which every target is on another page
LINK_BYTES = ctypes.sizeof(view(Link))
INVALID = 0xFFFF_FFFF_FFFF_FFFF  # never equal to a masked address: bits 3..11 of those are zero


def at_field(name: str) -> int:
    """Where a field of a decoded page is, for accesses that the language does not write so."""
    return int(getattr(view(DecodedPage), name).offset)


@native(inline=True)
def read_shared(page: DecodedPage, field: str) -> u64:
    """A field that other harts write meanwhile."""
    return read_once(u64, page, at_field(field))


@native(inline=True)
def write_shared(page: DecodedPage, field: str, value: u64) -> None:
    """Write such a field."""
    write_once(u64, page, at_field(field), value)


@native(inline=True)
def change_shared(page: DecodedPage, operation: str, field: str, value: u64) -> u64:
    """Change one in a single step, by an operation of `atomic`; what it was."""
    return atomic(operation, u64, page, at_field(field), value)


@native
def clear_slots(shared: Shared, slots: ptr[Slot], handler: int, guard: int) -> None:
    """All slots of a page get one special handler."""
    fill = shared.handlers[handler]
    for i in typed_range(u64(PAGE_SLOTS)):
        slots[i].handler = fill
    slots[PAGE_SLOTS].handler = shared.handlers[guard]
    slots[PAGE_SLOTS + 1].handler = shared.handlers[guard]


@native
def forget_slots(shared: Shared, decoded: u64, first: u64, size: u64) -> bool:
    """Bytes of a page changed: their slots, and one that began before them, decode again.

    Whether any of them was decoded.
    """
    page = decoded_page(shared, decoded)
    low = first >> 1
    if low > 0:
        low -= 1  # a 32-bit instruction may have begun two bytes earlier
    high = (first + size + 1) >> 1
    if high > PAGE_SLOTS:
        high = u64(PAGE_SLOTS)
    decode_handler = shared.handlers[Special.DECODE]
    was_code = False
    for i in typed_range(low, high):
        if page.slots[i].handler != decode_handler:
            was_code = True
            page.slots[i].handler = decode_handler
            page.originals[i] = 0
    if was_code:
        count_change(shared, decoded)
        drop_regions(shared, decoded)
        drop_blocks(shared, decoded, Special.WARM, False)
    return was_code


@native
def count_change(shared: Shared, decoded: u64) -> None:
    """Decoded code of a page changed: regions that were made of it are not installed any more."""
    page = decoded_page(shared, decoded)
    write_shared(page, "changes", read_shared(page, "changes") + 1)


@native
def clear_scratch(core: Core) -> None:
    """A new scratch page."""
    clear_slots(core.shared[0], core.scratch, Special.HALT, Special.CROSS)


@native
def clear_scratch_slot(core: Core) -> None:
    """The one instruction that the scratch page holds is forgotten: it is fetched anew."""
    core.scratch[core.scratch_slot].handler = core.shared[0].handlers[Special.HALT]


# ---- regions: slots whose handler is compiled code, and the handler that it displaced


@native(cold=True)
def drop_regions(shared: Shared, decoded: u64) -> None:
    """Code of a page changed: its regions go, and no region of another page comes here."""
    unbind_links(shared, decoded)
    page = decoded_page(shared, decoded)
    if page.regions == 0:
        return
    for i in typed_range(u64(PAGE_SLOTS)):
        handler = page.originals[i]
        if handler != 0:
            page.slots[i].handler = handler
            page.originals[i] = 0
    page.regions = 0


@native
def link_number(core: Core) -> u64:
    """Which of all links Core.link is."""
    first = address_of(core.shared[0].links)
    return (address_of(core.link) - first) // LINK_BYTES


@native
def add_link(shared: Shared, decoded: u64, number: u64) -> None:
    """A link is bound to a decoded page."""
    shared.links[number].next = decoded_page(shared, decoded).first_link
    decoded_page(shared, decoded).first_link = number + 1


@native
def remove_link(shared: Shared, decoded: u64, number: u64) -> None:
    """A link will be bound to another decoded page."""
    at = decoded_page(shared, decoded).first_link
    if at == number + 1:
        decoded_page(shared, decoded).first_link = shared.links[number].next
        return
    while at != 0:
        link = shared.links[at - 1]
        if link.next == number + 1:
            link.next = shared.links[number].next
        at = link.next


@native
def unbind_links(shared: Shared, decoded: u64) -> None:
    """A page is no longer what links expect."""
    at = decoded_page(shared, decoded).first_link
    while at != 0:
        link = shared.links[at - 1]
        link.bound = u64(INVALID)
        at = link.next
    decoded_page(shared, decoded).first_link = 0


@native
def install_region(shared: Shared, decoded: u64, slot: u64, address: u64, changes: u64) -> bool:
    """Let a compiled region stand at a slot, if what it was made of is as `decode_all` found it."""
    acquire(shared)
    page = decoded_page(shared, decoded)
    fine = read_shared(page, "changes") == changes
    if fine:
        if page.originals[slot] == 0:
            page.originals[slot] = shared.handlers[page.numbers[slot]]
            page.regions += 1
        page.slots[slot].handler = address
        drop_blocks(
            shared, decoded, Special.WARM, True
        )  # blocks jump to each other past their slots
    release(shared)
    return fine
