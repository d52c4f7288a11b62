"""Stitched blocks as slot arrays see them: handlers that lie in code memory, and how they go.

Also the interpreter's handler of a decoded slot, by number: whatever stands in the slot itself.
"""

from __future__ import annotations

from ringzero.engine.native.state import (
    MARKS,
    NUMBERS,
    PAGE_SLOTS,
    PAGE_STRIDE,
    SLOT_BYTES,
    STITCHED,
    THRASHED,
    Shared,
    Slot,
)
from ringzero.lang import advance, native, peek, poke, ptr, reinterpret, typed_range, u8, u16, u64

LEADER, COUNTED = 0x80, 0x7F  # in a mark: whether a block begins there; how often it was entered
MOST_DROPS = 64  # stores into a page's code until it is not stitched again


@native
def set_number(shared: Shared, distance: u64, number: u64) -> None:
    """Remember which handler is the interpreter's for a slot, given as its byte offset."""
    at = (distance & ~(PAGE_STRIDE - 1)) + NUMBERS + (distance % PAGE_STRIDE) // (SLOT_BYTES // 2)
    poke(u16, shared.slots, at, u16(number))


@native(inline=True)
def number_at(shared: Shared, array: u64, slot: u64) -> u64:
    """A decoded slot's handler in the interpreter, by number."""
    return u64(peek(u16, shared.slots, array * PAGE_STRIDE + NUMBERS + slot * 2))


@native
def clear_marks(shared: Shared, array: u64) -> None:
    """Nothing is known of the page's blocks."""
    poke(u64, shared.slots, array * PAGE_STRIDE + STITCHED, u64(0))
    poke(u64, shared.slots, array * PAGE_STRIDE + THRASHED, u64(0))
    for i in typed_range(u64(PAGE_SLOTS // 8)):
        poke(u64, shared.slots, array * PAGE_STRIDE + MARKS + i * 8, u64(0))


@native(inline=True)
def is_stencil(shared: Shared, handler: u64) -> bool:
    """Whether a handler is a stitched block."""
    return handler - shared.stitcher[0].run < shared.stitcher[0].size


@native(cold=True)
def drop_stencils(shared: Shared, array: u64, warm: int, soon: bool) -> None:
    """A page's blocks go: `soon` to be stitched again, or because its code changed.

    Their slots get the handler numbered `warm`, or the interpreter's where that happens often.
    """
    if peek(u64, shared.slots, array * PAGE_STRIDE + STITCHED) == 0:
        return
    poke(u64, shared.slots, array * PAGE_STRIDE + STITCHED, u64(0))
    mark = u8(LEADER)
    drops = peek(u64, shared.slots, array * PAGE_STRIDE + THRASHED)
    if soon:
        mark = u8(shared.stitcher[0].threshold - 1) | LEADER
    else:
        drops += 1
        poke(u64, shared.slots, array * PAGE_STRIDE + THRASHED, drops)
    slots = reinterpret(ptr[Slot], advance(shared.slots, array * PAGE_STRIDE))
    for i in typed_range(u64(PAGE_SLOTS)):
        if is_stencil(shared, slots[i].handler):
            poke(u8, shared.slots, array * PAGE_STRIDE + MARKS + i, mark)
            slots[i].handler = shared.handlers[warm]
            if drops > MOST_DROPS:
                slots[i].handler = shared.handlers[number_at(shared, array, i)]
