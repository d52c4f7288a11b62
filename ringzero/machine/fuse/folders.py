"""FUSE operations on open folders: READDIR and READDIRPLUS.

A folder's names are read once, when the guest starts at its beginning, so that offsets stay true
while files come and go.
"""

from __future__ import annotations

import errno
import os
import stat

from ringzero.machine.fuse import labels, protocol
from ringzero.machine.fuse.owners import SPECIAL
from ringzero.machine.fuse.protocol import FuseError, Op, Request
from ringzero.machine.fuse.session import OpenFile, Session, answers

ENTRY_SIZE = protocol.ENTRY_OUT.size + protocol.ATTR.size
NO_ENTRY = bytes(ENTRY_SIZE)


@answers(Op.OPENDIR)
def opendir(session: Session, request: Request) -> bytes:
    """Open a folder."""
    inode = session.inodes.get(request.node)
    if not stat.S_ISDIR(session.status(inode).st_mode):
        raise FuseError(errno.ENOTDIR)
    fd = session.open(inode, os.O_RDONLY | os.O_DIRECTORY)
    return session.open_out(session.keep_open(inode, fd), folder=True)


def _read_names(session: Session, folder: OpenFile) -> list[tuple[bytes, int, int]]:
    here = os.fstat(folder.fd)
    parent = folder.inode.parent
    above = here if parent is None else session.status(parent)
    entries = [
        (b".", session.number(here), stat.S_IFDIR >> 12),
        (b"..", session.number(above), stat.S_IFDIR >> 12),
    ]
    with os.scandir(folder.fd) as found:
        for item in found:
            kind = session.owners.kind((here.st_dev, item.inode())) or _kind(item)
            if kind == stat.S_IFREG and session.owners.labelled:
                kind = _labelled_kind(folder.fd, item)
            entries.append((os.fsencode(item.name), item.inode(), kind >> 12))
    return entries


def _kind(item: os.DirEntry[str]) -> int:
    """The host's kind, 0 for those that nobody asks for before the status."""
    if item.is_symlink():
        return stat.S_IFLNK
    if item.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if item.is_file(follow_symlinks=False) else 0


def _labelled_kind(folder: int, item: os.DirEntry[str]) -> int:
    """The kind of a regular file of the host: device nodes and whiteouts are empty ones with a
    label, and overlays believe the kind that a folder says."""
    try:
        if item.stat(follow_symlinks=False).st_size:
            return stat.S_IFREG
    except OSError:
        return 0  # removed since
    label = labels.read(f"/proc/self/fd/{folder}/{item.name}", follow=False)
    kind = stat.S_IFMT(label[0].mode) if label else 0
    return kind if kind in SPECIAL else stat.S_IFREG


@answers(Op.READDIR)
def readdir(session: Session, request: Request) -> bytes:
    """Names, from an offset on, as many as fit."""
    return _list(session, request, plus=False)


@answers(Op.READDIRPLUS)
def readdirplus(session: Session, request: Request) -> bytes:
    """Names with what LOOKUP would say of each."""
    return _list(session, request, plus=True)


def _list(session: Session, request: Request, *, plus: bool) -> bytes:
    number, offset, size, *_ = request.fields(protocol.READ_IN)
    folder = session.file(number)
    size = min(size, protocol.MAX_WRITE)
    if offset == 0:
        folder.entries = _read_names(session, folder)
    result = bytearray()
    for index in range(min(offset, len(folder.entries)), len(folder.entries)):
        name, inode_number, kind = folder.entries[index]
        record = protocol.directory_entry(name, inode_number, index + 1, kind)
        if len(result) + len(record) + (ENTRY_SIZE if plus else 0) > size:
            break
        if plus:
            result += _entry(session, folder, name)
        result += record
    return bytes(result)


def _entry(session: Session, folder: OpenFile, name: bytes) -> bytes:
    if name in (b".", b".."):
        return NO_ENTRY
    try:
        return session.entry_out(session.inodes.lookup(folder.inode, name))
    except (OSError, FuseError):
        return NO_ENTRY  # removed since the names were read
