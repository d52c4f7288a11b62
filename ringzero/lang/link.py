"""The static linker: one riscv64 object file and stubs become a bare-metal image.

The entry stub stands at the base address, then the other stubs, then LLVM's code and constants;
data start on a page of their own, so that a kernel may protect its text. Where a stub has an
`inline` word, that word takes the place of each call of it. Relocations: RISC-V psABI, chapter 8.

Besides words, `Stub.code` holds references: `("call", symbol)`, `("tail", symbol)` and
`("la", register number, symbol)`, each two instructions relative to pc.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ringzero.lang import objectfile
from ringzero.lang.image import EXECUTE, PAGE, READ, WRITE, Image, Label, Segment, write
from ringzero.lang.native import Stub
from ringzero.lang.objectfile import (
    ALLOC,
    NOBITS,
    R_32_PCREL,
    R_64,
    R_ADD,
    R_CALL,
    R_CALL_PLT,
    R_PCREL_HI20,
    R_PCREL_LO12_I,
    R_PCREL_LO12_S,
    R_SUB,
    LinkError,
    ObjectFile,
    Section,
    Symbol,
)
from ringzero.lang.relax import FIELDS, jump_bits, relax

NOP, RET = 0x00000013, 0x00008067
RA, T1 = 1, 6


@dataclass
class _Linker:
    """Memory being filled in, and the addresses that are known by now."""

    base: int
    stubs: dict[str, Stub]
    image: bytearray = field(default_factory=bytearray)
    labels: dict[str, Label] = field(default_factory=dict)
    text_size: int = 0
    data_size: int = 0

    @property
    def here(self) -> int:
        return self.base + len(self.image)

    def align(self, to: int) -> None:
        self.image += bytes(-len(self.image) % to)

    def word(self, address: int) -> int:
        return int.from_bytes(self.image[address - self.base : address - self.base + 4], "little")

    def put(self, address: int, word: int) -> None:
        struct.pack_into("<I", self.image, address - self.base, word & 0xFFFF_FFFF)

    # ---- placing

    def place_stubs(self) -> None:
        for name, stub in self.stubs.items():
            self.align(8)  # a stub may be data
            start = self.here
            for item in stub.code:
                words = 1 if isinstance(item, int) else 2
                self.image += bytes(4 * words)
                if isinstance(item, int):
                    self.put(self.here - 4, item)
            self.labels[name] = Label(start, self.here - start, True)

    def place_sections(self, sections: list[Section]) -> None:
        """Give each allocated section an address; data begin on a new page."""
        kept = [s for s in sections if s.flags & ALLOC and s.size]
        for section in sorted(kept, key=lambda one: one.order):
            if section.flags & objectfile.WRITE and not self.text_size:
                self._end_text()
            if section.kind == NOBITS and not self.data_size:
                self._end_data()
            self.align(section.align)
            section.address = self.here
            self.image += section.data or bytes(section.size)
        if not self.text_size:
            self._end_text()
        if not self.data_size:
            self._end_data()
        self.align(16)
        self.labels["_end"] = Label(self.here, 0, False)

    def _end_text(self) -> None:
        self.align(PAGE)
        self.text_size = len(self.image)
        self.labels["_data"] = Label(self.here, 0, False)

    def _end_data(self) -> None:
        self.align(16)
        self.data_size = len(self.image) - self.text_size or 16
        self.image += bytes(self.text_size + self.data_size - len(self.image))
        self.labels["_bss"] = Label(self.here, 0, False)

    # ---- relocating

    def address(self, name: str, wanted_by: str) -> int:
        label = self.labels.get(name)
        if label is None:
            raise LinkError(
                f"{wanted_by} refers to {name!r}, which neither the program nor a stub defines: "
                f"pass it as a root, an exported global or a stub"
            )
        return label.address

    def pair(self, address: int, distance: int) -> None:
        """Fill in auipc at `address` and the I-type instruction after it."""
        high, low = _split(distance, address)
        self.put(address, self.word(address) & 0xFFF | high << 12)
        self.put(address + 4, self.word(address + 4) & 0xFFFFF | low << 20)

    def resolve_stubs(self) -> None:
        for name, stub in self.stubs.items():
            address = self.labels[name].address
            for item in stub.code:
                if isinstance(item, int):
                    address += 4
                    continue
                self._reference(address, item, f"stub {name}")
                address += 8

    def _reference(self, address: int, item: Any, wanted_by: str) -> None:
        match item:
            case ("call", str(symbol)):
                first, second = RA, RA << 15 | RA << 7 | 0x67  # jalr ra, ra
            case ("tail", str(symbol)):
                first, second = T1, T1 << 15 | 0x67  # jalr zero, t1
            case ("la", int(register), str(symbol)):
                first, second = register, register << 15 | register << 7 | 0x13  # addi
            case _:
                raise LinkError(
                    f"{wanted_by} holds {item!r}: a word, or call, tail or la, goes there"
                )
        self.put(address, first << 7 | 0x17)
        self.put(address + 4, second)
        self.pair(address, self.address(symbol, wanted_by) - address)

    def call(self, address: int, symbol: Symbol, target: int) -> None:
        """A call by LLVM: the stub's word itself where it has one."""
        stub = self.stubs.get(symbol.name) if symbol.section == 0 else None
        if stub is None or stub.inline is None:
            self.pair(address, target - address)
            return
        tail = self.word(address + 4) >> 7 & 31 == 0
        self.put(address, stub.inline)
        self.put(address + 4, RET if tail else NOP)

    def jump(self, kind: int, address: int, target: int) -> None:
        """A jump or branch by LLVM."""
        size, mask, bits = jump_bits(kind, target - address)
        at = address - self.base
        old = int.from_bytes(self.image[at : at + size], "little")
        self.image[at : at + size] = (old & ~mask | bits).to_bytes(size, "little")


