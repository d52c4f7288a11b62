"""Little kernels for the boot protocols, assembled here: they say what they found and power off."""

from __future__ import annotations

import struct
from pathlib import Path

from ringzero.kvm.board import layout
from ringzero.kvm.walk.assembler import Assembler

BASE = 0x10_0000


class Kernel(Assembler):
    """Code with a few words for the serial port and the exit port."""

    def say(self, text: str) -> None:
        """Write to the serial port."""
        self.mov("edx", layout.SERIAL)
        for character in text:
            self.mov("al", ord(character))
            self.op("out dx, al")

    def say_byte(self) -> None:
        """Write al to the serial port."""
        self.mov("edx", layout.SERIAL)
        self.op("out dx, al")

    def exit(self, code: int) -> None:
        """End the machine."""
        self.mov("edx", layout.EXIT)
        self.mov("al", code)
        self.op("out dx, al")
        self.label("for ever")
        self.jump("for ever")


def elf64(code: bytes, entry: int = BASE, note: int | None = None) -> bytes:
    """An ELF executable for x86-64, with a PVH note if `note` is its 32-bit entry."""
    notes = b"" if note is None else struct.pack("<III4sI", 4, 4, 18, b"Xen\0", note)
    count = 1 + bool(notes)
    start = 64 + 56 * count
    header = struct.pack(
        "<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, 62, 1, entry, 64, 0, 0, 64, 56, count,
        0, 0, 0,
    )  # fmt: skip
    load = struct.pack("<IIQQQQQQ", 1, 7, start, BASE, BASE, len(code), len(code) + 4096, 4096)
    if notes:
        where = start + len(code)
        load += struct.pack("<IIQQQQQQ", 4, 4, where, 0, 0, len(notes), len(notes), 4)
    return header + load + code + notes


def bzimage(code: bytes, address: int = 2 * BASE) -> bytes:
    """A bzImage whose 64-bit entry is this code."""
    body = bytes(0x200) + code
    body += bytes(-len(body) % 16)
    image = bytearray(1024) + body
    image[0x1F1] = 1  # setup sectors
    struct.pack_into("<I", image, 0x1F4, len(body) // 16)
    struct.pack_into("<H", image, 0x1FE, 0xAA55)
    image[0x200:0x202] = b"\xeb\x6a"  # jump over the header, which ends at 0x202 + 0x6a
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x20F)
    struct.pack_into("<I", image, 0x22C, 0x7FFF_FFFF)
    struct.pack_into("<IBBH", image, 0x230, 1 << 21, 1, 21, 1)
    struct.pack_into("<I", image, 0x238, 255)
    struct.pack_into("<QI", image, 0x258, address, 0x10_0000)
    return bytes(image.ljust(0x1200, b"\0"))


def written(path: Path, data: bytes) -> Path:
    """A file with this content."""
    path.write_bytes(data)
    return path
