"""RISC-V ELF executables, read and checked: what is loaded where, the entry, the symbols.

Segments go to their physical addresses (`p_paddr`), as QEMU loads them. An entry or a symbol inside
a segment that is linked elsewhere (`p_vaddr`) is at the place that its segment is loaded at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from ringzero.errors import UsageError
from ringzero.machine.loading import linux_image
from ringzero.machine.loading.content import Content, cut_off
from ringzero.machine.loading.segments import KernelFile, Segment

MAGIC = b"\x7fELF"
RISCV, EXECUTABLE, SHARED = 243, 2, 3
PT_LOAD, SHT_SYMTAB = 1, 2
MACHINES = {3: "x86", 8: "MIPS", 21: "PowerPC", 40: "ARM", 62: "x86-64", 183: "AArch64"}
PF_X = 1


@dataclass(frozen=True)
class Loaded:
    """A program header of what is loaded: its segment, and the address that it is linked for."""

    segment: Segment
    linked: int
    offset: int  # in the file
    executable: bool

    def holds(self, address: int) -> bool:
        """Whether an address of the program is in what the file has of the segment."""
        return self.linked <= address < self.linked + len(self.segment.data)

    def physical(self, address: int) -> int:
        """Where that is in physical memory."""
        return address - self.linked + self.segment.address


def parse_elf(path: Path, data: Content, ram_base: int | None = None) -> KernelFile:
    """What an ELF file's content loads; `path` is for sentences about it.

    Linux's own `vmlinux` is linked for no place in RAM: it goes to where its Image would go.
    """
    entry, loaded = _headers(path, data)
    symbols = _symbols(data)
    inside = next((one for one in loaded if one.executable and one.holds(entry)), None)
    moved = 0
    linux = inside is not None and linux_image.is_image(data, _in_file(inside, entry))
    if linux and inside is not None and ram_base is not None:
        at = ram_base + linux_image.text_offset(data, _in_file(inside, entry))
        moved = at - inside.physical(entry)
    if inside is not None:
        entry = inside.physical(entry)
    segments = tuple(_moved(one.segment, moved) for one in loaded)
    return KernelFile(path, entry + moved, segments, _physical(symbols, loaded), linux)


def _in_file(loaded: Loaded, address: int) -> int:
    return address - loaded.linked + loaded.offset


def _moved(segment: Segment, by: int) -> Segment:
    return Segment(segment.address + by, segment.data, segment.size) if by else segment


def _physical(symbols: dict[str, int], loaded: list[Loaded]) -> dict[str, int]:
    """Symbols where their segments are loaded; nothing moves where both addresses are the same."""
    elsewhere = [one for one in loaded if one.linked != one.segment.address]
    if not elsewhere:
        return symbols
    found = dict(symbols)
    for name, value in symbols.items():
        for one in elsewhere:
            if one.linked <= value < one.linked + one.segment.size:
                found[name] = one.physical(value)
    return found


def _headers(path: Path, data: Content) -> tuple[int, list[Loaded]]:
    """The entry as the file has it, and what is loaded."""
    if len(data) < 64:
        raise UsageError(cut_off(path, len(data), 64))
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
        raise UsageError(cut_off(path, len(data), headers + 56 * count))
    loaded = [
        one
        for index in range(count)
        if (one := _loaded(path, data, headers + size * index)) is not None
    ]
    if not loaded:
        raise UsageError(f"The kernel {path} is an ELF file with nothing to load: link it again.")
    return entry, loaded


def _loaded(path: Path, data: Content, place: int) -> Loaded | None:
    kind, flags, offset, virtual, physical, in_file, in_memory = struct.unpack_from(
        "<IIQQQQQ", data, place
    )
    if kind != PT_LOAD or not in_memory:
        return None
    if offset + in_file > len(data):
        raise UsageError(cut_off(path, len(data), offset + in_file))
    if in_file > in_memory or physical + in_memory > 1 << 64:
        raise UsageError(f"The program headers of the kernel {path} are damaged: link it again.")
    segment = Segment(physical, data[offset : offset + in_file], in_memory)
    return Loaded(segment, virtual, offset, bool(flags & PF_X))


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
