"""FUSE operations on what a file is: INIT, GETATTR, SETATTR, STATFS, ACCESS."""

from __future__ import annotations

import errno
import os
import stat
import time

from ringzero.descriptors import open_file
from ringzero.machine import libc
from ringzero.machine.fuse import protocol
from ringzero.machine.fuse.inodes import Inode
from ringzero.machine.fuse.owners import Seen
from ringzero.machine.fuse.protocol import FuseError, Init, Op, Request, Set
from ringzero.machine.fuse.session import Session, answers

SUPPORTED = (
    Init.ASYNC_READ
    | Init.BIG_WRITES
    | Init.DO_READDIRPLUS
    | Init.READDIRPLUS_AUTO
    | Init.PARALLEL_DIROPS
    | Init.MAX_PAGES
    | Init.CACHE_SYMLINKS
    | Init.HANDLE_KILLPRIV_V2  # or the guest asks for capabilities before each write
)


@answers(Op.INIT)
def init(session: Session, request: Request) -> bytes:
    """Agree on a protocol version and features; a second INIT starts over."""
    major, minor, read_ahead, flags = request.fields(protocol.INIT_IN)
    if major < protocol.MAJOR or (major == protocol.MAJOR and minor < protocol.OLDEST_MINOR):
        raise FuseError(errno.EPROTO)
    session.reset()
    session.minor = protocol.MINOR if major > protocol.MAJOR else min(minor, protocol.MINOR)
    # Where others may change files, the guest drops what it has cached of one that has changed.
    supported = SUPPORTED if session.exclusive else SUPPORTED | Init.AUTO_INVAL_DATA
    return protocol.INIT_OUT.pack(
        protocol.MAJOR,
        session.minor,
        min(read_ahead, protocol.MAX_WRITE),
        flags & supported,
        64,  # max_background
        48,  # congestion_threshold
        protocol.MAX_WRITE,
        1,  # time_gran in nanoseconds
        protocol.MAX_WRITE // 4096,
        0,
        0,
    )


@answers(Op.DESTROY)
def destroy(session: Session, request: Request) -> bytes:
    """The guest unmounts."""
    session.reset()
    return b""


@answers(Op.GETATTR)
def getattr_(session: Session, request: Request) -> bytes:
    """stat(2), or fstat(2) of an open file."""
    flags, _, number = request.fields(protocol.GETATTR_IN)
    if flags & protocol.GETATTR_FH and number in session.files:
        return session.attr_out(os.fstat(session.file(number).fd))
    return session.attr_out(session.status(session.inodes.get(request.node)))


@answers(Op.SETATTR)
def setattr_(session: Session, request: Request) -> bytes:
    """chmod, chown, truncate and utimes in one message."""
    session.must_write()
    inode = session.inodes.get(request.node)
    valid, _, number, size, _, atime, mtime, _, *rest = request.fields(protocol.SETATTR_IN)
    atime_part, mtime_part, _, mode, _, uid, gid, _ = rest
    if valid & Set.SIZE:
        _truncate(session, inode, size, number if valid & Set.FH else None)
        session.lose_privileges(inode, suid=bool(valid & Set.KILL_SUIDGID))
    if valid & (Set.UID | Set.GID):
        session.lose_privileges(inode, suid=True)
    if valid & (Set.MODE | Set.UID | Set.GID):
        seen = session.owners.seen(session.status(inode))
        kind = stat.S_IFMT(seen.mode)
        wanted = Seen(
            mode=kind | stat.S_IMODE(mode) if valid & Set.MODE else seen.mode,
            uid=uid if valid & Set.UID else seen.uid,
            gid=gid if valid & Set.GID else seen.gid,
            rdev=seen.rdev,
        )
        session.own(inode, wanted)
    if valid & (Set.ATIME | Set.MTIME):
        times = (_nanoseconds(atime, atime_part), _nanoseconds(mtime, mtime_part))
        _set_times(session, inode, valid, times)
    return session.attr_out(session.status(inode))


def _nanoseconds(seconds: int, part: int) -> int:
    """A time of the protocol, whose seconds are signed, as Python has it."""
    return (seconds - ((seconds >> 63) << 64)) * 1_000_000_000 + part


def _truncate(session: Session, inode: Inode, size: int, number: int | None) -> None:
    if number is not None and number in session.files:
        os.ftruncate(session.file(number).fd, size)
        return
    fd = session.open(inode, os.O_WRONLY)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def _set_times(session: Session, inode: Inode, valid: int, times: tuple[int, int]) -> None:
    status, now = session.status(inode), time.time_ns()
    atime, mtime = times
    chosen = (
        now if valid & Set.ATIME_NOW else atime if valid & Set.ATIME else status.st_atime_ns,
        now if valid & Set.MTIME_NOW else mtime if valid & Set.MTIME else status.st_mtime_ns,
    )
    if not stat.S_ISLNK(status.st_mode):
        os.utime(f"/proc/self/fd/{session.inodes.handle(inode)}", ns=chosen)
    elif inode.parent is not None:
        # /proc/self/fd leads to a link's target, so a link's own times are set by its name.
        folder = session.inodes.handle(inode.parent)
        os.utime(inode.name, ns=chosen, dir_fd=folder, follow_symlinks=False)


@answers(Op.STATFS)
def statfs(session: Session, request: Request) -> bytes:
    """The host file system's numbers."""
    host = os.fstatvfs(session.inodes.handle(session.inodes.get(protocol.ROOT_ID)))
    return protocol.STATFS_OUT.pack(
        host.f_blocks,
        host.f_bfree,
        host.f_bavail,
        host.f_files,
        host.f_ffree,
        host.f_bsize,
        min(host.f_namemax, protocol.NAME_MAX),
        host.f_frsize,
        0,
    )


@answers(Op.ACCESS)
def access(session: Session, request: Request) -> bytes:
    """The guest's kernel checks permissions itself, by the modes that it sees."""
    session.inodes.get(request.node)
    return b""


@answers(Op.SYNCFS)
def sync_file_system(session: Session, request: Request) -> bytes:
    """sync(2) in the guest."""
    session.owners.save()
    fd = open_file(f"/proc/self/fd/{session.inodes.handle(session.inodes.get(1))}", os.O_RDONLY)
    try:
        libc.syncfs(fd)
    finally:
        os.close(fd)
    return b""
