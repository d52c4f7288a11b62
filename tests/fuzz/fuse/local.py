"""The judge: operations of a file system on a folder of the host, by system calls."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ringzero.machine import libc

Name = tuple[bytes, ...]
"""A path below the root, name by name; no link is followed on the way."""


KEPT = (b"user.", b"trusted.")
"""Extended attributes that are compared; the host adds others of its own."""


@dataclass(frozen=True)
class Facts:
    """What is compared of a file; a folder's size is its file system's business."""

    mode: int
    size: int
    nlink: int
    uid: int
    gid: int
    rdev: int


def facts(status: os.stat_result) -> Facts:
    """A status of the host's as the guest sees it: the host user's files are root's."""
    folder = stat.S_ISDIR(status.st_mode)
    return Facts(
        status.st_mode,
        0 if folder else status.st_size,
        1 if folder else status.st_nlink,
        0 if status.st_uid == os.geteuid() else status.st_uid,
        0 if status.st_gid == os.getegid() else status.st_gid,
        status.st_rdev,
    )


class Local:
    """A folder, reached by system calls relative to folders' descriptors."""

    def __init__(self, root: Path) -> None:
        self.root = os.open(root, os.O_PATH | os.O_DIRECTORY)
        self.files: dict[int, int] = {}

    def close(self) -> None:
        for number in list(self.files):
            self.release(number)
        os.close(self.root)

    def at(self, name: Name) -> int:
        """An O_PATH descriptor of a file, for the caller to close."""
        fd = os.dup(self.root)
        for part in name:
            try:
                below = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below
        return fd

    def within(self, name: Name) -> tuple[int, bytes]:
        """The descriptor of a name's folder, and the name in it."""
        fd = self.at(name[:-1])
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        return fd, name[-1]

    # Names.

    def mknod(self, name: Name, mode: int) -> None:
        fd, last = self.within(name)
        try:
            os.mknod(last, stat.S_IFMT(mode) | 0o600, dir_fd=fd)
            os.chmod(last, stat.S_IMODE(mode), dir_fd=fd)  # the guest's kernel applies the umask
        finally:
            os.close(fd)

    def mkdir(self, name: Name, mode: int) -> None:
        fd, last = self.within(name)
        before = os.umask(0)  # a chmod afterwards would take the set-group-ID bit of the folder's
        try:
            os.mkdir(last, mode, dir_fd=fd)
        finally:
            os.umask(before)
            os.close(fd)

    def symlink(self, name: Name, target: bytes) -> None:
        fd, last = self.within(name)
        try:
            os.symlink(target, last, dir_fd=fd)
        finally:
            os.close(fd)

    def link(self, old: Name, new: Name) -> None:
        source, fd = self.at(old), -1
        try:
            fd, last = self.within(new)
            os.link(f"/proc/self/fd/{source}", last, dst_dir_fd=fd, follow_symlinks=True)
        finally:
            os.close(source)
            if fd >= 0:
                os.close(fd)

    def remove(self, name: Name, folder: bool) -> None:
        fd, last = self.within(name)
        try:
            (os.rmdir if folder else os.unlink)(last, dir_fd=fd)
        finally:
            os.close(fd)

    def rename(self, old: Name, new: Name, flags: int) -> None:
        source, first = self.within(old)
        target = -1
        try:
            target, second = self.within(new)
            libc.renameat2(source, first, target, second, flags)
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)

    def readlink(self, name: Name) -> bytes:
        fd = self.at(name)
        try:
            return os.readlink(b"", dir_fd=fd)
        finally:
            os.close(fd)

    def listing(self, name: Name) -> list[bytes]:
        fd = self.at(name)
        try:
            return sorted(os.listdir(os.fsencode(f"/proc/self/fd/{fd}")))
        finally:
            os.close(fd)

    # What a file is.

    def stat(self, name: Name) -> Facts:
        fd = self.at(name)
        try:
            return facts(os.fstat(fd))
        finally:
            os.close(fd)

    def chmod(self, name: Name, mode: int) -> None:
        self._change(name, lambda place: os.chmod(place, mode))

    def chown(self, name: Name, uid: int, gid: int) -> None:
        self._change(name, lambda place: os.chown(place, uid, gid))

    def truncate(self, name: Name, size: int) -> None:
        self._change(name, lambda place: os.truncate(place, size))

    def set_mtime(self, name: Name, nanoseconds: int) -> int:
        self._change(name, lambda place: os.utime(place, ns=(nanoseconds, nanoseconds)))
        fd = self.at(name)
        try:
            return os.fstat(fd).st_mtime_ns
        finally:
            os.close(fd)

    def set_xattr(self, name: Name, key: bytes, value: bytes, flags: int) -> None:
        self._change(name, lambda place: os.setxattr(place, key, value, flags))

    def remove_xattr(self, name: Name, key: bytes) -> None:
        self._change(name, lambda place: os.removexattr(place, key))

    def xattrs(self, name: Name) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}

        def read(place: str) -> None:
            keys = [key for key in map(os.fsencode, os.listxattr(place)) if key.startswith(KEPT)]
            found.update({key: os.getxattr(place, key) for key in keys})

        self._change(name, read)
        return found

    def _change(self, name: Name, change: object) -> None:
        assert callable(change)
        fd = self.at(name)
        try:
            change(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)

    # Open files.

    def create(self, number: int, name: Name, mode: int) -> None:
        fd, last = self.within(name)
        try:
            self.files[number] = os.open(last, os.O_RDWR | os.O_CREAT | os.O_EXCL, dir_fd=fd)
            os.fchmod(self.files[number], mode)
        finally:
            os.close(fd)

    def temporary(self, number: int, folder: Name, mode: int) -> None:
        fd = self.at(folder)
        try:
            self.files[number] = os.open(f"/proc/self/fd/{fd}", os.O_TMPFILE | os.O_RDWR)
            os.fchmod(self.files[number], mode)
        finally:
            os.close(fd)

    def open(self, number: int, name: Name, flags: int) -> None:
        self._change(name, lambda place: self.files.update({number: os.open(place, flags)}))

    def link_open(self, number: int, name: Name) -> None:
        fd, last = self.within(name)
        try:
            place = f"/proc/self/fd/{self.files[number]}"
            os.link(place, last, dst_dir_fd=fd, follow_symlinks=True)
        finally:
            os.close(fd)

    def read(self, number: int, offset: int, size: int) -> bytes:
        return os.pread(self.files[number], size, offset)

    def write(self, number: int, offset: int, data: bytes, append: bool) -> int:
        flags = os.RWF_APPEND if append else 0
        return os.pwritev(self.files[number], [data], offset, flags)

    def resize(self, number: int, size: int) -> None:
        os.ftruncate(self.files[number], size)

    def allocate(self, number: int, mode: int, offset: int, length: int) -> None:
        libc.fallocate(self.files[number], mode, offset, length)

    def copy(self, source: int, start: int, target: int, to: int, length: int) -> int:
        return os.copy_file_range(self.files[source], self.files[target], length, start, to)

    def fstat(self, number: int) -> Facts:
        return facts(os.fstat(self.files[number]))

    def release(self, number: int) -> None:
        os.close(self.files.pop(number))
