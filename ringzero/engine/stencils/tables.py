"""From the object file of all stencils to the tables that the stitcher reads.

A stencil that would call something, or refer to constants beside its code, is left out: the
interpreter does its instruction. What is left is packed into one block of bytes for the cache.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ringzero.engine.native.stitcher import holes, state
from ringzero.engine.stencils import shared_checks as stencil_windows
from ringzero.engine.stencils import text
from ringzero.engine.stencils.parts import joined
from ringzero.isa.instruction import BRANCH, JUMP, Instruction
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import binding
from ringzero.lang.objectfile import X86_64, ObjectFile, Relocation

# Relocations of the x86-64 psABI, table 4.9, and how the stitcher fills them in.
HOW = {
    1: state.LONG,  # R_X86_64_64
    2: state.RELATIVE,  # R_X86_64_PC32
    4: state.RELATIVE,  # R_X86_64_PLT32
    10: state.WORD,  # R_X86_64_32
    11: state.WORD,  # R_X86_64_32S
}
JMP = 0xE9  # with a 32-bit displacement
LIMIT = 512  # bytes: what is longer is not worth a copy
NUMBER = {name: number for number, name in enumerate(holes.SYMBOLS)}
CODE_ALIGN = 64  # of constants, the widest vector's


PatchValues = tuple[int, int, int, int]


@dataclass(frozen=True)
class Piece:
    """One stencil: its code, and (offset, symbol, addend, how) of each patch."""

    code: bytes
    patches: tuple[PatchValues, ...]


def make() -> bytes:
    """The tables for this host, compiled."""
    machine = binding.host_machine("small", "static")
    target = binding.host_target()
    found = pieces(binding.object_code(text.build(target), machine))
    others = pieces(binding.object_code(stencil_windows.build(target), machine))
    for name, piece in others.items():
        if name != holes.POOL and all(patch[1] != NUMBER[holes.POOL] for patch in piece.patches):
            found[name] = piece  # the constants are the other module's
    return pack(found)


def pieces(code: bytes) -> dict[str, Piece]:
    """The usable stencils of an object file by name, and its constants as `POOL`."""
    file = ObjectFile(code, X86_64)
    where = next(i for i, s in enumerate(file.sections) if s.name == text.SECTION)
    pool, starts = _constants(file)
    found = {holes.POOL: Piece(pool, ())}
    by_offset = sorted((r for r in file.relocations if r.section == where), key=lambda r: r.offset)
    for symbol in file.symbols:
        if symbol.section == where and symbol.size:
            end = symbol.value + symbol.size
            inside = [r for r in by_offset if symbol.value <= r.offset < end]
            patches = [_patch(r, symbol.value, starts) for r in inside]
            known = [patch for patch in patches if patch is not None]
            if len(known) == len(inside) and symbol.size <= LIMIT:
                content = file.sections[where].data[symbol.value : end]
                found[symbol.name] = _trimmed(content, known)
    return found


def _constants(file: ObjectFile) -> tuple[bytes, dict[int, int]]:
    """The constants that code refers to, and where each section of them begins."""
    pool, starts = bytearray(), {}
    for index, section in enumerate(file.sections):
        if section.name.startswith(".rodata.cst"):
            pool += bytes(-len(pool) % section.align)
            starts[index] = len(pool)
            pool += section.data
    return bytes(pool) + bytes(-len(pool) % CODE_ALIGN), starts


def _patch(one: Relocation, begin: int, starts: dict[int, int]) -> PatchValues | None:
    """What the stitcher does for a relocation; None if it cannot."""
    how, at = HOW.get(one.kind), one.offset - begin
    if how is not None and one.symbol.section in starts and how == state.RELATIVE:
        inside = starts[one.symbol.section] + one.symbol.value
        return at, NUMBER[holes.POOL], inside + one.addend, how
    number = NUMBER.get(one.symbol.name)
    return None if number is None or how is None else (at, number, one.addend, how)


def _trimmed(code: bytes, patches: list[PatchValues]) -> Piece:
    """Without a jump at its end to what stands behind it anyway."""
    if patches and patches[-1][:2] == (len(code) - 4, NUMBER["next"]) and code[-5] == JMP:
        return Piece(code[:-5], tuple(patches[:-1]))
    return Piece(code, tuple(patches))


def kind_of(one: Instruction) -> int:
    """An instruction's entry of `Stitcher.kinds`, if it has stencils."""
    if one.kind is BRANCH:
        kind = state.BRANCH
    elif one.kind is JUMP:
        kind = state.CALL if one.may_jump_static else state.INDIRECT
    else:
        kind = state.PLAIN
    for flag, holds in (
        (state.READS_RS1, text.reads(one, "rs1")),
        (state.READS_RS2, text.reads(one, "rs2")),
        (state.GIVES_RD, text.gives_rd(one)),
        (state.ACCESSES, text.accesses(one)),
        (state.STORES, text.accesses(one) and one.destination is None),
    ):
        kind |= flag if holds else 0
    return kind


def pack(found: dict[str, Piece]) -> bytes:
    """The tables, each aligned, behind a head that says how long they are."""
    first = [*holes.SPECIALS, holes.POOL]
    order = [*first, *sorted(set(found) - set(first))]
    code, stencils, patches = bytearray(), bytearray(), bytearray()
    for name in order:
        piece = found[name]
        stencils += struct.pack(
            "<4I", len(code), len(piece.code), len(patches) // 16, len(piece.patches)
        )
        code += piece.code + bytes(-len(piece.code) % 8)  # it is copied in words
        for offset, number, addend, how in piece.patches:
            patches += struct.pack("<IIiI", offset, number, addend, how)
    place = {name: index for index, name in enumerate(order)}
    ids = [0] * (holes.VARIANTS * len(INSTRUCTIONS))
    kinds = bytearray(len(INSTRUCTIONS))
    for index, one in enumerate(INSTRUCTIONS):
        names = (
            {v: text.name_of(one, v) for v in text.variants(one)} if text.compilable(one) else {}
        )
        if not names or any(name not in place for name in names.values()):
            continue
        kinds[index] = kind_of(one)
        for variant, name in names.items():
            ids[holes.VARIANTS * index + variant] = 1 + place[name]
    numbers = struct.pack(f"<{len(ids)}H", *ids)
    return joined([bytes(code), bytes(stencils), bytes(patches), numbers, bytes(kinds)])
