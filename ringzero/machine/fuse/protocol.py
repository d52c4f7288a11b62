"""The FUSE wire format, as include/uapi/linux/fuse.h states it for protocol 7.31 and later.

Every message is a header and a body, little-endian on every guest that is served here.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

MAJOR, MINOR = 7, 38
OLDEST_MINOR = 31
ROOT_ID = 1
MAX_WRITE = 1 << 20
NAME_MAX = 255


class Op(enum.IntEnum):
    """enum fuse_opcode."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SYNCFS = 50
    TMPFILE = 51


IN_HEADER = struct.Struct("<IIQQIIIHH")  # len, opcode, unique, nodeid, uid, gid, pid, extlen
OUT_HEADER = struct.Struct("<IiQ")  # len, error, unique

INIT_IN = struct.Struct("<IIII")  # major, minor, max_readahead, flags
INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
ENTRY_OUT = struct.Struct("<QQQQII")  # nodeid, generation, validity of entry and attributes
ATTR_OUT = struct.Struct("<QII")
GETATTR_IN = struct.Struct("<IIQ")  # flags, dummy, fh
SETATTR_IN = struct.Struct("<IIQQQQQQIIIIIIII")
MKNOD_IN = struct.Struct("<IIII")  # mode, rdev, umask, padding
MKDIR_IN = struct.Struct("<II")  # mode, umask
RENAME_IN = struct.Struct("<Q")
RENAME2_IN = struct.Struct("<QII")  # newdir, flags
LINK_IN = struct.Struct("<Q")
OPEN_IN = struct.Struct("<II")
CREATE_IN = struct.Struct("<IIII")  # flags, mode, umask, open_flags
OPEN_OUT = struct.Struct("<QII")
RELEASE_IN = struct.Struct("<QIIQ")
READ_IN = struct.Struct("<QQIIQII")  # fh, offset, size, ...
WRITE_IN = struct.Struct("<QQIIQII")  # fh, offset, size, write_flags, lock owner, open flags
WRITE_OUT = struct.Struct("<II")
STATFS_OUT = struct.Struct("<QQQQQIIII24x")
FSYNC_IN = struct.Struct("<QII")
FORGET_IN = struct.Struct("<Q")
BATCH_FORGET_IN = struct.Struct("<II")
FORGET_ONE = struct.Struct("<QQ")  # nodeid, nlookup
FALLOCATE_IN = struct.Struct("<QQQII")  # fh, offset, length, mode
LSEEK_IN = struct.Struct("<QQII")  # fh, offset, whence
LSEEK_OUT = struct.Struct("<Q")
COPY_FILE_RANGE_IN = struct.Struct("<QQQQQQQ")
SETXATTR_IN = struct.Struct("<II")  # size, flags
GETXATTR_IN = struct.Struct("<II")  # size
GETXATTR_OUT = struct.Struct("<II")  # size
DIRENT = struct.Struct("<QQII")  # ino, off, namelen, type


class Init(enum.IntFlag):
    """Features that INIT negotiates, of those in the first flags word."""

    ASYNC_READ = 1 << 0
    BIG_WRITES = 1 << 5
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    HANDLE_KILLPRIV_V2 = 1 << 28


class Set(enum.IntFlag):
    """Which fields of SETATTR count (FATTR_*)."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    KILL_SUIDGID = 1 << 11


GETATTR_FH = 1
OPEN_KILL_SUIDGID = 1 << 0
WRITE_CACHE, WRITE_KILL_SUIDGID = 1 << 0, 1 << 2
FOPEN_KEEP_CACHE = 1 << 1
FOPEN_CACHE_DIR = 1 << 3
FSYNC_FDATASYNC = 1


class FuseError(Exception):
    """What a request is answered with when it fails: an errno."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Request:
    """One message from the guest, its header taken apart."""

    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    body: bytes
    whole: bool
    """Is as much there as the header says?"""

    def fields(self, layout: struct.Struct) -> tuple[int, ...]:
        """The body's fixed part."""
        return layout.unpack_from(self.body)

    def names(self, after: int, count: int) -> list[bytes]:
        """The NUL-terminated texts behind the fixed part; struct.error unless there are `count`."""
        parts = self.body[after:].split(b"\0", count)
        if len(parts) != count + 1:
            raise struct.error("a name is not terminated")
        return parts[:count]


def parse(message: bytes) -> Request | None:
    """A request, or None where not even its header is there."""
    if len(message) < IN_HEADER.size:
        return None
    length, opcode, unique, node, uid, gid, _pid, _ext, _ = IN_HEADER.unpack_from(message)
    body = message[IN_HEADER.size : length]
    return Request(opcode, unique, node, uid, gid, body, IN_HEADER.size <= length <= len(message))


def reply(unique: int, body: bytes = b"", error: int = 0) -> bytes:
    """A whole answer; `error` is a positive errno."""
    return OUT_HEADER.pack(OUT_HEADER.size + len(body), -error, unique) + body


def encode_device(major: int, minor: int) -> int:
    """The kernel's new_encode_dev()."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def decode_device(rdev: int) -> tuple[int, int]:
    """The kernel's new_decode_dev()."""
    return (rdev & 0xFFF00) >> 8, (rdev & 0xFF) | ((rdev >> 12) & 0xFFF00)


def directory_entry(name: bytes, number: int, offset: int, kind: int) -> bytes:
    """struct fuse_dirent with its padding to eight bytes."""
    record = DIRENT.pack(number, offset, len(name), kind) + name
    return record + bytes(-len(record) % 8)
