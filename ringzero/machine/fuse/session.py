"""What all FUSE operations share: inodes, owners, open files, and how attributes are packed.

Each operation is a function from a session and a request to the body of the answer, registered by
its opcode; a failure is raised as FuseError or OSError and becomes an errno in `server.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ringzero.descriptors import open_file
from ringzero.machine.fuse import labels, protocol
from ringzero.machine.fuse.inodes import Inode, Inodes
from ringzero.machine.fuse.owners import SPECIAL, Owners, Seen, key_of
from ringzero.machine.fuse.protocol import FuseError, Op, Request

CAPABILITY = b"security.capability"
OURS = b"user.ringzero."
"""Stands on the host before extended attributes that it is not to understand."""


@dataclass
class OpenFile:
    """A file or folder that the guest has open."""

    inode: Inode
    fd: int
    entries: list[tuple[bytes, int, int]] = field(default_factory=list)
    """A folder's names, inode numbers and kinds, as read at offset 0."""


class Session:
    """The state of one served folder."""

    def __init__(
        self, root: Path, manifest: Path | None, *, read_only: bool, exclusive: bool
    ) -> None:
        self.read_only, self.exclusive = read_only, exclusive
        self.cache_seconds = 86400 if exclusive else 1
        # The process has other uses for descriptors, so the guest gets a part of them.
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if allowed == resource.RLIM_INFINITY:
            allowed = 1 << 16
        self.open_limit = max(min(allowed // 4, 8192), 16)
        self.inodes = Inodes(root, self.open_limit)
        self.owners = Owners(root, manifest, save=not read_only)
        self.inodes.on_new = self._recall
        self._recall(self.inodes.get(1))
        self.files: dict[int, OpenFile] = {}
        self.next_file = 1
        self.minor = 0  # of the protocol; 0 before INIT
        self._devices = {os.fstat(self.inodes.handle(self.inodes.get(1))).st_dev: 0}

    # What the guest may do.

    def must_write(self) -> None:
        """Refuse a change to a folder that is served read-only."""
        if self.read_only:
            raise FuseError(errno.EROFS)

    # Open files.

    def open(self, inode: Inode, flags: int) -> int:
        """Open an inode's file or folder; the descriptor is of the file that was looked at."""
        status = os.fstat(self.inodes.handle(inode))
        kind = stat.S_IFMT(self.owners.seen(status).mode)
        if stat.S_IFMT(status.st_mode) not in (stat.S_IFREG, stat.S_IFDIR) or kind in SPECIAL:
            raise FuseError(errno.ENXIO)  # the guest's kernel opens devices and pipes itself
        path = f"/proc/self/fd/{self.inodes.handle(inode)}"
        return open_file(path, flags | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)

    def keep_open(self, inode: Inode, fd: int) -> int:
        """A file handle for the guest."""
        if len(self.files) >= self.open_limit:
            os.close(fd)
            raise FuseError(errno.ENFILE)
        number = self.next_file
        self.next_file += 1
        self.files[number] = OpenFile(inode, fd)
        inode.opened.append(fd)
        return number

    def file(self, number: int) -> OpenFile:
        """What the guest has open under a number."""
        if number not in self.files:
            raise FuseError(errno.EBADF)
        return self.files[number]

    def release(self, number: int) -> None:
        """The guest closes a file."""
        opened = self.files.pop(number, None)
        if opened is not None:
            opened.inode.opened.remove(opened.fd)
            os.close(opened.fd)

    def status(self, inode: Inode) -> os.stat_result:
        """The host's status of an inode."""
        return os.fstat(self.inodes.handle(inode))

    # Answers.

    def number(self, status: os.stat_result) -> int:
        """The inode number that the guest sees: the host's, told apart by file system."""
        device = self._devices.setdefault(status.st_dev, len(self._devices))
        return (status.st_ino ^ (device << 48)) & 0xFFFF_FFFF_FFFF_FFFF

    def attributes(self, status: os.stat_result) -> bytes:
        """struct fuse_attr."""
        seen = self.owners.seen(status)
        times = (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
        seconds = [time // 1_000_000_000 & 0xFFFF_FFFF_FFFF_FFFF for time in times]
        return protocol.ATTR.pack(
            self.number(status),
            status.st_size,
            status.st_blocks,
            *seconds,
            *(time % 1_000_000_000 for time in times),
            seen.mode,
            status.st_nlink,
            seen.uid & 0xFFFF_FFFF,
            seen.gid & 0xFFFF_FFFF,
            protocol.encode_device(*seen.rdev) & 0xFFFF_FFFF,
            min(status.st_blksize, 1 << 20),
            0,
        )

    def attr_out(self, status: os.stat_result) -> bytes:
        """struct fuse_attr_out."""
        return protocol.ATTR_OUT.pack(self.cache_seconds, 0, 0) + self.attributes(status)

    def entry_out(self, inode: Inode) -> bytes:
        """struct fuse_entry_out."""
        seconds = self.cache_seconds
        head = protocol.ENTRY_OUT.pack(inode.id, 0, seconds, seconds, 0, 0)
        return head + self.attributes(self.status(inode))

    def open_out(self, number: int, *, folder: bool = False) -> bytes:
        """struct fuse_open_out."""
        flags = 0
        if self.exclusive:
            flags = protocol.FOPEN_KEEP_CACHE | (protocol.FOPEN_CACHE_DIR if folder else 0)
        return protocol.OPEN_OUT.pack(number, flags, 0)

    # Owners.

    def own(self, inode: Inode, wanted: Seen) -> None:
        """Make a file look like this: its mode on the host as far as that is safe, the rest in the
        records. The host's owner keeps access, and set-uid bits stay in the guest."""
        status = self.status(inode)
        if not stat.S_ISLNK(status.st_mode):
            keep = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
            safe = wanted.mode & 0o777 | keep
            special = stat.S_IFMT(wanted.mode) in SPECIAL
            if not special and safe != stat.S_IMODE(status.st_mode):
                # Where it is not the host user's own file, the record alone says it.
                with contextlib.suppress(PermissionError):
                    os.chmod(self.place(inode), safe)
            status = self.status(inode)
        self.owners.set(status, inode.path(), wanted)
        if self.owners.labelled and inode.kind != stat.S_IFLNK:
            labels.write(self.place(inode), self.owners.label(inode.key))

    def _recall(self, inode: Inode) -> None:
        """A file that the guest meets may bring how it looked to an earlier one."""
        if self.owners.labelled and inode.kind in (stat.S_IFREG, stat.S_IFDIR):
            if label := labels.read(self.place(inode)):
                self.owners.recall(inode.key, inode.path(), label)

    def place(self, inode: Inode) -> str:
        """A path to an inode's file, whatever its name is; of a symbolic link, to its target."""
        return f"/proc/self/fd/{self.inodes.handle(inode)}"

    def lose_privileges(self, inode: Inode, *, suid: bool) -> None:
        """What a write, a truncation or a change of owner takes from a program: its capabilities,
        and with `suid` set-uid, and set-gid where the group may run it (chmod(2), write(2))."""
        if inode.capable and inode.kind == stat.S_IFREG:
            inode.capable = False
            self.owners.remove_attribute(inode.key, CAPABILITY)
            with contextlib.suppress(OSError):
                os.removexattr(self.place(inode), OURS + CAPABILITY)
        if suid:
            self.drop_set_id(inode)

    def drop_set_id(self, inode: Inode) -> None:
        """Take set-uid and set-gid away, as the kernel does for a file that changes."""
        seen = self.owners.seen(self.status(inode))
        lost = stat.S_ISUID | (stat.S_ISGID if seen.mode & stat.S_IXGRP else 0)
        if stat.S_ISREG(seen.mode) and seen.mode & lost:
            self.own(inode, replace(seen, mode=seen.mode & ~lost))

    def created(self, parent: Inode, inode: Inode, request: Request, mode: int) -> Seen:
        """How a new file looks: the caller's, or of the folder's group if that is set-gid."""
        above = self.owners.seen(self.status(parent))
        gid = request.gid
        if above.mode & stat.S_ISGID:
            gid = above.gid
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        return Seen(mode, request.uid, gid)

    def dropped(self, inode: Inode) -> None:
        """The guest no longer knows an inode; what was recorded of a removed file goes too."""
        if inode.gone:
            self.owners.forget(inode.key)

    def reset(self) -> None:
        """Forget all that the guest knew and had open, as at a reboot."""
        for number in list(self.files):
            self.release(number)
        for inode in self.inodes.all():
            self.dropped(inode)
        try:
            self.owners.save()
        except OSError as error:  # a guest that synchronised has been told
            warnings.warn(
                f"New owners and modes of files could not be saved ({error.strerror}).",
                RuntimeWarning,
                stacklevel=2,
            )
        self.inodes.clear()
        self.minor = 0


Operation = Callable[[Session, Request], bytes]
OPERATIONS: dict[int, Operation] = {}


def answers(*opcodes: Op) -> Callable[[Operation], Operation]:
    """Register the function that answers these opcodes."""

    def register(operation: Operation) -> Operation:
        for opcode in opcodes:
            assert opcode not in OPERATIONS
            OPERATIONS[opcode] = operation
        return operation

    return register


def is_last_name(status: os.stat_result) -> bool:
    """Does removing one name of it remove the file?"""
    return stat.S_ISDIR(status.st_mode) or status.st_nlink <= 1


__all__ = ["OPERATIONS", "OpenFile", "Session", "answers", "is_last_name", "key_of"]
