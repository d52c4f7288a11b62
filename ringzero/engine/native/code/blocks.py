"""Compiled blocks in decoded pages: handlers that lie in code memory, and how they are dropped.

Also the interpreter's handler of a decoded slot, by number: whatever stands in the slot itself.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import decoded_page, page_number, slot_index
from ringzero.engine.native.state import PAGE_SLOTS, Shared
from ringzero.lang import native, typed_range, u8, u16, u64

LEADER, COUNTED = 0x80, 0x7F  # in a mark: whether a block begins there; how often it was entered
MOST_DROPS = 64  # stores into a page's code until it is not compiled again


@native
def set_number(shared: Shared, offset: u64, number: u64) -> None:
    """Remember which handler is the interpreter's for a slot, given by its offset."""
    decoded_page(shared, page_number(offset)).numbers[slot_index(offset)] = u16(number)


@native(inline=True)
def number_at(shared: Shared, decoded: u64, slot: u64) -> u64:
    """A decoded slot's handler in the interpreter, by number."""
    return u64(decoded_page(shared, decoded).numbers[slot])


@native
def clear_marks(shared: Shared, decoded: u64) -> None:
    """Nothing is known of the page's blocks."""
    page = decoded_page(shared, decoded)
    page.compiled = 0
    page.drops = 0
    for i in typed_range(u64(PAGE_SLOTS)):
        page.marks[i] = u8(0)


@native(inline=True)
def is_compiled(shared: Shared, handler: u64) -> bool:
    """Whether a handler is a compiled block."""
    return handler - shared.compiler[0].run < shared.compiler[0].size


@native(cold=True)
def drop_blocks(shared: Shared, decoded: u64, warm: int, soon: bool) -> None:
    """A page's blocks are dropped: to be compiled again `soon`, or because its code changed.

    Their slots get the handler numbered `warm`, or the interpreter's where that happens often.
    """
    page = decoded_page(shared, decoded)
    if page.compiled == 0:
        return
    page.compiled = 0
    mark = u8(LEADER)
    if soon:
        mark = u8(shared.compiler[0].threshold - 1) | LEADER
    else:
        page.drops += 1
    for i in typed_range(u64(PAGE_SLOTS)):
        if is_compiled(shared, page.slots[i].handler):
            page.marks[i] = mark
            page.slots[i].handler = shared.handlers[warm]
            if page.drops > MOST_DROPS:
                page.slots[i].handler = shared.handlers[page.numbers[i]]
