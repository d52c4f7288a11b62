"""The compiler's tables: recipes, operations, and pieces with their holes, in one block of bytes.

An instruction without operations gets the piece that LLVM made of it, if that calls nothing; the
interpreter does what is left.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from ringzero.engine.compiler import lowering, text
from ringzero.engine.compiler.packing import joined
from ringzero.engine.compiler.reading import definitions
from ringzero.engine.compiler.values import NotLowered
from ringzero.engine.native.compiler import codes, holes
from ringzero.isa.instruction import BRANCH, JUMP, PLAIN, Instruction
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import binding
from ringzero.lang.compiler import Program
from ringzero.lang.objectfile import X86_64, ObjectFile, Relocation

# Relocations of the x86-64 psABI, table 4.9, and how the compiler fills them in.
HOW = {
    1: holes.LONG,  # R_X86_64_64
    2: holes.RELATIVE,  # R_X86_64_PC32
    4: holes.RELATIVE,  # R_X86_64_PLT32
    10: holes.WORD,  # R_X86_64_32
    11: holes.WORD,  # R_X86_64_32S
}
JMP = 0xE9  # with a 32-bit displacement
LIMIT = 512  # bytes: what is longer is not worth a copy
NUMBER = {name: number for number, name in enumerate(holes.SYMBOLS)}
CODE_ALIGN = 64  # of constants, the widest vector's

HoleValues = tuple[int, int, int, int]


@dataclass(frozen=True)
class Piece:
    """One piece: its code, and (offset, symbol, addend, how) of each hole."""

    code: bytes
    holes: tuple[HoleValues, ...]
    uses: int = 0  # registers that it does not hold


def operations() -> dict[str, list[lowering.Operation]]:
    """The operations of each instruction that can be lowered on this host."""
    program = Program(binding.host_target(), {**text.BIND, **lowering.BIND})
    chosen = [one for one in INSTRUCTIONS if one.compiles]
    for one in chosen:
        program.add_roots([one.function], {one.function: f"l.{one.name}"}, flagged=True)
    found = definitions(str(binding.optimised(program.text(), binding.host_machine())))
    features = binding.llvm().get_host_cpu_features()
    made = {}
    for one in chosen:
        try:
            made[one.name] = lowering.lowered(one, found[f"l.{one.name}"], features)
        except NotLowered:
            continue
    return made


def make() -> bytes:
    """The tables for this host."""
    steps = operations()
    rest = [
        one for one in INSTRUCTIONS if one.compiles and one.kind is PLAIN and one.name not in steps
    ]
    machine = binding.host_machine("small", "static")
    module = binding.optimised(text.build(binding.host_target(), rest), machine)
    used = registers_used(machine.emit_assembly(module))
    return pack(steps, pieces(bytes(machine.emit_object(module)), used))


def registers_used(assembly: str) -> dict[str, int]:
    """Which of the registers that pieces do not hold each function uses, as bits."""
    used: dict[str, int] = {}
    name = ""
    for line in assembly.splitlines():
        label = re.match(r'"?([^\s":.][^":]*)"?:', line)
        if label:
            name = label[1]
        for bit, register in ((codes.USES_RBX, "[re]?b[xlh]"), (codes.USES_RBP, "[re]?bpl?")):
            if name and re.search(rf"%{register}\b", line):
                used[name] = used.get(name, 0) | bit
    return used


def pieces(code: bytes, used: dict[str, int]) -> dict[str, Piece]:
    """The usable pieces of an object file by name, and its constants as `POOL`."""
    file = ObjectFile(code, X86_64)
    where = next(i for i, s in enumerate(file.sections) if s.name == text.SECTION)
    pool, starts = _constants(file)
    found = {holes.POOL: Piece(pool, ())}
    by_offset = sorted((r for r in file.relocations if r.section == where), key=lambda r: r.offset)
    for symbol in file.symbols:
        if symbol.section == where and symbol.size:
            end = symbol.value + symbol.size
            inside = [r for r in by_offset if symbol.value <= r.offset < end]
            places = [_hole(r, symbol.value, starts) for r in inside]
            known = [place for place in places if place is not None]
            if len(known) == len(inside) and symbol.size <= LIMIT:
                content = file.sections[where].data[symbol.value : end]
                found[symbol.name] = _trimmed(content, known, used.get(symbol.name, 0))
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


def _hole(one: Relocation, begin: int, starts: dict[int, int]) -> HoleValues | None:
    """What the compiler does for a relocation; None if it cannot."""
    how, at = HOW.get(one.kind), one.offset - begin
    if how is not None and one.symbol.section in starts and how == holes.RELATIVE:
        inside = starts[one.symbol.section] + one.symbol.value
        return at, NUMBER[holes.POOL], inside + one.addend, how
    number = NUMBER.get(one.symbol.name)
    return None if number is None or how is None else (at, number, one.addend, how)


def _trimmed(code: bytes, places: list[HoleValues], uses: int) -> Piece:
    """Without a jump at its end to what stands behind it anyway."""
    if places and places[-1][:2] == (len(code) - 4, NUMBER["next"]) and code[-5] == JMP:
        return Piece(code[:-5], tuple(places[:-1]), uses)
    return Piece(code, tuple(places), uses)


def control_of(one: Instruction) -> int:
    """What an instruction is to the flow of control."""
    if one.kind is BRANCH:
        return codes.BRANCH
    if one.kind is JUMP:
        return codes.CALL if one.may_jump_static else codes.INDIRECT
    return codes.PLAIN


def flags_of(one: Instruction, piece: bool) -> int:
    """An instruction's `Recipe.flags`."""
    held = (
        (codes.FLOATS, one.floats),
        (codes.DIRTIES, one.dirties_floats),
        (codes.PIECE, piece),
        (codes.READS_RS1, "rs1" in one.parameters),
        (codes.READS_RS2, "rs2" in one.parameters),
        (codes.GIVES_RD, one.destination == "rd"),
    )
    return sum(flag for flag, holds in held if holds)


