"""Linker relaxation: shorter code where the linker knows more than the compiler.

A call that reaches its target with `jal` needs no `auipc`, and a stub of one word takes the place
of its call without a `nop` beside it. Both are instructions that every run would retire. All code
of an image lies within 1 MB, so a `jal` always reaches. psABI, chapter 9 (Linker Relaxation).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from ringzero.lang.native import Stub
from ringzero.lang.objectfile import (
    EXECUTE,
    R_ALIGN,
    R_BRANCH,
    R_CALL,
    R_CALL_PLT,
    R_JAL,
    R_RELAX,
    R_RVC_BRANCH,
    R_RVC_JUMP,
    SECTION_SYMBOL,
    LinkError,
    ObjectFile,
    Relocation,
)

REACH = 1 << 20
C_NOP, C_RET, NOP = b"\x01\x00", b"\x82\x80", b"\x13\x00\x00\x00"


@dataclass
class _Edits:
    """What was taken out of a section: `removed[i]` bytes before each offset ≥ `ends[i]`."""

    data: bytearray = field(default_factory=bytearray)
    done: int = 0
    ends: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)

    def replace(self, old: bytes, offset: int, size: int, new: bytes) -> None:
        """Put `new` in place of `size` bytes at `offset`; offsets only grow."""
        self.data += old[self.done : offset] + new
        self.done = offset + size
        self.ends.append(self.done)
        self.removed.append(self.done - len(self.data))

    def moved(self, offset: int) -> int:
        """Where what stood at `offset` stands now."""
        index = bisect_right(self.ends, offset)
        return offset - (self.removed[index - 1] if index else 0)


def relax(given: ObjectFile, stubs: Mapping[str, Stub]) -> None:
    """Shorten the code of `given` in place."""
    code = [i for i, s in enumerate(given.sections) if s.flags & EXECUTE and s.size]
    stub_bytes = sum(8 * len(stub.code) + 8 for stub in stubs.values())
    if stub_bytes + sum(given.sections[i].size for i in code) >= REACH:
        raise LinkError("this program has more than 1 MB of code: make it smaller, or split it")
    edits = {index: _shorten(given, index, stubs) for index in code}
    for relocation in given.relocations:
        made = edits.get(relocation.section)
        if made is not None:
            relocation.offset = made.moved(relocation.offset)
        target = edits.get(relocation.symbol.section)
        if target is not None and relocation.symbol.kind == SECTION_SYMBOL:
            relocation.addend = target.moved(relocation.addend)
    for symbol in given.symbols:
        target = edits.get(symbol.section)
        if target is not None:
            end = target.moved(symbol.value + symbol.size)
            symbol.value = target.moved(symbol.value)
            symbol.size = end - symbol.value


def _shorten(given: ObjectFile, index: int, stubs: Mapping[str, Stub]) -> _Edits:
    """Shorten one section; relocations that are settled by it are dropped."""
    section, edits = given.sections[index], _Edits()
    own = sorted((r for r in given.relocations if r.section == index), key=lambda r: r.offset)
    relaxable = {r.offset for r in own if r.kind == R_RELAX}
    settled = {id(r) for r in own if r.kind in (R_RELAX, R_ALIGN)}
    for relocation in own:
        if relocation.kind == R_ALIGN:
            _align(edits, section.data, relocation)
        elif relocation.kind in (R_CALL, R_CALL_PLT) and relocation.offset in relaxable:
            if _call(edits, section.data, relocation, stubs):
                settled.add(id(relocation))
    edits.data += section.data[edits.done :]
    section.data, section.size = bytes(edits.data), len(edits.data)
    given.relocations = [r for r in given.relocations if id(r) not in settled]
    return edits


def _align(edits: _Edits, old: bytes, relocation: Relocation) -> None:
    """Keep as much of the padding as the alignment still needs."""
    size = relocation.addend
    alignment = 1 << (size + 1).bit_length()
    here = len(edits.data) + relocation.offset - edits.done
    needed = -here % alignment
    padding = NOP * (needed // 4) + C_NOP * (needed % 4 // 2)
    edits.replace(old, relocation.offset, size, padding)


def _call(edits: _Edits, old: bytes, relocation: Relocation, stubs: Mapping[str, Stub]) -> bool:
    """Shorten a call; whether nothing is left to relocate."""
    (jump,) = struct.unpack_from("<I", old, relocation.offset + 4)
    link = jump >> 7 & 31  # zero where LLVM made a tail call of it
    stub = stubs.get(relocation.symbol.name) if relocation.symbol.section == 0 else None
    if stub is not None and stub.inline is not None:
        word = stub.inline.to_bytes(4, "little")
        edits.replace(old, relocation.offset, 8, word if link else word + C_RET)
        return True
    relocation.kind = R_JAL
    edits.replace(old, relocation.offset, 8, (link << 7 | 0x6F).to_bytes(4, "little"))
    return False


# ---- the immediates of jumps and branches (unprivileged spec 2.5, 27.4)


def _bits(value: int, *pieces: tuple[int, int, int]) -> int:
    """Bits of a distance where an encoding wants them: (lowest bit, width, position)."""
    return sum((value >> low & (1 << width) - 1) << at for low, width, at in pieces)


FIELDS = {  # relocation: (bytes, bits of the signed distance, pieces)
    R_JAL: (4, 21, ((12, 8, 12), (11, 1, 20), (1, 10, 21), (20, 1, 31))),
    R_BRANCH: (4, 13, ((11, 1, 7), (1, 4, 8), (5, 6, 25), (12, 1, 31))),
    R_RVC_BRANCH: (2, 9, ((5, 1, 2), (1, 2, 3), (6, 2, 5), (3, 2, 10), (8, 1, 12))),
    R_RVC_JUMP: (
        2, 12, ((5, 1, 2), (1, 3, 3), (7, 1, 6), (6, 1, 7), (10, 1, 8), (8, 2, 9), (4, 1, 11),
                (11, 1, 12)),
    ),
}  # fmt: skip


def jump_bits(kind: int, distance: int) -> tuple[int, int, int]:
    """A jump's size in bytes, the mask of its immediate, and the immediate that says `distance`."""
    size, width, pieces = FIELDS[kind]
    if not -(1 << width - 1) <= distance < 1 << width - 1 or distance & 1:
        raise LinkError(f"a jump of {distance:#x} bytes does not reach (relocation {kind})")
    return size, _bits(-1, *pieces), _bits(distance, *pieces)
