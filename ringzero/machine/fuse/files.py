"""FUSE operations on open files: open, read, write, and what databases need."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence

from ringzero.descriptors import open_file
from ringzero.machine import libc
from ringzero.machine.fuse import protocol
from ringzero.machine.fuse.inodes import checked
from ringzero.machine.fuse.names import entered
from ringzero.machine.fuse.protocol import FuseError, Op, Request
from ringzero.machine.fuse.session import Session, answers

KEPT_FLAGS = os.O_ACCMODE | os.O_TRUNC | os.O_SYNC | os.O_DSYNC
NAMELESS = b"\0"  # no path holds a NUL
SEEK_DATA, SEEK_HOLE = 3, 4
FALLOCATE_MODES = 0x01 | 0x02 | 0x10  # keep size, punch hole, zero range


def _host_flags(session: Session, flags: int) -> int:
    """The guest's open flags as far as they are the host's business."""
    if flags & (os.O_ACCMODE | os.O_TRUNC):
        session.must_write()
    return flags & KEPT_FLAGS


@answers(Op.OPEN)
def open_(session: Session, request: Request) -> bytes:
    """Open an existing file."""
    flags, more = request.fields(protocol.OPEN_IN)
    inode = session.inodes.get(request.node)
    fd = session.open(inode, _host_flags(session, flags))
    if flags & os.O_TRUNC:
        session.lose_privileges(inode, suid=bool(more & protocol.OPEN_KILL_SUIDGID))
    return session.open_out(session.keep_open(inode, fd))


@answers(Op.CREATE)
def create(session: Session, request: Request) -> bytes:
    """Make a file and open it; one that the host made in the meantime is opened."""
    session.must_write()
    flags, mode, _, more = request.fields(protocol.CREATE_IN)
    (name,) = request.names(protocol.CREATE_IN.size, 1)
    parent = session.inodes.get(request.node)
    if len(session.files) >= session.open_limit:
        raise FuseError(errno.ENFILE)
    host = _host_flags(session, flags)
    new = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = open_file(checked(name), host | new, 0o600, dir_fd=session.inodes.handle(parent))
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        inode = session.inodes.lookup(parent, name)
        entry = session.entry_out(inode)
        fd = session.open(inode, host)
        if flags & os.O_TRUNC:
            session.lose_privileges(inode, suid=bool(more & protocol.OPEN_KILL_SUIDGID))
    else:
        handle = open_file(f"/proc/self/fd/{fd}", os.O_PATH | os.O_CLOEXEC)
        full = stat.S_IFREG | stat.S_IMODE(mode)
        entry = entered(session, parent, name, handle, request, full)
        inode = session.inodes.get(protocol.ENTRY_OUT.unpack_from(entry)[0])
    return entry + session.open_out(session.keep_open(inode, fd))


@answers(Op.TMPFILE)
def temporary(session: Session, request: Request) -> bytes:
    """open(2) with O_TMPFILE: a file without a name, which LINK may give one."""
    session.must_write()
    flags, mode, _, _ = request.fields(protocol.CREATE_IN)
    parent = session.inodes.get(request.node)
    if parent.kind != stat.S_IFDIR:  # a link may lead out of the root
        raise FuseError(errno.ENOTDIR)
    if len(session.files) >= session.open_limit:
        raise FuseError(errno.ENFILE)
    host = _host_flags(session, flags) & ~os.O_TRUNC
    fd = os.open(session.place(parent), host | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    handle = os.open(f"/proc/self/fd/{fd}", os.O_PATH | os.O_CLOEXEC)
    full = stat.S_IFREG | stat.S_IMODE(mode)
    entry = entered(session, parent, NAMELESS, handle, request, full)
    inode = session.inodes.get(protocol.ENTRY_OUT.unpack_from(entry)[0])
    inode.gone = True
    return entry + session.open_out(session.keep_open(inode, fd))


@answers(Op.READ)
def read(session: Session, request: Request) -> bytes:
    """pread(2)."""
    number, offset, size, *_ = request.fields(protocol.READ_IN)
    return os.pread(session.file(number).fd, min(size, protocol.MAX_WRITE), offset)


def read_into(session: Session, request: Request, buffers: Sequence[memoryview]) -> int:
    """preadv(2) into the guest's memory itself."""
    number, offset, size, *_ = request.fields(protocol.READ_IN)
    wanted = []
    for buffer in buffers:
        if size > 0:
            wanted.append(buffer[:size])
            size -= len(buffer)
    return os.preadv(session.file(number).fd, wanted, offset) if wanted else 0


