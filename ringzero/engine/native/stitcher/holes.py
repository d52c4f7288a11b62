"""The holes of stencils, by number, and the variants of a stencil, as bits.

The writer of stencils names a hole by an absolute symbol; the stitcher fills it in. Both take the
numbers from here.
"""

from __future__ import annotations

NUMBERS = (
    "rd", "rs1", "rs2", "rs3",  # registers, eight bytes each
    "rd_index", "rs1_index", "rs2_index", "rs3_index",
    "imm", "pc", "size", "done", "slot", "handler", "low", "room",
)  # fmt: skip
PLACES = ("next", "taken", "bail", "jump")  # symbols that are jumped to
POOL = "pool"  # constants, at the beginning of code memory
SYMBOLS = (*NUMBERS, *PLACES, POOL)

# What a variant knows beforehand, as bits: which operands are at hand, and where to leave a result.
FIRST_RS1, SECOND_RS1, FIRST_RS2, SECOND_RS2, TO_SECOND, NO_RD, FAR_TARGET = (
    1 << bit for bit in range(7)
)
OPENS, INSIDE = NO_RD, FAR_TARGET  # of accesses, which never jump (`stencil_windows`)
VARIANTS = 128
EXIT, BAIL, COUNT, STUB = (
    "to_slot",
    "to_interpreter",
    "count",
    "stub",
)  # stencils that are no instruction
SPECIALS = (EXIT, BAIL, COUNT, STUB)
