"""File descriptors that stay clear of 0, 1 and 2.

A process may be started with standard input or output closed. The next file to be opened then gets
that number, and what the process prints ends up in it: in a disk, or in a guest's memory.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys

STANDARD_ERROR = 2


def above_standard(descriptor: int) -> int:
    """The same open file, at another descriptor if it had got one of the first three."""
    if descriptor > STANDARD_ERROR:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, STANDARD_ERROR + 1)
    finally:
        os.close(descriptor)


def open_file(
    path: str | os.PathLike[str] | bytes,
    flags: int,
    mode: int = 0o777,
    *,
    dir_fd: int | None = None,
) -> int:
    """`os.open`, clear of the first three descriptors."""
    return above_standard(os.open(path, flags, mode, dir_fd=dir_fd))


def map_file(descriptor: int, size: int, **how: int) -> mmap.mmap:
    """`mmap.mmap`, clear of the first three descriptors: it keeps a duplicate of the file's.

    Nobody says which number that gets, so those of the three that are free are taken meanwhile.
    """
    taken = [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)]
    try:
        while taken[-1] <= STANDARD_ERROR:
            taken.append(os.dup(taken[-1]))
        return mmap.mmap(descriptor, size, **how)
    finally:
        for number in taken:
            os.close(number)


def occupy_standard_streams() -> None:
    """Where a process has no standard input, output or error: /dev/null, as if it was told so.

    Python's own streams are None then, which `print` and others do not expect.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:  # pragma: no cover - open takes the lowest number
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115
