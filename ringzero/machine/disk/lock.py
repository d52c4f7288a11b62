"""Locks on disk images, the same that QEMU takes, so that the two see each other.

A user of an image says by shared locks on single bytes what it does (100 and up) and what it lets
nobody else do (200 and up), and then looks whether another lock contradicts (`block/file-posix.c`
in QEMU). The locks belong to the open file, so a second opening by the same process counts as
another user's.
"""

from __future__ import annotations

import fcntl
import os
import struct

from ringzero.errors import UsageError

DOES, FORBIDS = 100, 200  # RAW_LOCK_PERM_BASE, RAW_LOCK_SHARED_BASE
READS, WRITES, RESIZES = 0, 1, 3  # the bits of BLK_PERM_CONSISTENT_READ, _WRITE and _RESIZE
FLOCK = struct.Struct("@hhqqi4x")  # struct flock on 64-bit Linux


def lock_image(fd: int, name: str, *, writes: bool) -> None:
    """Hold an image for as long as `fd` is open, or say that another user contradicts."""
    does = (READS, WRITES) if writes else (READS,)
    forbids = (WRITES, RESIZES)
    try:
        for byte in (*(DOES + bit for bit in does), *(FORBIDS + bit for bit in forbids)):
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _request(fcntl.F_RDLCK, byte))
        taken = [DOES + bit for bit in forbids if _held(fd, DOES + bit)]
        taken += [FORBIDS + bit for bit in does if _held(fd, FORBIDS + bit)]
    except OSError:
        return  # a file system without locks cannot say who else is there
    if taken:
        os.close(fd)
        raise UsageError(
            f"The disk {name} is in use already, by another machine or twice by this one, and one "
            "of them writes to it: give it once, attach it read-only everywhere, or add `,share` "
            "to its name if the guests know how to share it."
        )


def _request(kind: int, byte: int) -> bytes:
    return FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)


def _held(fd: int, byte: int) -> bool:
    """Does somebody else hold a lock on a byte?"""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, byte))
    return bool(FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
