"""A linked bare-metal program: an ELF file, and what a loader or a debugger asks of it.

`Image.read` finds everything in the ELF file itself, so that is all that the cache keeps.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

PAGE = 4096
EXECUTE, WRITE, READ = 1, 2, 4  # p_flags
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_ABSOLUTE = 0xFFF1
_SYMTAB = 2


@dataclass(frozen=True)
class Segment:
    """Consecutive bytes at an address, `memory_size` long once loaded (the rest is zeros)."""

    address: int
    data: bytes
    memory_size: int
    flags: int


@dataclass(frozen=True)
class Label:
    """What a name stands for: an address, how many bytes are there, and whether they are code."""

    address: int
    size: int
    code: bool


@dataclass(frozen=True)
class Image:
    """A program for bare riscv64. `flat` is its memory from `base` on, without the final zeros."""

    elf: bytes
    flat: bytes
    symbols: Mapping[str, int]
    entry: int
    base: int
    memory_size: int

    @classmethod
    def read(cls, elf: bytes) -> Image:
        """The image in an ELF file that `write` made."""
        header = _HEADER.unpack_from(elf)
        entry, segments_at, sections_at = header[4:7]
        segment_count, section_count = header[10], header[12]
        loaded = [_SEGMENT.unpack_from(elf, segments_at + 56 * i) for i in range(segment_count)]
        base = min(segment[3] for segment in loaded)
        flat = bytearray()
        for _, _, offset, address, _, size, _, _ in sorted(loaded, key=lambda one: one[3]):
            flat += bytes(address - base - len(flat)) + elf[offset : offset + size]
        end = max(segment[3] + segment[6] for segment in loaded)
        sections = [_SECTION.unpack_from(elf, sections_at + 64 * i) for i in range(section_count)]
        return cls(elf, bytes(flat), _symbols(elf, sections), entry, base, end - base)


def _symbols(elf: bytes, sections: list[tuple[int, ...]]) -> dict[str, int]:
    table = next(section for section in sections if section[1] == _SYMTAB)
    names = sections[table[6]][4]
    found = {}
    for offset in range(table[4] + 24, table[4] + table[5], 24):
        name, _, _, _, value, _ = _SYMBOL.unpack_from(elf, offset)
        found[elf[names + name : elf.index(b"\0", names + name)].decode()] = value
    return found


def write(segments: list[Segment], labels: Mapping[str, Label], entry: int) -> bytes:
    """An ELF executable of `segments`, with `labels` as its symbol table."""
    body = bytearray(64 + 56 * len(segments))
    headers = []
    for segment in segments:
        body += bytes(-len(body) % PAGE)
        a, size = segment.address, len(segment.data)
        headers.append((1, segment.flags, len(body), a, a, size, segment.memory_size, PAGE))
        body += segment.data
    for index, header in enumerate(headers):
        _SEGMENT.pack_into(body, 64 + 56 * index, *header)
    names = _Names()
    sections = [bytes(64)]
    for header in headers:
        executable = bool(header[1] & EXECUTE)
        name = names.add(".text" if executable else ".data")
        flags = 6 if executable else 3
        sections.append(
            _SECTION.pack(name, 1, flags, header[3], header[2], header[5], 0, 0, PAGE, 0)
        )
    table = _symbol_table(segments, labels, names)
    link = len(sections) + 1
    body += bytes(-len(body) % 8)
    name = names.add(".symtab")
    sections.append(_SECTION.pack(name, 2, 0, 0, len(body), len(table), link, 1, 8, 24))
    body += table
    name = names.add(".strtab")
    sections.append(_SECTION.pack(name, 3, 0, 0, len(body), len(names.data), 0, 0, 1, 0))
    body += names.data
    body += bytes(-len(body) % 8)
    ident = b"\x7fELF\2\1\1"
    _HEADER.pack_into(body, 0, ident, 2, 243, 1, entry, 64, len(body), 1, 64, 56, len(segments),
                      64, len(sections), link)  # fmt: skip
    return bytes(body + b"".join(sections))


class _Names:
    """An ELF string table."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")

    def add(self, name: str) -> int:
        offset = len(self.data)
        self.data += name.encode() + b"\0"
        return offset


def _symbol_table(segments: list[Segment], labels: Mapping[str, Label], names: _Names) -> bytes:
    table = bytearray(24)
    for name, label in labels.items():
        section = _ABSOLUTE
        for index, segment in enumerate(segments):
            if segment.address <= label.address < segment.address + segment.memory_size:
                section = index + 1
        kind = 0x12 if label.code else 0x11  # global function, global object
        table += _SYMBOL.pack(names.add(name), kind, 0, section, label.address, label.size)
    return bytes(table)
