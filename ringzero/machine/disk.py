"""What is behind a block device: a raw file, or a copy-on-write overlay over one.

Disks move bytes between a position and views of guest memory; the block device has checked the
range. Host errors are `OSError`, which the device reports to the guest as an I/O error.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ringzero.errors import NotFound, UsageError

SECTOR = 512
BLOCK = 4096  # unit of the overlay's map
SEGMENTS = 512  # views in one call of the host; its limit is 1024
ZEROES = bytes(1 << 16)
KEEP_SIZE, PUNCH_HOLE = 1, 2  # linux/falloc.h


class Disk(Protocol):
    """Bytes that a block device serves."""

    size: int
    read_only: bool
    name: str

    def read(self, position: int, segments: Sequence[memoryview]) -> None:
        """Fill the segments from `position` on."""

    def write(self, position: int, segments: Sequence[memoryview]) -> None:
        """Store the segments from `position` on."""

    def zero(self, position: int, size: int) -> None:
        """Let a range read as zeroes, and free its storage where possible."""

    def flush(self) -> None:
        """Make what was written durable."""

    def close(self) -> None:
        """Let the host's files go."""


def read_fully(fd: int, position: int, segments: Sequence[memoryview]) -> None:
    """`preadv` that neither stops short nor minds the end of the file."""
    for start in range(0, len(segments), SEGMENTS):
        for segment in _transfer(os.preadv, fd, position, segments[start : start + SEGMENTS]):
            segment[:] = bytes(len(segment))
        position += sum(map(len, segments[start : start + SEGMENTS]))


def write_fully(fd: int, position: int, segments: Sequence[memoryview]) -> None:
    """`pwritev` that does not stop short."""
    for start in range(0, len(segments), SEGMENTS):
        batch = segments[start : start + SEGMENTS]
        if _transfer(os.pwritev, fd, position, batch):
            raise OSError("the host's file takes no more data")
        position += sum(map(len, batch))


def _transfer(
    call: object, fd: int, position: int, batch: Sequence[memoryview]
) -> list[memoryview]:
    """Repeat a vector call until all is moved; returns what it would not move."""
    assert callable(call)
    rest = list(batch)
    while rest:
        moved = call(fd, rest, position)
        if not moved:
            break
        position += moved
        while rest and moved >= len(rest[0]):
            moved -= len(rest.pop(0))
        if moved:
            rest[0] = rest[0][moved:]
    return rest


def write_zeroes(fd: int, position: int, size: int) -> None:
    """Zeroes written out."""
    view = memoryview(ZEROES)
    while size > 0:
        count = min(size, len(ZEROES))
        write_fully(fd, position, [view[:count]])
        position, size = position + count, size - count


class RawDisk:
    """A file or block device of the host, byte for byte."""

    def __init__(self, path: str | Path, read_only: bool = False) -> None:
        self.name = str(path)
        self.read_only = read_only
        self.fd = _open(self.name, read_only)
        self.size = os.lseek(self.fd, 0, os.SEEK_END) & -SECTOR
        if not self.size:
            os.close(self.fd)
            raise UsageError(
                f"The disk {self.name} holds less than one sector of {SECTOR} bytes: "
                "create it with `truncate -s 1G`, for instance."
            )

    def read(self, position: int, segments: Sequence[memoryview]) -> None:
        """Fill the segments."""
        read_fully(self.fd, position, segments)

    def write(self, position: int, segments: Sequence[memoryview]) -> None:
        """Store the segments."""
        write_fully(self.fd, position, segments)

    def zero(self, position: int, size: int) -> None:
        """Zeroes; the host's file system has no portable call to punch holes."""
        write_zeroes(self.fd, position, size)

    def flush(self) -> None:
        """Until the host says that it is on the medium."""
        if not self.read_only:
            os.fdatasync(self.fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


def _open(name: str, read_only: bool) -> int:
    try:
        fd = os.open(name, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"The disk {name} does not exist: create it or correct the path.") from error
    except OSError as error:
        raise UsageError(
            f"The disk {name} cannot be opened ({error.strerror}): check its permissions, or "
            "attach it read-only or as a snapshot."
        ) from error
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        os.close(fd)
        raise UsageError(f"The disk {name} is not a file or block device: give a raw image.")
    return fd


class OverlayDisk:
    """Reads come from a base until a block is written; the base never changes.

    Changes live in an unlinked sparse file, so that they cost what they hold and vanish with us.
    """

    def __init__(self, base: Disk, folder: str | Path | None = None) -> None:
        self.base = base
        self.size = base.size
        self.read_only = False
        self.name = base.name
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 — closed by `close`
        self.fd = self.file.fileno()
        os.ftruncate(self.fd, self.size)
        self.present = bytearray((self.size + BLOCK - 1) // BLOCK)  # 1: the block is ours

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
        ours = self.present[start // BLOCK]
        other = self.present.find(1 - ours, start // BLOCK, (end + BLOCK - 1) // BLOCK)
        return bool(ours), end if other < 0 else min(end, other * BLOCK)

    def write(self, position: int, segments: Sequence[memoryview]) -> None:
        """Copy the blocks at both ends first where they are covered in part."""
        size = sum(map(len, segments))
        self._own(position, size)
        write_fully(self.fd, position, segments)

    def zero(self, position: int, size: int) -> None:
        """Zeroes hide the base, so they are written."""
        self._own(position, size)
        write_zeroes(self.fd, position, size)

    def _own(self, position: int, size: int) -> None:
        end = position + size
        for edge in {position // BLOCK, (end - 1) // BLOCK}:
            start, stop = edge * BLOCK, min((edge + 1) * BLOCK, self.size)
            if not self.present[edge] and (position > start or end < stop):
                copy = memoryview(bytearray(stop - start))
                self.base.read(start, [copy])
                write_fully(self.fd, start, [copy])
        first, last = position // BLOCK, (end + BLOCK - 1) // BLOCK
        self.present[first:last] = b"\1" * (last - first)

    def flush(self) -> None:
        """Nothing outlives the run, so nothing has to be durable."""

    def close(self) -> None:
        """Drop the changes."""
        self.file.close()
        self.base.close()
