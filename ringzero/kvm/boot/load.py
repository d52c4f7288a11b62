"""Kernels for the x86-64 board and the state in which they expect the processor.

Three ways in: a Linux bzImage through its 64-bit entry (Documentation/arch/x86/boot.rst), an ELF
with a PVH note through its 32-bit one (Xen's start_info), and any other 64-bit ELF at its own entry
with Linux's boot parameters in rsi. No instruction of ours runs in the guest.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from ringzero.descriptors import map_file
from ringzero.errors import UsageError
from ringzero.kvm.board import layout
from ringzero.machine.loading.content import read_file
from ringzero.machine.memory import GuestMemory

X86_64, I386 = 62, 3
PT_LOAD, PT_NOTE = 1, 4
PHYS32_ENTRY = 18  # XEN_ELFNOTE_PHYS32_ENTRY
START_MAGIC = 0x336E_C578
USABLE, RESERVED = 1, 2
ENTRY_64 = 0x200
LOADED_HIGH, CAN_USE_HEAP = 0x01, 0x80
HAS_64_BIT_ENTRY = 1  # XLF_KERNEL_64


class Entry(Enum):
    """The protocol by which a kernel is entered."""

    LINUX = "64-bit Linux"
    PVH = "PVH"


@dataclass(frozen=True)
class Piece:
    """Bytes of the file that belong at a physical address, and zeroes after them up to `size`."""

    address: int
    offset: int
    in_file: int
    size: int


@dataclass(frozen=True)
class X86Kernel:
    """What there is to load and how it starts."""

    path: Path
    entry: Entry
    address: int
    pieces: tuple[Piece, ...] = field(repr=False)
    header: bytes = field(repr=False, default=b"")  # a bzImage's setup header
    initrd_max: int = 0x7FFF_FFFF
    command_line_max: int = 2047
    alignment: int = 1 << 21

    @property
    def end(self) -> int:
        """The first address behind the kernel, what it needs to unpack itself included."""
        return max(piece.address + piece.size for piece in self.pieces)


@dataclass(frozen=True)
class Loaded:
    """A kernel in memory: where it starts and what goes into rsi or ebx."""

    kernel: X86Kernel
    argument: int


def read_kernel(path: Path) -> X86Kernel:
    """The kernel in a file. Only its headers are read; its bytes go straight to guest memory."""
    try:
        with path.open("rb") as file:
            data = map_file(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        read_file(path, "kernel")  # says in a sentence what is wrong with it
        raise
    with data:
        if data[:4] == b"\x7fELF":
            return _elf(path, data)
        if data[0x202:0x206] == b"HdrS" and len(data) > 0x1000:
            return _bzimage(path, data)
    raise UsageError(
        f"The kernel {path} is neither a Linux bzImage nor an ELF file for x86-64: for kernels of "
        "another architecture use --cpu emulate."
    )


def _bzimage(path: Path, data: mmap.mmap) -> X86Kernel:
    header = data[0x1F1 : 0x202 + data[0x201]]

    def at(offset: int, pattern: str) -> int:
        return int(struct.unpack_from("<" + pattern, data, offset)[0])

    version = at(0x206, "H")
    if version < 0x20C or not at(0x236, "H") & HAS_64_BIT_ENTRY:
        raise UsageError(
            f"The kernel {path} speaks version {version >> 8}.{version & 255} of Linux's boot "
            "protocol without a 64-bit entry: use a 64-bit kernel of 3.8 or later."
        )
    start = (at(0x1F1, "B") or 4) * 512 + 512
    needed = start + at(0x1F4, "I") * 16
    if len(data) < needed:
        raise UsageError(
            f"The kernel {path} is cut off: it has {len(data)} bytes and should have at least "
            f"{needed}; fetch or build it again."
        )
    preferred, size = at(0x258, "Q"), at(0x260, "I")
    # The file's own preference; a kernel that is not relocatable runs nowhere else.
    in_file = len(data) - start
    piece = Piece(preferred, start, in_file, max(size, in_file))
    return X86Kernel(
        path,
        Entry.LINUX,
        preferred + ENTRY_64,
        (piece,),
        header,
        initrd_max=at(0x22C, "I"),
        command_line_max=at(0x238, "I"),
        alignment=at(0x230, "I"),
    )


def _elf(path: Path, data: mmap.mmap) -> X86Kernel:
    damaged = UsageError(f"The ELF file {path} is cut off or damaged: fetch or build it again.")
    if len(data) < 64:
        raise damaged
    bits, order = data[4], data[5]
    _kind, machine = struct.unpack_from("<HH", data, 16)
    if order != 1 or machine not in (X86_64, I386):
        raise UsageError(
            f"The kernel {path} is an ELF file for another architecture than x86: use "
            "--cpu emulate for RISC-V."
        )
    try:
        entry, headers = _program_headers(data, bits)
    except struct.error:
        raise damaged from None
    pieces = []
    pvh: int | None = None
    for kind, offset, physical, in_file, in_memory in headers:
        if offset + in_file > len(data) or (kind == PT_LOAD and in_file > in_memory):
            raise damaged
        if kind == PT_LOAD and in_memory:
            pieces.append(Piece(physical, offset, in_file, in_memory))
        elif kind == PT_NOTE:
            found = _pvh_note(data[offset : offset + in_file])
            pvh = pvh if found is None else found
    if not pieces:
        raise UsageError(f"The kernel {path} is an ELF file with nothing to load: link it again.")
    if pvh is not None:
        return X86Kernel(path, Entry.PVH, pvh, tuple(pieces))
    if bits != 2:
        raise UsageError(
            f"The kernel {path} is a 32-bit ELF file without a PVH note (XEN_ELFNOTE_PHYS32_ENTRY):"
            " build it with CONFIG_PVH, or use a bzImage."
        )
    return X86Kernel(path, Entry.LINUX, entry, tuple(pieces))


def _program_headers(
    data: mmap.mmap, bits: int
) -> tuple[int, list[tuple[int, int, int, int, int]]]:
    """The entry, and (type, offset, physical address, size in file, size in memory) of each."""
    wide = bits == 2
    entry, table = struct.unpack_from("<QQ" if wide else "<II", data, 24)
    size, count = struct.unpack_from("<HH", data, 54 if wide else 42)
    headers = []
    for place in range(table, table + size * count, size or 1):
        if wide:
            kind, offset, physical, in_file, in_memory = struct.unpack_from(
                "<I4xQ8xQQQ", data, place
            )
        else:
            kind, offset, physical, in_file, in_memory = struct.unpack_from("<II4xIII", data, place)
        headers.append((kind, offset, physical, in_file, in_memory))
    return entry, headers


def _pvh_note(notes: bytes) -> int | None:
    """The 32-bit entry in a note segment, None if there is none."""
    for name, kind, content in _notes(notes):
        if name == b"Xen\0" and kind == PHYS32_ENTRY:
            return int.from_bytes(content, "little")
    return None


def _notes(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    place = 0
    while place + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<III", data, place)
        place += 12
        content = place + (name_size + 3 & ~3)
        yield data[place : place + name_size], kind, data[content : content + size]
        place = content + (size + 3 & ~3)


# Loading.


def load(
    memory: GuestMemory,
    ram: Sequence[tuple[int, int]],
    kernel: X86Kernel,
    initrd: bytes,
    command_line: str,
    tables: bytes,
) -> Loaded:
    """Put everything where the kernel finds it."""
    words = os.fsencode(command_line)
    limit = min(kernel.command_line_max, layout.COMMAND_LINE_ROOM - 1)
    if len(words) > limit:
        raise UsageError(
            f"The kernel's command line is {len(words)} bytes long and {kernel.path} takes {limit}:"
            " shorten --append."
        )
    top = ram[0][0] + ram[0][1]
    for piece in kernel.pieces:
        _check_place(kernel, piece, top)
    _read_pieces(memory, kernel)
    memory.write(layout.COMMAND_LINE, words + b"\0")
    memory.write(layout.ACPI_TABLES, tables)
    module = (_place_initrd(memory, kernel, top, initrd), len(initrd)) if initrd else (0, 0)
    if kernel.entry is Entry.PVH:
        return Loaded(kernel, _start_info(memory, ram, module))
    return Loaded(kernel, _boot_params(memory, ram, kernel, module, len(words)))


def _read_pieces(memory: GuestMemory, kernel: X86Kernel) -> None:
    """From the file into guest memory, which is zero where nothing is read."""
    with kernel.path.open("rb") as file:
        for piece in kernel.pieces:
            place = memory.view(piece.address, piece.in_file)
            done = 0
            while done < piece.in_file:
                got = os.preadv(file.fileno(), [place[done:]], piece.offset + done)
                if not got:
                    raise UsageError(f"The kernel {kernel.path} became shorter: try again.")
                done += got


def _check_place(kernel: X86Kernel, piece: Piece, top: int) -> None:
    end = piece.address + piece.size
    if piece.address < layout.HIGH_MEMORY:
        raise UsageError(
            f"The kernel {kernel.path} wants to be at {piece.address:#x}, where this board has "
            "its boot structures: link it for 0x100000 or above."
        )
    if end > top:
        raise UsageError(
            f"The kernel {kernel.path} needs memory up to {end:#x}, and RAM ends at {top:#x}: give "
            f"it more memory, such as -m {(end >> 20) + 64}M."
        )


def _place_initrd(memory: GuestMemory, kernel: X86Kernel, top: int, initrd: bytes) -> int:
    address = min(top, kernel.initrd_max + 1) - len(initrd) & ~0xFFF
    if address < kernel.end:
        raise UsageError(
            f"The initial RAM disk of {len(initrd) >> 20} MiB does not fit behind the kernel: give "
            "more memory with -m."
        )
    memory.write(address, initrd)
    return address


def memory_map(ram: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(address, size, kind): RAM with the hole that PCs have below 1 MiB, and what is reserved."""
    entries = [
        (0, layout.EBDA, USABLE),
        (layout.EBDA, layout.HIGH_MEMORY - layout.EBDA, RESERVED),
    ]
    for start, size in ram:
        first = max(start, layout.HIGH_MEMORY)
        if start + size > first:
            entries.append((first, start + size - first, USABLE))
    # Linux uses PCI's configuration space in memory only where it is reserved.
    return sorted([*entries, (layout.ECAM, layout.ECAM_BUS, RESERVED)])


