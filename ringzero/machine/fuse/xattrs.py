"""FUSE operations on extended attributes: SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR.

The guest's `user.*` are the host's. What gives power (`trusted.*`, which overlays use, and
`security.*`, which holds capabilities) is kept under another name, so that nothing the guest sets
means anything to the host; where the host's file cannot hold it, as a symbolic link, it is kept in
the records.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ringzero.machine.fuse import protocol
from ringzero.machine.fuse.inodes import Inode
from ringzero.machine.fuse.protocol import FuseError, Op, Request
from ringzero.machine.fuse.session import CAPABILITY, OURS, Session, answers

MAPPED = (b"trusted.", b"security.")
LARGEST = 1 << 16  # XATTR_SIZE_MAX and XATTR_LIST_MAX


@answers(Op.SETXATTR)
def set_attribute(session: Session, request: Request) -> bytes:
    """setxattr(2)."""
    session.must_write()
    size, flags = request.fields(protocol.SETXATTR_IN)
    (name,) = request.names(protocol.SETXATTR_IN.size, 1)
    start = protocol.SETXATTR_IN.size + len(name) + 1
    value = request.body[start : start + size]
    if len(value) != size or flags & ~(os.XATTR_CREATE | os.XATTR_REPLACE):
        raise FuseError(errno.EINVAL)
    inode = session.inodes.get(request.node)
    host = _host_name(name)
    kept = session.owners.attributes(inode.key)
    try:
        os.setxattr(_place(session, inode), host, value, flags)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP or host == name:
            raise
        if name in kept and flags == os.XATTR_CREATE:
            raise FuseError(errno.EEXIST) from None
        if name not in kept and flags == os.XATTR_REPLACE:
            raise FuseError(errno.ENODATA) from None
        session.owners.set_attribute(inode.key, name, value)
    if name == CAPABILITY:
        inode.capable = True
    return b""


@answers(Op.GETXATTR)
def get_attribute(session: Session, request: Request) -> bytes:
    """getxattr(2)."""
    size, _ = request.fields(protocol.GETXATTR_IN)
    (name,) = request.names(protocol.GETXATTR_IN.size, 1)
    inode = session.inodes.get(request.node)
    host = _host_name(name)
    value = session.owners.attributes(inode.key).get(name)
    if value is None:
        try:
            value = os.getxattr(_place(session, inode), host)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP or host == name:
                raise
            raise FuseError(errno.ENODATA) from None
    return _sized(value, size)


@answers(Op.LISTXATTR)
def list_attributes(session: Session, request: Request) -> bytes:
    """listxattr(2)."""
    size, _ = request.fields(protocol.GETXATTR_IN)
    inode = session.inodes.get(request.node)
    found = list(session.owners.attributes(inode.key))
    with contextlib.suppress(OSError):
        found += map(os.fsencode, os.listxattr(_place(session, inode)))
    names = [name.removeprefix(OURS) for name in found]
    names = [name for name in names if name.startswith((b"user.", *MAPPED))]
    return _sized(b"".join(name + b"\0" for name in names), size)


@answers(Op.REMOVEXATTR)
def remove_attribute(session: Session, request: Request) -> bytes:
    """removexattr(2)."""
    session.must_write()
    (name,) = request.names(0, 1)
    inode = session.inodes.get(request.node)
    host = _host_name(name)
    if session.owners.remove_attribute(inode.key, name):
        return b""
    try:
        os.removexattr(_place(session, inode), host)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP or host == name:
            raise
        raise FuseError(errno.ENODATA) from None
    return b""


def _sized(value: bytes, size: int) -> bytes:
    """The value, or how long it is where the guest asks that with size 0."""
    if not size:
        return protocol.GETXATTR_OUT.pack(len(value), 0)
    if len(value) > min(size, LARGEST):
        raise FuseError(errno.ERANGE)
    return value


def _host_name(name: bytes) -> bytes:
    """What an attribute is called on the host."""
    if name.startswith(OURS):
        raise FuseError(errno.EPERM)
    if name.startswith(b"user."):
        return name
    if name.startswith(MAPPED):
        return OURS + name
    raise FuseError(errno.EOPNOTSUPP)  # system.*: access control lists would not be enforced


def _place(session: Session, inode: Inode) -> str:
    """A path to an inode's file; a symbolic link has none that is not its target's."""
    if inode.kind == stat.S_IFLNK:
        raise OSError(errno.EOPNOTSUPP, "a symbolic link")
    return session.place(inode)
