"""Machine code out of stencils: copied into code memory, and patched there.

Jumps whose target is not known yet are remembered as fixes, which `stitcher.resolve` fills in.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import SLOT_BYTES
from ringzero.engine.native.code.decoded_pages import JUMP_TO
from ringzero.engine.native.stitcher import holes
from ringzero.engine.native.stitcher.state import LONG, RELATIVE, Stitcher
from ringzero.lang import native, peek, poke, typed_range, u8, u32, u64

SYMBOL = {name: number for number, name in enumerate(holes.SYMBOLS)}
RD, RS1, RS2, RS3 = (SYMBOL[name] for name in ("rd", "rs1", "rs2", "rs3"))
RD_INDEX, RS1_INDEX = SYMBOL["rd_index"], SYMBOL["rs1_index"]
RS2_INDEX, RS3_INDEX = SYMBOL["rs2_index"], SYMBOL["rs3_index"]
IMM, PC, SIZE, DONE = (SYMBOL[name] for name in ("imm", "pc", "size", "done"))
SLOT, HANDLER = SYMBOL["slot"], SYMBOL["handler"]
NEXT, TAKEN, BAIL, JUMP = (SYMBOL[name] for name in ("next", "taken", "bail", "jump"))
TO_SLOT, TO_INTERPRETER, COUNT_DOWN, STUB = range(len(holes.SPECIALS))
CONSTANTS = len(holes.SPECIALS)  # no code: what code refers to
POOL = SYMBOL["pool"]
JMP = 0xE9


@native
def place(s: Stitcher, number: u64) -> None:
    """Copy a stencil, and patch it with `values`."""
    stencil = s.stencils[number]
    source, at = u64(stencil.code), s.used
    words = (u64(stencil.size) + 7) // 8
    for i in typed_range(words):
        poke(u64, s.write, at + i * 8, peek(u64, s.code, source + i * 8))
    s.used = at + u64(stencil.size)
    first = u64(stencil.first)
    for i in typed_range(first, first + u64(stencil.count)):
        patch = s.patches[i]
        where = at + u64(patch.offset)
        if patch.how == RELATIVE:
            connect(s, where, patch.symbol, patch.addend)
        elif patch.how == LONG:
            poke(u64, s.write, where, s.values[patch.symbol] + extended(patch.addend))
        else:
            poke(u32, s.write, where, u32(s.values[patch.symbol]) + patch.addend)


@native(inline=True)
def extended(addend: u32) -> u64:
    """A signed addend in 64 bits."""
    return (u64(addend) ^ 0x8000_0000) - 0x8000_0000


@native(inline=True)
def connect(s: Stitcher, where: u64, symbol: u32, addend: u32) -> None:
    """A jump inside code memory: at once where its target is known, else as a fix."""
    if symbol == NEXT:
        poke(u32, s.write, where, u32(s.used) + addend - u32(where))
    elif symbol == JUMP:
        poke(u32, s.write, where, u32(s.stub) + addend - u32(where))
    elif symbol == POOL:
        poke(u32, s.write, where, addend - u32(where))
    elif symbol == BAIL:
        fix(s, where, addend, s.slot, s.done, 1)
    else:
        fix(s, where, addend, s.slot + (s.values[IMM] >> 1), 0, 0)


@native
def fix(s: Stitcher, where: u64, addend: u32, slot: u64, done: u64, leaves: u32) -> None:
    """Remember a jump that waits for its target."""
    one = s.fixes[s.fix_count]
    one.at = u32(where)
    one.addend = addend
    one.slot = u32(slot & 0xFFF)
    one.done = u32(done)
    one.leaves = leaves
    s.fix_count += 1


@native
def jump_to(s: Stitcher, slot: u64) -> None:
    """A jump to another block."""
    poke(u8, s.write, s.used, u8(JMP))
    fix(s, s.used + 1, u32(0) - 4, slot, u64(0), 0)
    s.used += 5


@native
def leave(s: Stitcher, slot: u64, done: u64) -> None:
    """Go on at a slot, whatever stands there."""
    s.values[SLOT] = slot * SLOT_BYTES
    s.values[DONE] = done
    place(s, TO_SLOT)


@native
def count_down(s: Stitcher, done: u64) -> None:
    """A block ends without a branch."""
    if done != 0:
        s.values[DONE] = done
        place(s, COUNT_DOWN)


@native
def begin_code(s: Stitcher) -> None:
    """Code memory is new: lay down constants, and the stub that looks addresses up."""
    s.used = 0
    place(s, CONSTANTS)
    s.stub = s.used
    s.values[HANDLER] = JUMP_TO * 8
    place(s, STUB)
    s.base = (s.used + 63) & ~63
    s.share = ((s.size - s.base) // s.arenas) & ~63
    s.arena = s.arenas - 1  # whose end is reached: the first comes next
    s.end = 0
