"""What the compiler works with: its tables, code memory, and its scratch space.

`Shared.compiler` points at one `Compiler`, or is null where the tier is off. Python fills it in
(`engine/compiler/tier.py`); native code uses it.
"""

from __future__ import annotations

from ringzero.engine.native.compiler.holes import SYMBOLS
from ringzero.lang import Array, Struct, field, ptr, u8, u16, u32, u64

ARENAS = 8  # of code memory, used in turns
SMALLEST = 64 << 10  # bytes of an arena
REGISTERS = 32
PLACES = REGISTERS + 1  # of x registers, and of what is written to x0
VALUES = len(SYMBOLS)
ENTRIES = 4096  # of each list in scratch space: more than a page has slots

IN_CORE = 1 << 32  # in Compiler.places, on the offset of a word
HOSTS = (13, 7, 6, 8, 9, 11, 15, 3, 5)  # of the host's registers; pieces do not hold the last two
FIRST_LOOK = 16  # samples of registers before the first comparison

# How a jump that waits for its target leaves (`Fix.way`).
TO_BLOCK, TO_INTERPRETER, AT_EVENT, FROM_PIECE = range(4)
USES_SHIFT, WAYS = 2, 3


class Operation(Struct):
    """One step of a lowered instruction."""

    code: u8
    to: u8
    a: u8
    b: u8
    c: u8
    d: u8
    how: u8
    gap: u8
    number: u64


class Recipe(Struct):
    """How an instruction is compiled: its operations, or its piece, or neither."""

    first: u16  # of its operations; with a piece, the piece that rounds as frm says
    count: u16
    piece: u16  # 1 + which piece, or 0
    flags: u16  # see `codes`


class Piece(Struct):
    """Machine code that LLVM made of an instruction, and its holes."""

    code: u32  # where in Compiler.code
    size: u32
    first: u32  # of its holes
    count: u32
    uses: u32  # registers of the host that it does not hold (`codes`)


class Hole(Struct):
    """A place in a piece that depends on operands or on where things are."""

    offset: u32
    symbol: u32  # number in holes.SYMBOLS
    addend: u32  # signed
    how: u32


class Fix(Struct):
    """A jump whose target is known when the trace is complete."""

    at: u32  # in code memory, of 32 bits relative to their end
    slot: u32
    done: u32  # instructions to be counted on the way
    way: u32  # with FROM_PIECE, what the piece uses above


class Group(Struct):
    """Accesses around one register that share a look at the TLB (`groups`)."""

    base: u64  # the register, or 0 for none
    members: u64
    low: u64  # the first offset
    high: u64  # the last
    end: u64  # an offset on the same page as the last, aligned like the widest access
    align: u64  # bytes of that
    anchor: u64  # its offset
    stores: u64  # whether for stores too


class Compiler(Struct):
    """The tier's tables and state; one per machine."""

    write: ptr[u8]  # code memory, where it can be written
    run: u64  # the same memory, where it is executed
    size: u64
    low: u64  # where the half in use begins
    half: u64  # bytes of each half
    base: u64  # where the arenas begin, or 0 while nothing is laid down
    share: u64  # bytes of each
    arenas: u64
    arena: u64  # the one in use
    used: u64  # where in code memory the next code goes
    end: u64  # of the arena in use
    pool: u64  # where constants of pieces are
    enter: u64  # where entries go, to load registers
    leave_slot: u64  # where they are stored, to go on at a slot
    leave_handler: u64  # the same, to a handler by its number
    kinds: ptr[u8]  # by instruction: see `codes`
    recipes: ptr[Recipe]  # by instruction
    operations: ptr[Operation]
    code: ptr[u8]
    pieces: ptr[Piece]
    holes: ptr[Hole]
    threshold: u64  # how often a block is entered before it is compiled
    ahead: u64  # whether code is compiled that was not executed yet
    uses: Array[u64] = field(REGISTERS)  # of x registers, by samples (`registers`)
    samples: u64
    next_look: u64  # samples until they are looked at
    left: u64  # the epoch in which the half that is not in use was retired
    retired: u64  # the epoch in which code was retired that a new generation follows, or 0
    generations: u64  # how often one followed another
    mapped: u64  # whether a hart's addresses were ever others than RAM's
    direct: u64  # whether loads reach RAM at the addresses that they name
    changes: u64  # how often other registers were held
    places: Array[u64] = field(PLACES)  # by x register: the host's, or CORE | offset
    values: Array[u64] = field(VALUES)  # by symbol, for the next piece
    rd: u64  # of the instruction that is compiled
    rs1: u64
    rs2: u64
    rs3: u64
    imm: u64
    bytes: u64  # of the instruction: 2 or 4
    slot: u64
    decoded: u64  # whose page is compiled
    done: u64  # instructions since the budget was last counted down, this one not
    floats: u64  # whether this block has looked at mstatus.FS
    dirty: u64  # and made it Dirty
    recent: u64  # x register, kept in memory, whose value the first temporary has too, or 0
    stored: u64  # whether the present operation ended with a store of the first temporary
    group: Group  # the one whose page's distance is known
    next_group: Group  # the one that the next access begins
    ram_base: u64
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
    emptied: u64  # the epoch in which the next arena was emptied, or 0 while it is in use
