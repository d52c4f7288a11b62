"""Where a slot is: from an instruction's address to its slot, its decoded page, and back.

A slot's offset is the distance in bytes from the first slot of all (`Shared.slots`). It tells the
decoded page by number, the slot by index, and the instruction by its place in the page of code.
"""

from __future__ import annotations

import ctypes

from ringzero.engine.native.state import PAGE_STRIDE, DecodedPage, Shared, Slot
from ringzero.lang import address_of, advance, native, ptr, reinterpret, u64
from ringzero.lang.host import view

SLOT_BYTES = ctypes.sizeof(view(Slot))
SLOT_SHIFT = 3  # of an instruction's offset in its page, to its slot's: 16 bytes for two of code
SLOTS_MASK = (4096 << SLOT_SHIFT) - 1  # of a slot's address: where it is among its page's slots

assert SLOT_BYTES == 2 << SLOT_SHIFT
assert ctypes.sizeof(view(DecodedPage)) <= PAGE_STRIDE


@native(inline=True)
def decoded_page(shared: Shared, number: u64) -> DecodedPage:
    """A decoded page by its number."""
    return reinterpret(DecodedPage, advance(shared.slots, number * PAGE_STRIDE))


@native(inline=True)
def slots_of(shared: Shared, number: u64) -> ptr[Slot]:
    """The slots of a decoded page."""
    return reinterpret(ptr[Slot], advance(shared.slots, number * PAGE_STRIDE))


@native(inline=True)
def first_slot(number: u64) -> u64:
    """The offset of a decoded page's first slot."""
    return number * PAGE_STRIDE


@native(inline=True)
def slot_offset(shared: Shared, slot: ptr[Slot]) -> u64:
    """The offset of a slot."""
    return address_of(slot) - address_of(shared.slots)


@native(inline=True)
def page_number(offset: u64) -> u64:
    """The decoded page that a slot, given by its offset, is of."""
    return offset // PAGE_STRIDE


@native(inline=True)
def slot_index(offset: u64) -> u64:
    """Which of its page's slots it is."""
    return (offset % PAGE_STRIDE) // SLOT_BYTES


@native(inline=True)
def code_offset(offset: u64) -> u64:
    """Where in its page of code the slot's instruction begins."""
    return (offset % PAGE_STRIDE) >> SLOT_SHIFT


@native(inline=True)
def slot_at(first: u64, pc: u64) -> u64:
    """The offset of the slot of an address in the decoded page whose first slot is given."""
    return first + ((pc & 0xFFE) << SLOT_SHIFT)