@answers(Op.WRITE)
def write(session: Session, request: Request) -> bytes:
    """pwrite(2), or a write to the end of the file.

    The guest's kernel knows a size that may be old, so appending is the host's business; but what
    it writes back from its cache, as stores through a mapping, has its place also in a file that is
    open for appending.
    """
    session.must_write()
    number, offset, size, how, _, flags, _ = request.fields(protocol.WRITE_IN)
    start = protocol.WRITE_IN.size
    if len(request.body) < start + size:
        raise FuseError(errno.EINVAL)
    opened = session.file(number)
    data = memoryview(request.body)[start : start + size]
    appends = flags & os.O_APPEND and not how & protocol.WRITE_CACHE
    if opened.inode.capable or how & protocol.WRITE_KILL_SUIDGID:
        session.lose_privileges(opened.inode, suid=bool(how & protocol.WRITE_KILL_SUIDGID))
    written = os.pwritev(opened.fd, [data], offset, os.RWF_APPEND if appends else 0)
    return protocol.WRITE_OUT.pack(written, 0)


@answers(Op.RELEASE, Op.RELEASEDIR)
def release(session: Session, request: Request) -> bytes:
    """close(2) of the last descriptor."""
    number, *_ = request.fields(protocol.RELEASE_IN)
    session.release(number)
    return b""


@answers(Op.FLUSH)
def flush(session: Session, request: Request) -> bytes:
    """close(2) of one descriptor; nothing is buffered here."""
    return b""


@answers(Op.FSYNC, Op.FSYNCDIR)
def fsync(session: Session, request: Request) -> bytes:
    """fsync(2) or fdatasync(2)."""
    number, flags, _ = request.fields(protocol.FSYNC_IN)
    fd = session.file(number).fd
    if flags & protocol.FSYNC_FDATASYNC:
        os.fdatasync(fd)
    else:
        os.fsync(fd)
        session.owners.save()
    return b""


@answers(Op.FALLOCATE)
def fallocate(session: Session, request: Request) -> bytes:
    """fallocate(2)."""
    session.must_write()
    number, offset, length, mode, _ = request.fields(protocol.FALLOCATE_IN)
    if mode & ~FALLOCATE_MODES:
        raise FuseError(errno.EOPNOTSUPP)
    if offset >> 63 or length >> 63:
        raise FuseError(errno.EINVAL)
    opened = session.file(number)
    libc.fallocate(opened.fd, mode, offset, length)
    session.lose_privileges(opened.inode, suid=request.uid != 0)
    return b""


@answers(Op.LSEEK)
def lseek(session: Session, request: Request) -> bytes:
    """SEEK_DATA and SEEK_HOLE; the guest's kernel does the other kinds."""
    number, offset, whence, _ = request.fields(protocol.LSEEK_IN)
    if whence not in (SEEK_DATA, SEEK_HOLE):
        raise FuseError(errno.EINVAL)
    return protocol.LSEEK_OUT.pack(os.lseek(session.file(number).fd, offset, whence))


@answers(Op.COPY_FILE_RANGE)
def copy_file_range(session: Session, request: Request) -> bytes:
    """copy_file_range(2): the host copies, or shares blocks."""
    session.must_write()
    source, start, _, target, to, length, flags = request.fields(protocol.COPY_FILE_RANGE_IN)
    if flags:
        raise FuseError(errno.EINVAL)
    count = 0
    with contextlib.suppress(BlockingIOError):
        count = os.copy_file_range(
            session.file(source).fd,
            session.file(target).fd,
            min(length, 1 << 30),
            offset_src=start,
            offset_dst=to,
        )
    session.lose_privileges(session.file(target).inode, suid=request.uid != 0)
    return protocol.WRITE_OUT.pack(count, 0)
