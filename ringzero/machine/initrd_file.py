"""Initial RAM disks: cpio archives, plain or compressed, checked as far as the host can.

The kernel unpacks them by itself, and says little about one that is damaged.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from ringzero.errors import UsageError
from ringzero.machine.kernel_file import read_file

MAGICS = {
    b"070701": "cpio",
    b"070702": "cpio",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"]\0\0": "lzma",
    b"\x89LZO": "lzo",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x28\xb5\x2f\xfd": "zstd",
}
"""What Linux's initramfs takes (lib/decompress.c, init/initramfs.c)."""

TRAILER = b"TRAILER!!!"


def read_initrd(path: Path) -> bytes:
    """The content of an initial RAM disk."""
    data = read_file(path, "initial RAM disk")
    kind = next((kind for magic, kind in MAGICS.items() if data.startswith(magic)), None)
    if kind is None:
        raise UsageError(
            f"The initial RAM disk {path} is neither a cpio archive nor compressed in a way that "
            "Linux knows."
        )
    if (kind == "cpio" and TRAILER not in data) or (kind == "gzip" and not _whole_gzip(data)):
        raise UsageError(
            f"The initial RAM disk {path} is cut off or damaged: fetch or build it again."
        )
    return data


def _whole_gzip(data: bytes) -> bool:
    """Whether the first member unpacks to its end; an archive may have others behind it."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for start in range(0, len(data), 1 << 20):
            unpacker.decompress(data[start : start + (1 << 20)])
            if unpacker.eof:
                return True
    except zlib.error:
        return False
    return False
