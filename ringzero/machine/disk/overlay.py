"""A copy-on-write overlay: reads come from a base until a block is written; the base never changes.

Changes live in an unlinked sparse file, so that they cost what they hold and vanish with us.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ringzero.descriptors import above_standard
from ringzero.machine.disk import Disk
from ringzero.machine.disk.block_map import BlockMap
from ringzero.machine.disk.transfer import free, read_fully, write_fully, write_zeroes

BLOCK = 4096  # unit of what is ours and what is the base's


class OverlayDisk:
    """A disk over another one."""

    def __init__(self, base: Disk, folder: str | Path | None = None) -> None:
        self.base = base
        self.size = base.size
        self.read_only = False
        self.name = base.name
        with tempfile.TemporaryFile(dir=folder) as file:
            self.fd = above_standard(os.dup(file.fileno()))
        self.ours = BlockMap()

    def read(self, position: int, segments: Sequence[memoryview]) -> None:
        """Each run of blocks from the side that holds it."""
        for segment in segments:
            start, end = position, position + len(segment)
            while start < end:
                ours, stop = self._run(start, end)
                piece = [segment[start - position : stop - position]]
                if ours:
                    read_fully(self.fd, start, piece)
                else:
                    self.base.read(start, piece)
                start = stop
            position = end

    def _run(self, start: int, end: int) -> tuple[bool, int]:
        """Does the overlay hold the byte at `start`, and up to where is the answer the same?"""
        ours, block = self.ours.run(start // BLOCK, _blocks(end))
        return ours, min(end, block * BLOCK)

    def write(self, position: int, segments: Sequence[memoryview]) -> None:
        """Blocks are ours once they hold everything: a host that is full loses none of the base."""
        size = sum(map(len, segments))
        self._copy_edges(position, position + size)
        write_fully(self.fd, position, segments)
        self._own(position, size)

    def zero(self, position: int, size: int, *, unmap: bool) -> None:
        """Zeroes of ours hide the base; storage of ours is given back in any case."""
        self._copy_edges(position, position + size)
        write_zeroes(self.fd, position, size, unmap=True)
        self._own(position, size)

    def discard(self, position: int, size: int) -> None:
        """Drop what we hold of whole blocks: the base shows again, which virtio allows."""
        first, last = _blocks(position), (position + size) // BLOCK
        if position + size == self.size:
            last = _blocks(self.size)
        if first < last:
            self.ours.remove(first, last)
            free(self.fd, first * BLOCK, (last - first) * BLOCK)

    def _copy_edges(self, start: int, end: int) -> None:
        """The blocks at both ends of a range, where they are the base's and covered in part."""
        for edge in {start // BLOCK, (end - 1) // BLOCK}:
            first, last = edge * BLOCK, min((edge + 1) * BLOCK, self.size)
            if edge not in self.ours and (start > first or end < last):
                copy = memoryview(bytearray(last - first))
                self.base.read(first, [copy])
                write_fully(self.fd, first, [copy])

    def _own(self, position: int, size: int) -> None:
        self.ours.add(position // BLOCK, _blocks(position + size))

    def flush(self) -> None:
        """Nothing outlives the run, so nothing has to be durable."""

    def close(self) -> None:
        """Drop the changes."""
        os.close(self.fd)
        self.base.close()


def _blocks(end: int) -> int:
    """How many blocks a disk of this many bytes has."""
    return -(-end // BLOCK)
