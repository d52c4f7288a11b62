"""The archive an initramfs is: cpio in "newc" form, as Linux documents it in
Documentation/driver-api/early-userspace/buffer-format.rst.

It is compressed with gzip without a time stamp, so the same files always give the same bytes.
"""

from __future__ import annotations

import gzip
import stat
from collections.abc import Iterable, Iterator

from ringzero.images.tree import Node, with_parents

MAGIC = b"070701"
TRAILER = "TRAILER!!!"


def archive(nodes: Iterable[Node]) -> bytes:
    """The nodes and the folders they are in, as one newc archive."""
    result = bytearray()
    for number, node in enumerate(with_parents(nodes), start=1):
        result += _record(number, node)
    result += _record(0, Node(TRAILER, 0))
    result += bytes(-len(result) % 512)
    return bytes(result)


def compressed(nodes: Iterable[Node]) -> bytes:
    """`archive`, gzip-compressed deterministically."""
    return gzip.compress(archive(nodes), compresslevel=9, mtime=0)


def _record(number: int, node: Node) -> bytes:
    name = node.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(node.mode) else 1
    numbers = (
        number,  # ino
        node.mode,
        node.uid,
        node.gid,
        links,
        node.mtime,
        len(node.data),
        0,  # devmajor
        0,  # devminor
        node.rdev[0],
        node.rdev[1],
        len(name),
        0,  # check: used by the other form, 070702
    )
    header = MAGIC + b"".join(b"%08X" % value for value in numbers) + name
    return _padded(header) + _padded(node.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def entries(data: bytes) -> Iterator[Node]:
    """The nodes of a newc archive, to add files to an initrd that somebody else made."""
    position = 0
    while data[position : position + 6] == MAGIC:
        header = [int(data[position + 6 + 8 * i : position + 14 + 8 * i], 16) for i in range(13)]
        name_end = position + 110 + header[11]
        name = data[position + 110 : name_end - 1].decode()
        start = name_end + (-(name_end - position) % 4)
        if name == TRAILER:
            return
        yield Node(
            path=name,
            mode=header[1],
            data=data[start : start + header[6]],
            uid=header[2],
            gid=header[3],
            rdev=(header[9], header[10]),
            mtime=header[5],
        )
        position = start + header[6] + (-header[6] % 4)
