"""FUSE operations on names in folders: look up, make, link, rename, remove."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator

from ringzero.descriptors import open_file
from ringzero.machine import libc
from ringzero.machine.fuse import labels, protocol
from ringzero.machine.fuse.inodes import HANDLE, Inode, checked
from ringzero.machine.fuse.owners import SPECIAL, Seen, key_of
from ringzero.machine.fuse.protocol import FuseError, Op, Request
from ringzero.machine.fuse.session import Session, answers, is_last_name

NO_ATTRIBUTES = bytes(protocol.ATTR.size)
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4  # renameat2(2)


@answers(Op.LOOKUP)
def lookup(session: Session, request: Request) -> bytes:
    """The inode of a name."""
    (name,) = request.names(0, 1)
    parent = session.inodes.get(request.node)
    try:
        return session.entry_out(session.inodes.lookup(parent, name))
    except FileNotFoundError:
        if not session.exclusive:
            raise
        # Nodeid 0 with a validity lets the guest remember that there is no such name.
        return protocol.ENTRY_OUT.pack(0, 0, session.cache_seconds, 0, 0, 0) + NO_ATTRIBUTES


@answers(Op.FORGET)
def forget(session: Session, request: Request) -> bytes:
    """The guest drops lookups of one inode; nothing is answered."""
    (count,) = request.fields(protocol.FORGET_IN)
    _forget(session, request.node, count)
    return b""


@answers(Op.BATCH_FORGET)
def batch_forget(session: Session, request: Request) -> bytes:
    """The guest drops lookups of many inodes; nothing is answered."""
    count, _ = request.fields(protocol.BATCH_FORGET_IN)
    rest = request.body[protocol.BATCH_FORGET_IN.size :]
    size = protocol.FORGET_ONE.size
    for index in range(min(count, len(rest) // size)):
        _forget(session, *protocol.FORGET_ONE.unpack_from(rest, index * size))
    return b""


def _forget(session: Session, number: int, count: int) -> None:
    if inode := session.inodes.forget(number, count):
        session.dropped(inode)


@answers(Op.READLINK)
def readlink(session: Session, request: Request) -> bytes:
    """Where a symbolic link points: data for the guest, never followed here."""
    return os.readlink(b"", dir_fd=session.inodes.handle(session.inodes.get(request.node)))


def made(
    session: Session, parent: Inode, name: bytes, request: Request, mode: int, rdev: int = 0
) -> bytes:
    """Enter a file that was just made: its inode, with owner and mode."""
    fd = open_file(name, HANDLE, dir_fd=session.inodes.handle(parent))
    return entered(session, parent, name, fd, request, mode, rdev)


def entered(
    session: Session,
    parent: Inode,
    name: bytes,
    fd: int,
    request: Request,
    mode: int,
    rdev: int = 0,
) -> bytes:
    """The entry of a new file, given its O_PATH descriptor."""
    session.owners.forget(key_of(os.fstat(fd)))  # the number may have been another file's
    inode = session.inodes.adopt(parent, name, fd)
    seen = session.created(parent, inode, request, mode)
    if stat.S_IFMT(mode) in (stat.S_IFCHR, stat.S_IFBLK):
        seen = Seen(seen.mode, seen.uid, seen.gid, protocol.decode_device(rdev))
    session.own(inode, seen)
    return session.entry_out(inode)


@answers(Op.MKNOD)
def mknod(session: Session, request: Request) -> bytes:
    """A file, device node, pipe or socket; the host gets an empty file for each of them."""
    session.must_write()
    mode, rdev, _, _ = request.fields(protocol.MKNOD_IN)
    (name,) = request.names(protocol.MKNOD_IN.size, 1)
    kind = stat.S_IFMT(mode)
    if kind not in (stat.S_IFREG, *SPECIAL):
        raise FuseError(errno.EINVAL)
    parent = session.inodes.get(request.node)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(open_file(checked(name), flags, 0o600, dir_fd=session.inodes.handle(parent)))
    return made(session, parent, name, request, mode, rdev)


@answers(Op.MKDIR)
def mkdir(session: Session, request: Request) -> bytes:
    """A folder."""
    session.must_write()
    mode, _ = request.fields(protocol.MKDIR_IN)
    (name,) = request.names(protocol.MKDIR_IN.size, 1)
    parent = session.inodes.get(request.node)
    os.mkdir(checked(name), 0o700, dir_fd=session.inodes.handle(parent))
    return made(session, parent, name, request, stat.S_IFDIR | stat.S_IMODE(mode))


@answers(Op.SYMLINK)
def symlink(session: Session, request: Request) -> bytes:
    """A symbolic link; its target is data."""
    session.must_write()
    name, target = request.names(0, 2)
    parent = session.inodes.get(request.node)
    os.symlink(target, checked(name), dir_fd=session.inodes.handle(parent))
    return made(session, parent, name, request, stat.S_IFLNK | 0o777)


@answers(Op.LINK)
def link(session: Session, request: Request) -> bytes:
    """One more name for a file."""
    session.must_write()
    (old,) = request.fields(protocol.LINK_IN)
    (name,) = request.names(protocol.LINK_IN.size, 1)
    inode, parent = session.inodes.get(old), session.inodes.get(request.node)
    with _held(session, inode) as fd:
        folder = session.inodes.handle(parent)
        # The kernel gives no other way to link what a descriptor refers to without privilege.
        os.link(f"/proc/self/fd/{fd}", checked(name), dst_dir_fd=folder, follow_symlinks=True)
    if inode.gone:  # it was made without a name
        session.owners.unlinked(inode.key, inode.path())
        session.inodes.moved(inode.key, parent, name)
    session.owners.linked(session.status(inode), parent.child_path(name))
    inode.lookups += 1
    return session.entry_out(inode)


@contextlib.contextmanager
def _held(session: Session, inode: Inode) -> Iterator[int]:
    """A handle that stays open whatever other handles are opened."""
    fd = os.dup(session.inodes.handle(inode))
    try:
        yield fd
    finally:
        os.close(fd)


@answers(Op.UNLINK, Op.RMDIR)
def remove(session: Session, request: Request) -> bytes:
    """Take a name away, and the file with its last one."""
    session.must_write()
    (name,) = request.names(0, 1)
    parent = session.inodes.get(request.node)
    folder = session.inodes.handle(parent)
    before = os.stat(checked(name), dir_fd=folder, follow_symlinks=False)
    if request.opcode == Op.RMDIR:
        os.rmdir(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
    _removed(session, parent.child_path(name), before)
    return b""


def _removed(session: Session, path: bytes, before: os.stat_result) -> None:
    key = key_of(before)
    session.owners.unlinked(key, path)
    if not is_last_name(before):
        return
    if inode := session.inodes.find(key):
        inode.gone = True
    else:
        session.owners.forget(key)


@answers(Op.RENAME)
def rename(session: Session, request: Request) -> bytes:
    """rename(2)."""
    (folder,) = request.fields(protocol.RENAME_IN)
    _rename(session, request, folder, 0, request.names(protocol.RENAME_IN.size, 2))
    return b""


@answers(Op.RENAME2)
def rename2(session: Session, request: Request) -> bytes:
    """rename(2) with flags."""
    folder, flags, _ = request.fields(protocol.RENAME2_IN)
    if flags & ~(NOREPLACE | EXCHANGE | WHITEOUT) or (flags & EXCHANGE and flags != EXCHANGE):
        raise FuseError(errno.EINVAL)
    names = request.names(protocol.RENAME2_IN.size, 2)
    if not flags & WHITEOUT:
        _rename(session, request, folder, flags, names)
        return b""
    source, old = session.inodes.get(request.node), checked(names[0])
    place = _make_whiteout(session, source, request)
    moved = False
    try:
        moved = _rename(session, request, folder, flags & NOREPLACE, names)
    finally:
        _place_whiteout(session, source, place, old if moved else None)
    return b""


def _make_whiteout(session: Session, folder: Inode, request: Request) -> bytes:
    """A new whiteout under a name that the guest never sees: device node 0, as overlays have it."""
    session.must_write()
    name = b".ringzero-" + secrets.token_hex(8).encode()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=session.inodes.handle(folder))
    try:
        status = os.fstat(fd)
        session.owners.forget(key_of(status))
        seen = Seen(stat.S_IFCHR, request.uid, request.gid)
        session.owners.set(status, folder.child_path(name), seen)
        if session.owners.labelled:
            labels.write(f"/proc/self/fd/{fd}", session.owners.label(key_of(status)))
    finally:
        os.close(fd)
    return name


def _place_whiteout(session: Session, folder: Inode, name: bytes, old: bytes | None) -> None:
    """The whiteout takes the name that has just become free, or goes where none has."""
    fd = session.inodes.handle(folder)
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if old is None:
        os.unlink(name, dir_fd=fd)
        session.owners.forget(key_of(status))
    else:
        os.rename(name, old, src_dir_fd=fd, dst_dir_fd=fd)
        _moved(session, status, folder.child_path(name), folder.child_path(old))


def _status_or_none(name: bytes, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _rename(
    session: Session, request: Request, number: int, flags: int, names: list[bytes]
) -> bool:
    """Did anything change? Two names of one file stay as they are."""
    session.must_write()
    old, new = (checked(name) for name in names)
    source, target = session.inodes.get(request.node), session.inodes.get(number)
    with _held(session, source) as source_fd:
        target_fd = session.inodes.handle(target)
        moving = os.stat(old, dir_fd=source_fd, follow_symlinks=False)
        replaced = _status_or_none(new, target_fd)
        if flags:
            libc.renameat2(source_fd, old, target_fd, new, flags)
        else:
            os.rename(old, new, src_dir_fd=source_fd, dst_dir_fd=target_fd)
    if replaced is not None and key_of(replaced) == key_of(moving):
        return False
    before, after = source.child_path(old), target.child_path(new)
    if flags & EXCHANGE:
        session.owners.exchanged(before, after)
        if replaced is not None:
            session.inodes.moved(key_of(replaced), source, old)
    else:
        if replaced is not None:
            _removed(session, after, replaced)
        _moved(session, moving, before, after)
    session.inodes.moved(key_of(moving), target, new)
    return True


def _moved(session: Session, status: os.stat_result, before: bytes, after: bytes) -> None:
    if stat.S_ISDIR(status.st_mode):
        session.owners.moved(before, after)
    else:
        session.owners.unlinked(key_of(status), before)
        session.owners.linked(status, after)
