"""The files that the guest knows, as O_PATH handles below one root.

A handle is opened by one name in one folder's handle, never following a symbolic link, so no path
leads out of the root and a rename on the host cannot redirect one. Only so many are kept open: an
idle handle is closed and opened again through its folder, and is accepted only if it is the same
file as before.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

from ringzero.descriptors import open_file
from ringzero.machine.fuse.owners import Key, key_of
from ringzero.machine.fuse.protocol import NAME_MAX, ROOT_ID, FuseError

HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Inode:
    """One file that the guest holds lookups of."""

    __slots__ = ("capable", "gone", "id", "key", "kind", "lookups", "name", "opened", "parent")

    def __init__(self, id: int, status: os.stat_result, parent: Inode | None, name: bytes) -> None:
        self.id, self.key, self.kind = id, key_of(status), stat.S_IFMT(status.st_mode)
        self.parent, self.name = parent, name
        self.lookups = 0
        self.opened: list[int] = []  # descriptors the guest has open: they outlive the name
        self.gone = False  # its last name was removed, or it has none yet
        self.capable = True  # it may have capabilities, which a write takes away

    def is_file_of(self, status: os.stat_result) -> bool:
        """Is this the same file? File systems give the numbers of removed ones again."""
        return self.key == key_of(status) and self.kind == stat.S_IFMT(status.st_mode)

    def path(self) -> bytes:
        """Where it is, relative to the root."""
        return b"/".join([node.name for node in self._upwards()][::-1])

    def child_path(self, name: bytes) -> bytes:
        """Where a name in this folder is."""
        above = self.path()
        return above + b"/" + name if above else name

    def _upwards(self) -> Iterator[Inode]:
        node: Inode = self
        while node.parent is not None:
            yield node
            node = node.parent

    def to_open(self) -> list[Inode]:
        """This inode and the folders above it, the root left out, lowest first."""
        return list(self._upwards())


class Inodes:
    """The table of a server: numbers to inodes, host files to inodes, and the open handles."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root_fd = open_file(root, HANDLE | os.O_DIRECTORY)
        self._limit = max(limit, 16)
        self._handles: OrderedDict[Inode, int] = OrderedDict()
        self.on_new: Callable[[Inode], None] = _nobody_listens
        self.clear()

    def clear(self) -> None:
        """Forget everything but the root."""
        for fd in self._handles.values():
            os.close(fd)
        self._handles.clear()
        root = Inode(ROOT_ID, os.fstat(self._root_fd), None, b"")
        self._by_id = {ROOT_ID: root}
        self._by_key = {root.key: root}
        self._next_id = ROOT_ID + 1

    def close(self) -> None:
        """Give back all descriptors."""
        self.clear()
        os.close(self._root_fd)

    def get(self, number: int) -> Inode:
        """The inode of a nodeid; one that the guest does not hold is stale."""
        if number not in self._by_id:
            raise FuseError(errno.ESTALE)
        return self._by_id[number]

    def find(self, key: Key) -> Inode | None:
        """The inode of a host file, if the guest knows it."""
        return self._by_key.get(key)

    def handle(self, inode: Inode) -> int:
        """An O_PATH descriptor of an inode, good until the next call but `limit` others."""
        if inode.parent is None:
            return self._root_fd
        fd = self._handles.get(inode)
        if fd is not None:
            self._handles.move_to_end(inode)
            return fd
        if inode.opened:
            return self._keep(inode, open_file(f"/proc/self/fd/{inode.opened[0]}", os.O_PATH))
        return self._reopen(inode)

    def _reopen(self, inode: Inode) -> int:
        pending = []
        fd = self._root_fd
        for node in inode.to_open():
            if node in self._handles:
                fd = self._handles[node]
                break
            pending.append(node)
        for node in reversed(pending):
            if node.gone:
                raise FuseError(errno.ESTALE)
            try:
                below = open_file(node.name, HANDLE, dir_fd=fd)
            except FileNotFoundError:
                raise FuseError(errno.ESTALE) from None
            if not node.is_file_of(os.fstat(below)):
                os.close(below)
                raise FuseError(errno.ESTALE)
            fd = self._keep(node, below)
        return fd

    def _keep(self, inode: Inode, fd: int) -> int:
        self._handles[inode] = fd
        while len(self._handles) > self._limit:
            _, oldest = self._handles.popitem(last=False)
            os.close(oldest)
        return fd

    def lookup(self, parent: Inode, name: bytes) -> Inode:
        """The file of a name in a folder, with one more lookup counted."""
        fd = open_file(checked(name), HANDLE, dir_fd=self.handle(parent))
        return self.adopt(parent, name, fd)

    def adopt(self, parent: Inode, name: bytes, fd: int) -> Inode:
        """The inode of an O_PATH descriptor, which belongs to the table from now on."""
        status = os.fstat(fd)
        inode = self._by_key.get(key_of(status))
        if inode is None or not inode.is_file_of(status):
            inode = Inode(self._next_id, status, parent, name)
            self._next_id += 1
            self._by_id[inode.id] = self._by_key[inode.key] = inode
            self._keep(inode, fd)
            self.on_new(inode)
        elif inode.parent is None or inode in self._handles:
            os.close(fd)
            self._renamed(inode, parent, name)
        else:
            self._renamed(inode, parent, name)
            self._keep(inode, fd)
        inode.lookups += 1
        return inode

    def _renamed(self, inode: Inode, parent: Inode, name: bytes) -> None:
        # A folder bind-mounted into itself must not become its own parent.
        if inode.parent is not None and not any(n is inode for n in parent.to_open()):
            inode.parent, inode.name, inode.gone = parent, name, False

    def moved(self, key: Key, parent: Inode, name: bytes) -> None:
        """A host file has a new name."""
        if inode := self._by_key.get(key):
            self._renamed(inode, parent, name)

    def forget(self, number: int, count: int) -> Inode | None:
        """The guest drops lookups; the inode is answered when it was the last."""
        inode = self._by_id.get(number)
        if inode is None or inode.parent is None:
            return None
        inode.lookups -= count
        if inode.lookups > 0:
            return None
        self._by_id.pop(number)
        if self._by_key.get(inode.key) is inode:
            del self._by_key[inode.key]
        fd = self._handles.pop(inode, None)
        if fd is not None:
            os.close(fd)
        return inode

    def all(self) -> list[Inode]:
        """Every inode that the guest knows."""
        return list(self._by_id.values())


def _nobody_listens(inode: Inode) -> None:
    """Of a table that belongs to no session yet."""


def checked(name: bytes) -> bytes:
    """A name of one file in one folder, or EINVAL: no way up, down or out."""
    if len(name) > NAME_MAX:
        raise FuseError(errno.ENAMETOOLONG)
    if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise FuseError(errno.EINVAL)
    return name