def pack(steps: dict[str, list[lowering.Operation]], found: dict[str, Piece]) -> bytes:
    """The tables, each aligned, behind a head that says how long they are."""
    order = [holes.POOL, *sorted(set(found) - {holes.POOL})]
    code, heads, places = bytearray(), bytearray(), bytearray()
    for name in order:
        one = found[name]
        size, first, count = len(one.code), len(places) // 16, len(one.holes)
        heads += struct.pack("<5I", len(code), size, first, count, one.uses)
        code += one.code + bytes(-len(one.code) % 8)  # it is copied in words
        for offset, number, addend, how in one.holes:
            places += struct.pack("<IIiI", offset, number, addend, how)
    place = {name: index for index, name in enumerate(order)}
    kinds, recipes, made = bytearray(len(INSTRUCTIONS)), bytearray(), bytearray()
    for index, instruction in enumerate(INSTRUCTIONS):
        own = steps.get(instruction.name)
        piece = place.get(instruction.name) if own is None else None
        first = len(made) // 16
        for o in own or []:
            made += struct.pack("<8BQ", o.code, o.to, o.a, o.b, o.c, o.d, o.how, 0,
                                o.number & 0xFFFF_FFFF_FFFF_FFFF)  # fmt: skip
        if piece is not None:
            first = place.get(instruction.name + text.ROUNDS_DYNAMICALLY, piece)
        known = own is not None or piece is not None
        kinds[index] = control_of(instruction) if known else codes.INTERPRETED
        flags = flags_of(instruction, piece is not None)
        recipes += struct.pack("<4H", first, len(own or []), 1 + piece if piece else 0, flags)
    return joined(
        [bytes(kinds), bytes(recipes), bytes(made), bytes(code), bytes(heads), bytes(places)]
    )
