"""What the stitcher works with: the stencils of this host, code memory, and its scratch space.

`Shared.stitcher` points at one `Stitcher`, or is null where the tier is off. Python fills it in
(`stencils.py`); native code (`stitcher.py`) uses it.
"""

from __future__ import annotations

from ringzero.engine.native.stitcher import holes
from ringzero.lang import Struct, ptr, u8, u16, u32, u64

# How a place in a stencil is patched.
WORD, LONG, RELATIVE = range(3)  # 32 bits, 64 bits, 32 bits from where it stands

# What an instruction is to the stitcher: the low bits of `Stitcher.kinds`, and flags above.
INTERPRETED, PLAIN, BRANCH, CALL, INDIRECT = range(5)  # in this order: leaders.py compares
# CALL: to pc + imm; INDIRECT: to a register
KIND = 7
READS_RS1, READS_RS2, GIVES_RD, ACCESSES, STORES = 8, 16, 32, 64, 128
ARENAS = 8  # of code memory, used in turns
SMALLEST = 64 << 10  # bytes of an arena
VALUES = len(holes.SYMBOLS)
ENTRIES = 4096  # of each list in scratch space: more than a page has slots


class Stencil(Struct):
    """One piece of code, and its patches."""

    code: u32  # where in Stitcher.code
    size: u32
    first: u32  # of its patches
    count: u32


class Patch(Struct):
    """A place in a stencil that depends on operands or on where things are."""

    offset: u32
    symbol: u32  # number in holes.SYMBOLS
    addend: u32  # signed
    how: u32


class Fix(Struct):
    """A jump whose target is known when the trace is complete."""

    at: u32  # in code memory
    addend: u32
    slot: u32
    done: u32  # instructions to be counted before the interpreter does the slot's
    leaves: u32  # 1: to the interpreter; 0: to the slot's block


class Stitcher(Struct):
    """The tier's tables and state; one per machine."""

    write: ptr[u8]  # code memory, where it can be written
    run: u64  # the same memory, where it is executed
    size: u64
    base: u64  # where the arenas begin, or 0 while nothing is laid down
    share: u64  # bytes of each
    arenas: u64
    arena: u64  # the one in use
    used: u64  # where in code memory the next code goes
    end: u64  # of the arena in use
    stub: u64  # where the way to any address stands in it
    code: ptr[u8]
    stencils: ptr[Stencil]
    patches: ptr[Patch]
    ids: ptr[u16]  # by VARIANTS * instruction + variant: 1 + the stencil, or 0
    kinds: ptr[u8]  # by instruction
    threshold: u64  # how often a block is entered before it is stitched
    ahead: u64  # whether code is stitched that was not executed yet
    values: u64[VALUES]  # by symbol, for the next patches
    slot: u64  # of the instruction that is placed
    done: u64  # instructions since the budget was last counted down
    first: u64  # register whose value is at hand in the first place, or NO_REGISTER
    second: u64
    newer: u64  # which of them came later: 0 or 1
    window: u64  # register around which a page's distance is known, or NO_REGISTER
    window_low: u64  # the first offset that it holds for, + 2048
    window_end: u64  # behind the last
    window_stores: u64  # whether for stores too
    windows: u64  # how many were opened
    labels: ptr[u32]  # by slot: 1 + where its block begins, in this trace
    begun: ptr[u16]  # slots with a label
    begun_count: u64
    pending: ptr[u16]  # slots where blocks are to begin
    pending_count: u64
    fixes: ptr[Fix]
    fix_count: u64
    traces: u64
    instructions: u64
    begun_arenas: u64  # how often one was begun
    emptied: u64  # the stamp of what was in the next arena, or 0 while it is in use
