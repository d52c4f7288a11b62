"""Which memory a supervisor may name in a call: RAM, as the device tree has it, without our own."""

from __future__ import annotations

from ringzero.bare.device_tree import ABSENT, find, is_tree, word
from ringzero.board.addresses import FIRMWARE_SIZE, RAM_BASE
from ringzero.board.sbi.arguments import is_entry, is_within
from ringzero.firmware.layout import RANGES, shared
from ringzero.lang import native, ptr, typed_range, u8, u64

RANGE = 16  # bytes of an address and a size, two cells each


@native
def wide_word(tree: ptr[u8], offset: u64) -> u64:
    """Two cells."""
    return word(tree, offset) << 32 | word(tree, offset + 4)


@native
def find_ram(tree: ptr[u8]) -> None:
    """Note the ranges of every memory node; what there is no room for, nobody may name."""
    if not is_tree(tree):
        return
    known, node = u64(0), u64(0)
    while True:
        at, size = find(tree, "memory", "reg", False, node)
        if at == ABSENT:
            return
        node += 1
        end = at + size
        while at + RANGE <= end:
            known = note(known, wide_word(tree, at), wide_word(tree, at + 8))
            at += RANGE


@native
def note(known: u64, start: u64, size: u64) -> u64:
    """One more range, from behind the firmware on; how many there are.

    A machine of several nodes has memory that goes on where another's ends: that is one range.
    """
    end = start + size
    if start <= RAM_BASE and RAM_BASE < end:
        start = u64(RAM_BASE + FIRMWARE_SIZE)
    for which in typed_range(known):
        if shared.ram_end[which] == start:
            shared.ram_end[which] = end
            return known
        if shared.ram_start[which] == end:
            shared.ram_start[which] = start
            return known
    if known < RANGES:
        shared.ram_start[known] = start
        shared.ram_end[known] = end
        return known + 1
    return known


@native
def is_open(low: u64, high: u64, size: u64) -> bool:
    """Whether a supervisor may have the firmware read or write these bytes."""
    for which in typed_range(u64(RANGES)):
        if is_within(low, high, size, shared.ram_start[which], shared.ram_end[which]):
            return True
    return False


@native
def is_open_entry(address: u64) -> bool:
    """Whether a supervisor may have a hart begin there."""
    for which in typed_range(u64(RANGES)):
        if is_entry(address, shared.ram_start[which], shared.ram_end[which]):
            return True
    return False
