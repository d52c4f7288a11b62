"""What compressors made, unpacked: gzip, xz, lzma and bzip2 by Python, zstd, lz4 and lzo by tools.

The magic numbers are those of Linux's lib/decompress.c; what would not end is not followed.
"""

from __future__ import annotations

import bz2
import lzma
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import Any, Protocol

from ringzero.errors import UsageError
from ringzero.machine.loading.content import Content

MAGICS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"]\0\0": "lzma",
    b"\x89LZO": "lzo",
    b"\x02\x21\x4c\x18": "lz4",  # the legacy frame, which Linux's build makes
    b"\x04\x22\x4d\x18": "lz4-frame",
    b"\x28\xb5\x2f\xfd": "zstd",
}
TOOLS = {
    "lz4": ("lz4", "-dc"),
    "lz4-frame": ("lz4", "-dc"),
    "lzo": ("lzop", "-dc"),
    "zstd": ("zstd", "-dcq"),
}
"""Programs that read a packed file and write what was in it; the package has the first's name."""

METHODS = {**{name: name for name in MAGICS.values()}, "xzkern": "xz"}
"""By the names that an EFI zboot file has for them."""

LIMIT = 1 << 30  # bytes that a kernel may have


class Unpacker(Protocol):
    """What bz2, lzma and zlib have in common."""

    @property
    def eof(self) -> bool: ...
    def decompress(self, data: Any, max_length: int, /) -> bytes: ...


def compression(data: Content) -> str | None:
    """By what the data is packed, if it is."""
    start = bytes(data[:8])
    return next((name for magic, name in MAGICS.items() if start.startswith(magic)), None)


def unpack(data: Content, how: str, path: Path) -> bytes:
    """What was packed `how`; bytes behind it do not matter. `path` is for the refusal."""
    if how in TOOLS:
        return _by_tool(data, how, path)
    made: dict[str, Unpacker] = {
        "gzip": zlib.decompressobj(wbits=31),
        "bzip2": bz2.BZ2Decompressor(),
        "xz": lzma.LZMADecompressor(),
        "lzma": lzma.LZMADecompressor(),
    }
    try:
        unpacked = made[how].decompress(data, LIMIT)
    except lzma.LZMAError as error:
        if "options" in str(error):  # such as the RISC-V filter of xz 5.6, in an older liblzma
            raise UsageError(
                f"The kernel {path} is packed by xz with a filter that this host's liblzma does "
                "not know: unpack it where xz is newer, and boot the result."
            ) from None
        raise UsageError(_damaged(how, path)) from None
    except (zlib.error, OSError):
        raise UsageError(_damaged(how, path)) from None
    if not made[how].eof:
        raise UsageError(_damaged(how, path))
    return unpacked


def _by_tool(data: Content, how: str, path: Path) -> bytes:
    command = TOOLS[how]
    if shutil.which(command[0]) is None:
        raise UsageError(
            f"The kernel {path} is compressed with {how}, and this host has no `{command[0]}` to "
            f"unpack it: install it (apt-get install {command[0]}), or boot the unpacked file."
        )
    with tempfile.TemporaryFile() as packed:
        packed.write(data)
        packed.seek(0)
        with subprocess.Popen(
            command, stdin=packed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            unpacked = process.stdout.read(LIMIT + 1)
            process.stdout.close()
    if process.returncode or len(unpacked) > LIMIT:
        raise UsageError(_damaged(how, path))
    return unpacked


def _damaged(how: str, path: Path) -> str:
    return f"The {how} data in the kernel {path} is cut off or damaged: fetch or build it again."
