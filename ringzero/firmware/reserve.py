"""Keeping the next stage out of the firmware's memory: an entry in the device tree's reservations.

A board that knows this firmware has reserved its memory already; QEMU has not, and counts on the
firmware to do it (Devicetree Specification 0.4, 5.3: the memory reservation block).
"""

from __future__ import annotations

from ringzero.bare.device_tree import (
    ABSENT,
    RESERVATIONS,
    STRINGS,
    STRUCTURE,
    TOTAL_SIZE,
    find,
    is_tree,
    word,
)
from ringzero.bare.memory import memmove
from ringzero.board.addresses import FIRMWARE_SIZE, RAM_BASE
from ringzero.lang import advance, byteswap, native, poke, ptr, u8, u32, u64

ENTRY = 16


@native
def put_word(tree: ptr[u8], offset: u64, value: u64) -> None:
    poke(u32, tree, offset, byteswap(u32(value)))


@native
def reserve(tree: ptr[u8]) -> None:
    """Reserve our memory in `tree`, in place; the tree grows by one entry."""
    if not is_tree(tree):
        return
    found, size = find(tree, "reserved-memory", "reg", True, u64(0))
    if found != ABSENT and size >= 16 and word(tree, found + 4) == RAM_BASE:
        return
    first = word(tree, RESERVATIONS)
    moved = word(tree, TOTAL_SIZE) - first
    memmove(advance(tree, first + ENTRY), advance(tree, first), moved)
    for field in (TOTAL_SIZE, STRUCTURE, STRINGS):
        put_word(tree, u64(field), word(tree, field) + ENTRY)
    put_word(tree, first, u64(RAM_BASE >> 32))
    put_word(tree, first + 4, u64(RAM_BASE))
    put_word(tree, first + 8, u64(FIRMWARE_SIZE >> 32))
    put_word(tree, first + 12, u64(FIRMWARE_SIZE))