def _boot_params(
    memory: GuestMemory,
    ram: Sequence[tuple[int, int]],
    kernel: X86Kernel,
    module: tuple[int, int],
    command_line_size: int,
) -> int:
    """struct boot_params, the zero page; its fields are in Linux's zero-page.rst."""
    page = bytearray(4096)
    page[0x1F1 : 0x1F1 + len(kernel.header)] = kernel.header
    entries = memory_map(ram)

    def put(offset: int, pattern: str, *values: int) -> None:
        struct.pack_into("<" + pattern, page, offset, *values)

    put(0x070, "Q", layout.ACPI_TABLES)  # acpi_rsdp_addr
    put(0x1E8, "B", len(entries))
    put(0x1FE, "H", 0xAA55)
    page[0x202:0x206] = b"HdrS"
    put(0x206, "H", 0x20C if not kernel.header else int.from_bytes(page[0x206:0x208], "little"))
    put(0x210, "B", 0xFF)  # a loader without an assigned number
    put(0x211, "B", page[0x211] | LOADED_HIGH)
    put(0x218, "II", *module)
    put(0x228, "I", layout.COMMAND_LINE)
    put(0x230, "I", kernel.alignment)
    put(0x238, "I", max(kernel.command_line_max, command_line_size))
    for index, entry in enumerate(entries):
        put(0x2D0 + 20 * index, "QQI", *entry)
    memory.write(layout.BOOT_PARAMS, bytes(page))
    return layout.BOOT_PARAMS


def _start_info(
    memory: GuestMemory, ram: Sequence[tuple[int, int]], module: tuple[int, int]
) -> int:
    """struct hvm_start_info of Xen's public headers, version 1, with its memory map."""
    modules = layout.MEMORY_MAP - 0x80
    entries = memory_map(ram)
    for index, (address, size, kind) in enumerate(entries):
        entry = struct.pack("<QQII", address, size, kind, 0)
        memory.write(layout.MEMORY_MAP + 24 * index, entry)
    if module[1]:
        memory.write(modules, struct.pack("<QQQQ", *module, 0, 0))
    info = struct.pack(
        "<IIIIQQQQII", START_MAGIC, 1, 0, int(bool(module[1])), modules if module[1] else 0,
        layout.COMMAND_LINE, layout.ACPI_TABLES, layout.MEMORY_MAP, len(entries), 0,
    )  # fmt: skip
    memory.write(layout.START_INFO, info)
    return layout.START_INFO
