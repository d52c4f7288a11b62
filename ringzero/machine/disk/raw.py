"""A disk that is a file or block device of the host, byte for byte."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ringzero.descriptors import open_file
from ringzero.errors import NotFound, UsageError
from ringzero.machine.disk import SECTOR
from ringzero.machine.disk.lock import lock_image
from ringzero.machine.disk.transfer import free, read_fully, write_fully, write_zeroes


class RawDisk:
    """`share` takes no lock: others may read and write the file at the same time."""

    def __init__(self, path: str | Path, read_only: bool = False, *, share: bool = False) -> None:
        self.name = str(path)
        self.read_only = read_only
        self.fd = _open(self.name, read_only)
        if not share:
            lock_image(self.fd, self.name, writes=not read_only)
        self.size = os.lseek(self.fd, 0, os.SEEK_END)
        if self.size < SECTOR or self.size % SECTOR:
            os.close(self.fd)
            raise UsageError(_no_sectors(self.name, self.size))

    def read(self, position: int, segments: Sequence[memoryview]) -> None:
        """Fill the segments."""
        read_fully(self.fd, position, segments)

    def write(self, position: int, segments: Sequence[memoryview]) -> None:
        """Store the segments."""
        write_fully(self.fd, position, segments)

    def zero(self, position: int, size: int, *, unmap: bool) -> None:
        """A hole in the file, or zeroes."""
        write_zeroes(self.fd, position, size, unmap=unmap)

    def discard(self, position: int, size: int) -> None:
        """A hole in the file, if its file system has holes."""
        free(self.fd, position, size)

    def flush(self) -> None:
        """Until the host says that it is on the medium."""
        if not self.read_only:
            os.fdatasync(self.fd)

    def close(self) -> None:
        """Close the file, and with it let its lock go."""
        os.close(self.fd)


def _no_sectors(name: str, size: int) -> str:
    if size < SECTOR:
        return (
            f"The disk {name} holds less than one sector of {SECTOR} bytes: "
            "create it with `truncate -s 1G`, for instance."
        )
    return (
        f"The disk {name} holds {size} bytes, which is no whole number of sectors of {SECTOR} "
        f"bytes: it may have been cut; round it up with `truncate -s %{SECTOR}` if it is whole."
    )


def _open(name: str, read_only: bool) -> int:
    try:
        fd = open_file(name, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"The disk {name} does not exist: create it or correct the path.") from error
    except OSError as error:
        raise UsageError(
            f"The disk {name} cannot be opened ({error.strerror}): check its permissions, or "
            "attach it read-only or as an overlay."
        ) from error
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        os.close(fd)
        raise UsageError(f"The disk {name} is not a file or block device: give a raw image.")
    return fd
