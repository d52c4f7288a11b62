"""Kernel files: RISC-V ELF executables and Linux's flat Image, read and checked before use.

A file that is cut off, of another machine or of no known kind is refused in a sentence; what loads
is a list of segments at physical addresses, with the symbols that a board looks for.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from ringzero.descriptors import map_file
from ringzero.errors import NotFound, UsageError
from ringzero.machine.memory import GuestMemory

RISCV, EXECUTABLE, SHARED = 243, 2, 3
PT_LOAD, SHT_SYMTAB = 1, 2
MACHINES = {3: "x86", 8: "MIPS", 21: "PowerPC", 40: "ARM", 62: "x86-64", 183: "AArch64"}

IMAGE_MAGIC, IMAGE_MAGIC2 = b"RISCV\0\0\0", b"RSC\x05"
GZIP, UNPACKED_LIMIT = b"\x1f\x8b", 1 << 30
LARGE = 1 << 20
Content = bytes | mmap.mmap
IMAGE_HEADER = 64  # Documentation/arch/riscv/boot-image-header.rst


@dataclass(frozen=True)
class Segment:
    """Bytes at a physical address, and zeroes after them up to `size`."""

    address: int
    data: Content = field(repr=False)
    size: int


@dataclass(frozen=True)
class KernelFile:
    """What there is to load, where it starts, and the global symbols of an ELF."""

    path: Path
    entry: int
    segments: tuple[Segment, ...]
    symbols: dict[str, int] = field(repr=False)
    linux: bool

    @property
    def end(self) -> int:
        """The first address behind the kernel."""
        return max(segment.address + segment.size for segment in self.segments)

    def load(self, memory: GuestMemory) -> None:
        """Put the segments into RAM, or say that they do not fit."""
        for segment in self.segments:
            end = segment.address + segment.size
            if not memory.base <= segment.address <= end <= memory.end:
                raise UsageError(self._does_not_fit(segment.address, end, memory))
        for segment in self.segments:
            memory.write(segment.address, segment.data)
            if segment.size > len(segment.data):
                rest = segment.size - len(segment.data)
                memory.write(segment.address + len(segment.data), bytes(rest))

    def _does_not_fit(self, address: int, end: int, memory: GuestMemory) -> str:
        said = (
            f"The kernel {self.path} needs memory from {address:#x} to {end:#x}, and RAM is from "
            f"{memory.base:#x} to {memory.end:#x}: "
        )
        if address < memory.base:
            return f"{said}link it for an address in RAM."
        megabytes = 16
        while memory.base + (megabytes << 20) < end and megabytes < 1 << 24:
            megabytes *= 2
        return f"{said}give it more memory, such as -m {megabytes}M."


def read_file(path: Path, what: str) -> bytes:
    """A file's content; `what` names it in the sentence where that is not possible."""
    return bytes(file_content(path, what))


def file_content(path: Path, what: str) -> Content:
    """The same; a large file is mapped, and so copied once only, to where the guest has it."""
    try:
        data = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"There is no {what} {path}: check the path.") from None
    except IsADirectoryError:
        raise UsageError(f"The {what} {path} is a directory: name a file in it.") from None
    except OSError as error:
        raise UsageError(f"The {what} {path} cannot be read ({error.strerror}).") from None
    if not len(data):
        raise UsageError(f"The {what} {path} is empty: fetch or build it again.")
    return data


def _content(path: Path) -> Content:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size >= LARGE:
            with contextlib.suppress(ValueError, OSError):  # a file system may not map
                return map_file(file.fileno(), 0, access=mmap.ACCESS_READ)
        return file.read()


def read_kernel(path: Path, ram_base: int) -> KernelFile:
    """The kernel in a file; an Image goes to its offset from the start of RAM."""
    data = file_content(path, "kernel")
    if data[:2] == GZIP:
        data = _unpacked(path, data)
    if data[:4] == b"\x7fELF":
        return parse_elf(path, data)
    if data[48:56] == IMAGE_MAGIC or data[56:60] == IMAGE_MAGIC2:
        return _image(path, data, ram_base)
    raise UsageError(
        f"The kernel {path} is {_kind(data)}, and neither an ELF executable for RISC-V nor a "
        "RISC-V Linux Image."
    )


