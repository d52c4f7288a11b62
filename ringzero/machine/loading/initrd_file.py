"""Initial RAM disks: cpio archives, plain or compressed, checked as far as the host can.

The kernel unpacks them by itself, and says little about one that is damaged.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from ringzero.errors import UsageError
from ringzero.machine.loading.content import read_file
from ringzero.machine.loading.unpack import compression

CPIO = (b"070701", b"070702")  # init/initramfs.c
TRAILER = b"TRAILER!!!"


def read_initrd(path: Path, linux: bool = True) -> bytes:
    """The content of an initial RAM disk; for a kernel that is not Linux it may be any file."""
    data = read_file(path, "initial RAM disk")
    if not linux:
        return data
    kind = "cpio" if data.startswith(CPIO) else compression(data)
    if kind in (None, "lz4-frame"):  # the newer frame is not in lib/decompress.c
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
