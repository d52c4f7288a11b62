"""System calls that Python's `os` does not offer, through the C library."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    function = getattr(_libc, name)
    while function(*arguments) != 0:
        code = ctypes.get_errno()
        if code != 4:  # EINTR: a signal came first
            raise OSError(code, os.strerror(code))


def renameat2(old_folder: int, old: bytes, new_folder: int, new: bytes, flags: int) -> None:
    """rename(2) with RENAME_NOREPLACE or RENAME_EXCHANGE."""
    _call("renameat2", old_folder, old, new_folder, new, ctypes.c_uint(flags))


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2)."""
    _call("fallocate64", fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length))


def syncfs(fd: int) -> None:
    """syncfs(2): write back the file system that a file is on."""
    _call("syncfs", fd)