def _unpacked(path: Path, data: Content) -> bytes:
    """What gzip packed, such as an Image.gz; a file that would not end is not followed."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(data, UNPACKED_LIMIT)
    except zlib.error:
        unpacked = b""
    if not unpacker.eof:
        raise UsageError(
            f"The gzip data in the kernel {path} is cut off or damaged: fetch or build it again."
        )
    return unpacked


def _kind(data: Content) -> str:
    """What else a file may be, for the sentence that refuses it."""
    if data[56:60] == b"ARM\x64":
        return "a Linux Image for AArch64"
    if data[514:518] == b"HdrS":
        return "a Linux bzImage for x86"
    if data[:6] in (b"070701", b"070702"):
        return "a cpio archive (an initial RAM disk?)"
    if data[:4] == b"QFI\xfb":
        return "a QEMU disk image"
    if len(data) < IMAGE_HEADER:
        return f"only {len(data)} bytes long"
    return "of an unknown kind"


def _image(path: Path, data: Content, ram_base: int) -> KernelFile:
    text_offset, image_size = struct.unpack_from("<QQ", data, 8)
    needed = _length_by_sections(data)
    if len(data) < max(needed, IMAGE_HEADER):
        raise UsageError(_cut_off(path, len(data), needed))
    address = ram_base + text_offset
    if image_size > 1 << 40 or text_offset > 1 << 40:
        raise UsageError(f"The header of the kernel {path} is damaged: fetch or build it again.")
    # Before 4.6 kernels left image_size at zero.
    segment = Segment(address, data, max(image_size, len(data)))
    return KernelFile(path, address, (segment,), {}, linux=True)


def _length_by_sections(data: Content) -> int:
    """How long an Image is by the PE sections of its EFI stub; without a stub nothing tells."""
    if data[:2] != b"MZ" or len(data) < IMAGE_HEADER:
        return 0
    header = int.from_bytes(data[60:64], "little")
    if data[header : header + 4] != b"PE\0\0" or len(data) < header + 24:
        return header + 24
    count, optional = struct.unpack_from("<H12xH", data, header + 6)
    needed = 0
    for place in range(header + 24 + optional, header + 24 + optional + 40 * count, 40):
        if len(data) < place + 40:
            return place + 40
        size, start = struct.unpack_from("<II", data, place + 16)
        needed = max(needed, start + size)
    return needed


def _cut_off(path: Path, length: int, needed: int) -> str:
    return (
        f"The kernel {path} is cut off: it has {length} bytes and should have at least {needed}; "
        "fetch or build it again."
    )


def parse_elf(path: Path, data: Content) -> KernelFile:
    """What an ELF file's content loads; `path` is for sentences about it."""
    if len(data) < 64:
        raise UsageError(_cut_off(path, len(data), 64))
    kind, machine = struct.unpack_from("<HH", data, 16)
    bits, order = data[4], data[5]
    if order != 1 or machine != RISCV:
        name = MACHINES.get(machine, f"machine {machine}") if order == 1 else "a big-endian machine"
        raise UsageError(f"The kernel {path} is an ELF file for {name}, and the guest is RISC-V.")
    if bits != 2:
        raise UsageError(f"The kernel {path} is for 32-bit RISC-V, and the guest has 64 bits.")
    if kind not in (EXECUTABLE, SHARED):
        raise UsageError(f"The kernel {path} is an ELF file but no executable: link it first.")
    entry, headers = struct.unpack_from("<QQ", data, 24)
    if entry & 1:
        raise UsageError(
            f"The kernel {path} begins at {entry:#x}, an odd address, where no instruction can be: "
            "link it again."
        )
    size, count = struct.unpack_from("<HH", data, 54)
    if size != 56 or len(data) < headers + size * count:
        raise UsageError(_cut_off(path, len(data), headers + 56 * count))
    segments = tuple(
        segment
        for index in range(count)
        if (segment := _segment(path, data, headers + size * index)) is not None
    )
    if not segments:
        raise UsageError(f"The kernel {path} is an ELF file with nothing to load: link it again.")
    return KernelFile(path, entry, segments, _symbols(data), linux=False)


def _segment(path: Path, data: Content, place: int) -> Segment | None:
    kind, _flags, offset, _virtual, physical, in_file, in_memory = struct.unpack_from(
        "<IIQQQQQ", data, place
    )
    if kind != PT_LOAD or not in_memory:
        return None
    if offset + in_file > len(data):
        raise UsageError(_cut_off(path, len(data), offset + in_file))
    if in_file > in_memory or physical + in_memory > 1 << 64:
        raise UsageError(f"The program headers of the kernel {path} are damaged: link it again.")
    return Segment(physical, data[offset : offset + in_file], in_memory)


def _symbols(data: Content) -> dict[str, int]:
    """Names and values of the symbol table; empty where it was stripped or makes no sense."""
    (headers,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    if size != 64 or headers + size * count > len(data):
        return {}
    for index in range(count):
        place = headers + size * index
        (kind,) = struct.unpack_from("<I", data, place + 4)
        if kind != SHT_SYMTAB:
            continue
        offset, length, link = struct.unpack_from("<QQI", data, place + 24)
        if link >= count or offset + length > len(data):
            return {}
        (names,) = struct.unpack_from("<Q", data, headers + size * link + 24)
        table = data[offset : offset + length // 24 * 24]
        return {
            data[names + name : data.find(b"\0", names + name)].decode("utf-8", "replace"): value
            for name, _info, _other, _section, value, _size in struct.iter_unpack("<IBBHQQ", table)
            if name and data.find(b"\0", names + name) >= 0
        }
    return {}
