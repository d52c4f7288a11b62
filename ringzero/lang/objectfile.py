"""A relocatable ELF64 file, as the linker reads it: sections, symbols, relocations."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ringzero.errors import RingzeroError

# Relocations of the RISC-V psABI, chapter 8.4.
R_64, R_CALL, R_CALL_PLT, R_32_PCREL = 2, 18, 19, 57
R_BRANCH, R_JAL, R_RVC_BRANCH, R_RVC_JUMP = 16, 17, 44, 45
R_PCREL_HI20, R_PCREL_LO12_I, R_PCREL_LO12_S = 23, 24, 25
R_ALIGN, R_RELAX = 43, 51
R_ADD = {34: "<H", 35: "<I", 36: "<Q"}
R_SUB = {38: "<H", 39: "<I", 40: "<Q"}

ALLOC, WRITE, EXECUTE = 2, 1, 4  # sh_flags
NOBITS, _RELA, _SYMTAB = 8, 4, 2
SECTION_SYMBOL = 3
RISCV, X86_64 = 243, 62  # e_machine


class LinkError(RingzeroError):
    """An object or a stub that cannot be linked as it stands."""


@dataclass
class Section:
    """A section and, once placed, its address."""

    kind: int
    flags: int
    data: bytes
    size: int
    align: int
    name: str = ""
    address: int = 0

    @property
    def order(self) -> tuple[bool, bool, bool]:
        """Code, then constants, then data, then zeros."""
        return self.kind == NOBITS, bool(self.flags & WRITE), not self.flags & EXECUTE


@dataclass
class Symbol:
    """An entry of the symbol table."""

    name: str
    kind: int
    section: int
    value: int
    size: int


@dataclass
class Relocation:
    """What is to be filled in at `offset` of a section once addresses are known."""

    section: int
    offset: int
    kind: int
    symbol: Symbol
    addend: int


def _text(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()


class ObjectFile:
    """All that the linker needs."""

    def __init__(self, code: bytes, machine: int = RISCV) -> None:
        if code[:5] != b"\x7fELF\2" or code[18:20] != machine.to_bytes(2, "little"):
            raise LinkError(
                f"this object is not ELF64 for machine {machine}: compile it for that target"
            )
        (offset,) = struct.unpack_from("<Q", code, 0x28)
        size, count, _ = struct.unpack_from("<HHH", code, 0x3A)
        heads = [struct.unpack_from("<IIQQQQIIQQ", code, offset + i * size) for i in range(count)]
        contents = [b"" if h[1] == NOBITS else code[h[4] : h[4] + h[5]] for h in heads]
        (index,) = struct.unpack_from("<H", code, 0x3E)
        titles = contents[index]
        self.sections = [
            Section(h[1], h[2], data, h[5], h[8] or 1, _text(titles, h[0]))
            for h, data in zip(heads, contents, strict=True)
        ]
        table = next(i for i, h in enumerate(heads) if h[1] == _SYMTAB)
        names = contents[heads[table][6]]
        self.symbols = [
            Symbol(_text(names, n), info & 15, section, value, length)
            for n, info, _, section, value, length in struct.iter_unpack("<IBBHQQ", contents[table])
        ]
        self.relocations = [
            Relocation(h[7], at, info & 0xFFFF_FFFF, self.symbols[info >> 32], addend)
            for h, data in zip(heads, contents, strict=True)
            if h[1] == _RELA and self.sections[h[7]].flags & ALLOC
            for at, info, addend in struct.iter_unpack("<QQq", data)
        ]
