"""A set of block numbers, whose memory follows what is in it, not the largest number.

Blocks are bits of integers, one integer for 4096 blocks; a group that is whole shares one integer
with all others, so that long ranges cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

GROUP = 4096
WHOLE = (1 << GROUP) - 1


class BlockMap:
    """Which blocks are in the set; ranges go from `first` up to but not including `last`."""

    def __init__(self) -> None:
        self._groups: dict[int, int] = {}

    def __contains__(self, block: int) -> bool:
        return bool(self._groups.get(block // GROUP, 0) >> block % GROUP & 1)

    def add(self, first: int, last: int) -> None:
        """Put a range in."""
        for group, mask in _masks(first, last):
            bits = self._groups.get(group, 0) | mask
            self._groups[group] = WHOLE if bits == WHOLE else bits

    def remove(self, first: int, last: int) -> None:
        """Take a range out."""
        for group, mask in _masks(first, last):
            bits = self._groups.get(group, 0) & ~mask
            if bits:
                self._groups[group] = bits
            else:
                self._groups.pop(group, None)

    def run(self, block: int, last: int) -> tuple[bool, int]:
        """Is a block in the set, and up to which block, `last` at most, is the answer the same?"""
        inside = block in self
        while block < last:
            bits = self._groups.get(block // GROUP, 0) >> block % GROUP
            left = GROUP - block % GROUP
            other = ~bits if inside else bits  # its lowest one is where the answer changes
            length = min((other & -other).bit_length() - 1 if other else left, left)
            block += length
            if length < left:
                break
        return inside, min(block, last)


def _masks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The groups that a range touches, each with its bits."""
    while first < last:
        group, start = divmod(first, GROUP)
        count = min(GROUP - start, last - first)
        yield group, WHOLE if count == GROUP else (1 << count) - 1 << start
        first += count
