"""The same operations as messages to the FUSE server, as a guest's kernel would send them."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from pathlib import Path

from ringzero.machine.fuse import protocol
from ringzero.machine.fuse.protocol import Op, Set
from tests.fuse.guest import Attributes, Guest, attributes, entry
from tests.fuzz.fuse.local import Facts, Name


def facts(seen: Attributes) -> Facts:
    """Attributes of the protocol as they are compared."""
    folder = stat.S_ISDIR(seen.mode)
    return Facts(
        seen.mode,
        0 if folder else seen.size,
        1 if folder else seen.nlink,
        seen.uid,
        seen.gid,
        os.makedev(*protocol.decode_device(seen.rdev)),
    )


class Served:
    """A folder behind the server. Each operation walks its path; nodes are held until `forget`."""

    def __init__(self, root: Path) -> None:
        self.guest = Guest(root)
        self.lookups: Counter[int] = Counter()
        self.files: dict[int, tuple[int, int]] = {}  # nodeid and file handle

    def close(self) -> None:
        self.guest.server.close()

    def at(self, name: Name) -> int:
        node = 1
        for part in name:
            node = self._known(self.guest.lookup(part, node))
        return node

    def folder(self, name: Name) -> int:
        """The node of a folder; a guest's kernel finds out itself that a file is none."""
        node = self.at(name)
        if not stat.S_ISDIR(self.guest.stat(node).mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        return node

    def _known(self, node: int) -> int:
        self.lookups[node] += 1
        return node

    def forget(self) -> None:
        """Drop every node that no open file needs."""
        held = {node for node, _ in self.files.values()}
        for node in [node for node in self.lookups if node not in held]:
            body = protocol.FORGET_IN.pack(self.lookups.pop(node))
            self.guest.silent(Op.FORGET, node, body)

    # Names.

    def mknod(self, name: Name, mode: int) -> None:
        self._known(self.guest.mknod(name[-1], mode, parent=self.folder(name[:-1])))

    def mkdir(self, name: Name, mode: int) -> None:
        self._known(self.guest.mkdir(name[-1], self.folder(name[:-1]), mode))

    def symlink(self, name: Name, target: bytes) -> None:
        self._known(self.guest.symlink(name[-1], target, self.folder(name[:-1])))

    def link(self, old: Name, new: Name) -> None:
        node = self.at(old)
        self._known(self.guest.link(node, new[-1], self.folder(new[:-1])))

    def remove(self, name: Name, folder: bool) -> None:
        operation = Op.RMDIR if folder else Op.UNLINK
        self.guest.call(operation, self.folder(name[:-1]), name[-1] + b"\0")

    def rename(self, old: Name, new: Name, flags: int) -> None:
        source = self.folder(old[:-1])
        self.guest.rename(old[-1], new[-1], source, self.folder(new[:-1]), flags)

    def readlink(self, name: Name) -> bytes:
        return self.guest.call(Op.READLINK, self.at(name))

    def listing(self, name: Name) -> list[bytes]:
        return self.guest.listing(self.at(name), size=300)

    # What a file is.

    def stat(self, name: Name) -> Facts:
        return facts(self.guest.stat(self.at(name)))

    def chmod(self, name: Name, mode: int) -> None:
        self.guest.setattr(self.at(name), Set.MODE, mode=mode)

    def chown(self, name: Name, uid: int, gid: int) -> None:
        self.guest.setattr(self.at(name), Set.UID | Set.GID, uid=uid, gid=gid)

    def truncate(self, name: Name, size: int) -> None:
        self.guest.setattr(self.at(name), Set.SIZE, size=size)

    def set_mtime(self, name: Name, nanoseconds: int) -> int:
        seconds, part = divmod(nanoseconds, 1_000_000_000)
        node = self.at(name)
        body = protocol.SETATTR_IN.pack(
            Set.ATIME | Set.MTIME, 0, 0, 0, 0, seconds, seconds, 0, part, part, *[0] * 6
        )
        answer = self.guest.call(Op.SETATTR, node, body)
        numbers = protocol.ATTR.unpack_from(answer, protocol.ATTR_OUT.size)
        return int(numbers[4] * 1_000_000_000 + numbers[7])

    def set_xattr(self, name: Name, key: bytes, value: bytes, flags: int) -> None:
        self.guest.set_xattr(self.at(name), key, value, flags)

    def remove_xattr(self, name: Name, key: bytes) -> None:
        self.guest.remove_xattr(self.at(name), key)

    def xattrs(self, name: Name) -> dict[bytes, bytes]:
        node = self.at(name)
        return {key: self.guest.xattr(node, key) for key in self.guest.xattrs(node)}

    # Open files.

    def create(self, number: int, name: Name, mode: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        node, handle = self.guest.create(name[-1], self.folder(name[:-1]), mode, flags)
        self.files[number] = self._known(node), handle

    def temporary(self, number: int, folder: Name, mode: int) -> None:
        node, handle = self.guest.temporary(self.at(folder), mode)
        self.files[number] = self._known(node), handle

    def open(self, number: int, name: Name, flags: int) -> None:
        node = self.at(name)
        self.files[number] = node, self.guest.open(node, flags)

    def link_open(self, number: int, name: Name) -> None:
        self._known(self.guest.link(self.files[number][0], name[-1], self.folder(name[:-1])))

    def read(self, number: int, offset: int, size: int) -> bytes:
        return self.guest.read(self.files[number][1], size, offset)

    def write(self, number: int, offset: int, data: bytes, append: bool) -> int:
        flags = os.O_RDWR | (os.O_APPEND if append else 0)
        return self.guest.write(self.files[number][1], data, offset, flags=flags)

    def resize(self, number: int, size: int) -> None:
        node, handle = self.files[number]
        self.guest.setattr(node, Set.SIZE | Set.FH, size=size, fh=handle)

    def allocate(self, number: int, mode: int, offset: int, length: int) -> None:
        node, handle = self.files[number]
        body = protocol.FALLOCATE_IN.pack(handle, offset, length, mode, 0)
        self.guest.call(Op.FALLOCATE, node, body)

    def copy(self, source: int, start: int, target: int, to: int, length: int) -> int:
        (node, first), (other, second) = self.files[source], self.files[target]
        body = protocol.COPY_FILE_RANGE_IN.pack(first, start, other, second, to, length, 0)
        return int(protocol.WRITE_OUT.unpack(self.guest.call(Op.COPY_FILE_RANGE, node, body))[0])

    def fstat(self, number: int) -> Facts:
        node, handle = self.files[number]
        body = protocol.GETATTR_IN.pack(protocol.GETATTR_FH, 0, handle)
        answer = self.guest.call(Op.GETATTR, node, body)
        return facts(attributes(answer[protocol.ATTR_OUT.size :]))

    def release(self, number: int) -> None:
        self.guest.release(self.files.pop(number)[1])

    def lookup(self, node: int, name: bytes) -> Facts:
        """The attributes that a LOOKUP answers with."""
        found, seen = entry(self.guest.call(Op.LOOKUP, node, name + b"\0"))
        self._known(found)
        return facts(seen)