def _split(distance: int, address: int) -> tuple[int, int]:
    if not -(1 << 31) <= distance + 0x800 < 1 << 31:
        raise LinkError(f"at {address:#x} a reference spans {distance:#x}: more than pc can reach")
    return (distance + 0x800) >> 12 & 0xFFFFF, distance & 0xFFF


def _relocate(linker: _Linker, code: ObjectFile) -> None:
    def value(symbol: Symbol) -> int:
        if symbol.section == 0:
            return linker.address(symbol.name, "compiled text")
        return code.sections[symbol.section].address + symbol.value

    highs: dict[int, int] = {}
    lows: list[tuple[int, int, int]] = []
    for one in code.relocations:
        kind, address = one.kind, code.sections[one.section].address + one.offset
        if kind in (R_PCREL_LO12_I, R_PCREL_LO12_S):
            lows.append((kind, address, value(one.symbol)))
            continue
        target = value(one.symbol) + one.addend
        if kind in (R_CALL, R_CALL_PLT):
            linker.call(address, one.symbol, target)
        elif kind in FIELDS:
            linker.jump(kind, address, target)
        elif kind == R_PCREL_HI20:
            highs[address] = target - address
            high, _ = _split(target - address, address)
            linker.put(address, linker.word(address) & 0xFFF | high << 12)
        else:
            _data_relocation(linker, kind, address, target, one.symbol)
    for kind, address, high_at in lows:  # these name the auipc that holds their other half
        _low(linker, kind, address, highs[high_at] & 0xFFF)


def _low(linker: _Linker, kind: int, address: int, low: int) -> None:
    word = linker.word(address)
    if kind == R_PCREL_LO12_I:
        linker.put(address, word & 0xFFFFF | low << 20)
    else:
        linker.put(address, word & 0x01FFF07F | (low >> 5) << 25 | (low & 31) << 7)


def _data_relocation(linker: _Linker, kind: int, address: int, target: int, symbol: Symbol) -> None:
    at = address - linker.base
    if kind == R_64:
        struct.pack_into("<Q", linker.image, at, target)
    elif kind == R_32_PCREL:
        struct.pack_into("<i", linker.image, at, target - address)
    elif kind in R_ADD or kind in R_SUB:
        form = R_ADD.get(kind) or R_SUB[kind]
        (old,) = struct.unpack_from(form, linker.image, at)
        new = old + target if kind in R_ADD else old - target
        struct.pack_into(form, linker.image, at, new & ((1 << 8 * struct.calcsize(form)) - 1))
    else:
        raise LinkError(f"relocation {kind} against {symbol.name!r} at {address:#x} is not known")


def link(code: bytes, stubs: Sequence[Stub], entry: str, base: int) -> Image:
    """The image of an object file and `stubs`; the stub named `entry` stands at `base`."""
    named = {stub.name: stub for stub in stubs}
    if entry not in named:
        raise LinkError(f"the entry {entry!r} is not among the stubs {', '.join(named)}")
    if base % PAGE:
        raise LinkError(f"base {base:#x} is not on a page boundary: use a multiple of {PAGE:#x}")
    linker = _Linker(base, {entry: named.pop(entry), **named})
    linker.place_stubs()
    given = ObjectFile(code)
    relax(given, named)
    linker.place_sections(given.sections)
    for symbol in given.symbols:
        if symbol.kind in (1, 2) and 0 < symbol.section < len(given.sections):
            section = given.sections[symbol.section]
            linker.labels[symbol.name] = Label(
                section.address + symbol.value, symbol.size, symbol.kind == 2
            )
    linker.resolve_stubs()
    _relocate(linker, given)
    text, data = linker.text_size, linker.data_size
    segments = [
        Segment(base, bytes(linker.image[:text]), text, READ | EXECUTE),
        Segment(base + text, bytes(linker.image[text : text + data]),
                len(linker.image) - text, READ | WRITE),
    ]  # fmt: skip
    return Image.read(write(segments, linker.labels, base))
