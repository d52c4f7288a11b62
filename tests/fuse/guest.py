"""The guest's side of FUSE for tests: builds messages and takes answers apart."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringzero.machine.fuse import FuseServer, protocol
from ringzero.machine.fuse.protocol import Op


class Refused(Exception):
    """The server answered with an errno."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Attributes:
    """struct fuse_attr, as far as tests look."""

    ino: int
    size: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    mtime: int


class Guest:
    """A mounted file system: sends INIT, then whatever a test asks for."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.server = FuseServer(root, **options)
        self.uid = self.gid = 0
        self.unique = 1
        self.call(Op.INIT, 0, protocol.INIT_IN.pack(7, 38, 1 << 17, 0xFFFFFFFF))

    def message(self, op: int, node: int, body: bytes) -> bytes:
        self.unique += 2
        size = protocol.IN_HEADER.size + len(body)
        head = protocol.IN_HEADER.pack(size, op, self.unique, node, self.uid, self.gid, 1, 0, 0)
        return head + body

    def call(self, op: int, node: int, body: bytes = b"") -> bytes:
        """One request; its answer's body, or Refused."""
        answer = self.server.handle(self.message(op, node, body))
        size, error, unique = protocol.OUT_HEADER.unpack_from(answer)
        assert (size, unique) == (len(answer), self.unique)
        if error:
            assert len(answer) == protocol.OUT_HEADER.size
            raise Refused(-error)
        return answer[protocol.OUT_HEADER.size :]

    def silent(self, op: int, node: int, body: bytes) -> None:
        assert self.server.handle(self.message(op, node, body)) == b""

    # The calls of a file system.

    def lookup(self, name: bytes, parent: int = 1) -> int:
        return entry(self.call(Op.LOOKUP, parent, name + b"\0"))[0]

    def walk(self, path: str) -> int:
        node = 1
        for name in path.split("/"):
            node = self.lookup(name.encode(), node)
        return node

    def stat(self, node: int) -> Attributes:
        answer = self.call(Op.GETATTR, node, protocol.GETATTR_IN.pack(0, 0, 0))
        return attributes(answer[protocol.ATTR_OUT.size :])

    def setattr(self, node: int, valid: int, **fields: int) -> Attributes:
        names = ["fh", "size", "lock", "atime", "mtime", "ctime", "an", "mn", "cn"]
        names += ["mode", "unused", "uid", "gid", "unused2"]
        values = [fields.get(name, 0) for name in names]
        answer = self.call(Op.SETATTR, node, protocol.SETATTR_IN.pack(valid, 0, *values))
        return attributes(answer[protocol.ATTR_OUT.size :])

    def create(self, name: bytes, parent: int = 1, mode: int = 0o644, flags: int = 2) -> list[int]:
        """A new file: [nodeid, file handle]."""
        body = protocol.CREATE_IN.pack(flags, mode, 0, 0) + name + b"\0"
        answer = self.call(Op.CREATE, parent, body)
        handle = protocol.OPEN_OUT.unpack_from(answer, 128)[0]
        return [entry(answer)[0], handle]

    def mkdir(self, name: bytes, parent: int = 1, mode: int = 0o755) -> int:
        body = protocol.MKDIR_IN.pack(mode, 0) + name + b"\0"
        return entry(self.call(Op.MKDIR, parent, body))[0]

    def mknod(self, name: bytes, mode: int, rdev: int = 0, parent: int = 1) -> int:
        body = protocol.MKNOD_IN.pack(mode, rdev, 0, 0) + name + b"\0"
        return entry(self.call(Op.MKNOD, parent, body))[0]

    def symlink(self, name: bytes, target: bytes, parent: int = 1) -> int:
        return entry(self.call(Op.SYMLINK, parent, name + b"\0" + target + b"\0"))[0]

    def open(self, node: int, flags: int = 0, op: Op = Op.OPEN) -> int:
        answer = self.call(op, node, protocol.OPEN_IN.pack(flags, 0))
        return int(protocol.OPEN_OUT.unpack(answer)[0])

    def read(self, handle: int, size: int = 4096, offset: int = 0, op: Op = Op.READ) -> bytes:
        return self.call(op, 1, protocol.READ_IN.pack(handle, offset, size, 0, 0, 0, 0))

    def write(
        self, handle: int, data: bytes, offset: int = 0, *, how: int = 0, flags: int = 0
    ) -> int:
        body = protocol.WRITE_IN.pack(handle, offset, len(data), how, 0, flags, 0) + data
        return int(protocol.WRITE_OUT.unpack(self.call(Op.WRITE, 1, body))[0])

    def release(self, handle: int) -> None:
        self.call(Op.RELEASE, 1, protocol.RELEASE_IN.pack(handle, 0, 0, 0))

    def rename(
        self, old: bytes, new: bytes, source: int = 1, target: int = 1, flags: int = 0
    ) -> None:
        body = protocol.RENAME2_IN.pack(target, flags, 0) + old + b"\0" + new + b"\0"
        self.call(Op.RENAME2, source, body)

    def temporary(self, parent: int = 1, mode: int = 0o600, flags: int = 2) -> list[int]:
        """A file without a name: [nodeid, file handle]."""
        answer = self.call(Op.TMPFILE, parent, protocol.CREATE_IN.pack(flags, mode, 0, 0) + b"/\0")
        return [entry(answer)[0], protocol.OPEN_OUT.unpack_from(answer, 128)[0]]

    def link(self, node: int, name: bytes, parent: int = 1) -> int:
        body = protocol.LINK_IN.pack(node) + name + b"\0"
        return entry(self.call(Op.LINK, parent, body))[0]

    def set_xattr(self, node: int, name: bytes, value: bytes, flags: int = 0) -> None:
        body = protocol.SETXATTR_IN.pack(len(value), flags) + name + b"\0" + value
        self.call(Op.SETXATTR, node, body)

    def xattr(self, node: int, name: bytes, size: int = 4096) -> bytes:
        body = protocol.GETXATTR_IN.pack(size, 0) + name + b"\0"
        return self.call(Op.GETXATTR, node, body)

    def xattrs(self, node: int, size: int = 4096) -> list[bytes]:
        answer = self.call(Op.LISTXATTR, node, protocol.GETXATTR_IN.pack(size, 0))
        return sorted(answer.split(b"\0")[:-1])

    def remove_xattr(self, node: int, name: bytes) -> None:
        self.call(Op.REMOVEXATTR, node, name + b"\0")

    def listing(self, node: int = 1, size: int = 4096) -> list[bytes]:
        """A folder's names, `.` and `..` left out, by as many READDIR as it takes."""
        handle, offset, names = self.open(node, op=Op.OPENDIR), 0, []
        while data := self.read(handle, size, offset, Op.READDIR):
            found = entries(data)
            names += [name for name, _ in found]
            offset = found[-1][1]
        self.release(handle)
        return sorted(name for name in names if name not in (b".", b".."))


def entry(answer: bytes) -> tuple[int, Attributes]:
    """struct fuse_entry_out: nodeid and attributes."""
    node = protocol.ENTRY_OUT.unpack_from(answer)[0]
    return node, attributes(answer[protocol.ENTRY_OUT.size :])


def attributes(data: bytes) -> Attributes:
    (ino, size, _, _, mtime, _, _, _, _, mode, nlink, uid, gid, rdev, _, _) = (
        protocol.ATTR.unpack_from(data)
    )
    return Attributes(ino, size, mode, nlink, uid, gid, rdev, mtime)


def entries(data: bytes) -> list[tuple[bytes, int]]:
    """The names of a READDIR answer, each with the offset after it."""
    found, at = [], 0
    while at < len(data):
        _, offset, length, _ = struct.unpack_from("<QQII", data, at)
        found.append((data[at + 24 : at + 24 + length], offset))
        at += 24 + length + (-(24 + length) % 8)
    return found
