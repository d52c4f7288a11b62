"""Bytes between a host file and pieces of guest memory: whole, whatever single calls leave out."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence

from ringzero.machine import libc

SEGMENTS = 512  # views in one call of the host; its limit is 1024
ZEROES = bytes(1 << 16)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10  # linux/falloc.h
CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.EINVAL)
"""A file system's answers when it has no holes, or a device's when it has none of this size."""

Vector = Callable[[int, list[memoryview], int], int]


def read_fully(fd: int, position: int, segments: Sequence[memoryview]) -> None:
    """`preadv` that neither stops short nor minds the end of the file."""
    for start in range(0, len(segments), SEGMENTS):
        batch = segments[start : start + SEGMENTS]
        for segment in _transfer(os.preadv, fd, position, batch):
            segment[:] = bytes(len(segment))
        position += sum(map(len, batch))


def write_fully(fd: int, position: int, segments: Sequence[memoryview]) -> None:
    """`pwritev` that does not stop short."""
    for start in range(0, len(segments), SEGMENTS):
        batch = segments[start : start + SEGMENTS]
        if _transfer(os.pwritev, fd, position, batch):
            raise OSError("the host's file takes no more data")
        position += sum(map(len, batch))


def _transfer(
    call: Vector, fd: int, position: int, batch: Sequence[memoryview]
) -> list[memoryview]:
    """Repeat a vector call until all is moved; returns what it would not move."""
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


def _allocate(fd: int, mode: int, position: int, size: int) -> bool:
    """fallocate(2); False where the host's file system or device cannot."""
    try:
        libc.fallocate(fd, mode | KEEP_SIZE, position, size)
    except OSError as error:
        if error.errno in CANNOT:
            return False
        raise
    return True


def write_zeroes(fd: int, position: int, size: int, *, unmap: bool) -> None:
    """Zeroes, as a hole if `unmap` allows it, and written out where the host knows no better."""
    if _allocate(fd, PUNCH_HOLE if unmap else ZERO_RANGE, position, size):
        return
    view = memoryview(ZEROES)
    while size > 0:
        count = min(size, len(ZEROES))
        write_fully(fd, position, [view[:count]])
        position, size = position + count, size - count


def free(fd: int, position: int, size: int) -> None:
    """Give a range's storage back if the host can; a discard is advice."""
    with contextlib.suppress(OSError):
        libc.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, position, size)
