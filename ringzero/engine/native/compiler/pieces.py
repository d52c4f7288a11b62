"""Pieces: the machine code that LLVM made of instructions that are not lowered.

A piece takes its operands from the core's memory, and holds the guest's registers that are
arguments of its calling convention; others are spilled before it and reloaded after it.
"""

from __future__ import annotations

from ringzero.engine.native.compiler import codes, holes
from ringzero.engine.native.compiler.exits import fix, reload_used, spill_host
from ringzero.engine.native.compiler.groups import end_group
from ringzero.engine.native.compiler.operands import X
from ringzero.engine.native.compiler.state import FROM_PIECE, IN_CORE, USES_SHIFT, Compiler
from ringzero.engine.native.compiler.x86_64 import (
    MOV,
    MOV_TO,
    RBP,
    RBX,
    WIDE,
    with_core,
)
from ringzero.lang import native, peek, poke, typed_range, u32, u64

SYMBOL = {name: number for number, name in enumerate(holes.SYMBOLS)}
RD, RS1, RS2, RS3, IMM, SIZE = (SYMBOL[name] for name in ("rd", "rs1", "rs2", "rs3", "imm", "size"))
RD_INDEX, RS1_INDEX, RS2_INDEX, RS3_INDEX = (
    SYMBOL[name] for name in ("rd_index", "rs1_index", "rs2_index", "rs3_index")
)
NEXT, SIDE_EXIT, POOL = SYMBOL["next"], SYMBOL["side_exit"], SYMBOL["pool"]


@native
def emit_piece(s: Compiler, number: u64, kind: u64) -> None:
    """The piece of an instruction, with its registers where it expects them."""
    if kind & codes.READS_RS1 != 0:
        spill(s, s.rs1)
    if kind & codes.READS_RS2 != 0:
        spill(s, s.rs2)
    uses = u64(s.pieces[number].uses)
    if uses & codes.USES_RBX != 0:
        spill_host(s, u64(RBX))
    if uses & codes.USES_RBP != 0:
        spill_host(s, u64(RBP))
    copy_piece(s, number)
    reload_used(s, uses)
    end_group(s)
    s.recent = 0
    if kind & codes.GIVES_RD != 0 and s.rd < 32:
        at = s.places[s.rd]
        if at & IN_CORE == 0:
            with_core(s, u64(MOV), at, X + s.rd * 8, u64(WIDE))


@native
def spill(s: Compiler, register: u64) -> None:
    """A guest register into the core's memory."""
    at = s.places[register]
    if register != 0 and at & IN_CORE == 0:
        with_core(s, u64(MOV_TO), at, X + register * 8, u64(WIDE))


@native
def set_values(s: Compiler) -> None:
    """What the holes of an instruction's piece are filled with."""
    s.values[RD_INDEX] = s.rd
    s.values[RS1_INDEX] = s.rs1
    s.values[RS2_INDEX] = s.rs2
    s.values[RS3_INDEX] = s.rs3
    s.values[RD] = s.rd * 8
    s.values[RS1] = s.rs1 * 8
    s.values[RS2] = s.rs2 * 8
    s.values[RS3] = s.rs3 * 8
    s.values[IMM] = s.imm
    s.values[SIZE] = s.bytes


@native
def copy_piece(s: Compiler, number: u64) -> None:
    """Copy a piece, and fill its holes."""
    set_values(s)
    one = s.pieces[number]
    source, at = u64(one.code), s.used
    for i in typed_range((u64(one.size) + 7) // 8):
        poke(u64, s.write, at + i * 8, peek(u64, s.code, source + i * 8))
    s.used = at + u64(one.size)
    first = u64(one.first)
    for i in typed_range(first, first + u64(one.count)):
        hole = s.holes[i]
        where = at + u64(hole.offset)
        if hole.how == holes.RELATIVE:
            connect(s, where, hole.symbol, hole.addend, u64(one.uses))
        elif hole.how == holes.LONG:
            addend = (u64(hole.addend) ^ 0x8000_0000) - 0x8000_0000
            poke(u64, s.write, where, s.values[hole.symbol] + addend)
        else:
            poke(u32, s.write, where, u32(s.values[hole.symbol]) + hole.addend)


@native(inline=True)
def connect(s: Compiler, where: u64, symbol: u32, addend: u32, uses: u64) -> None:
    """A jump of a piece: behind it, or to the interpreter; or a constant at the pool."""
    if symbol == NEXT:
        poke(u32, s.write, where, u32(s.used) + addend - u32(where))
    elif symbol == POOL:
        poke(u32, s.write, where, u32(s.pool) + addend - u32(where))
    else:
        poke(u32, s.write, where, u32(0))
        fix(s, where, s.slot, s.done, FROM_PIECE | (uses << USES_SHIFT))
