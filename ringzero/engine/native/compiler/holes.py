"""The holes of pieces, by number: the writer of pieces names them, the compiler fills them in."""

from __future__ import annotations

NUMBERS = (
    "rd", "rs1", "rs2", "rs3",  # registers, eight bytes each
    "rd_index", "rs1_index", "rs2_index", "rs3_index",
    "imm", "size",
)  # fmt: skip
PLACES = ("next", "side_exit")  # symbols that are jumped to
POOL = "pool"  # constants, at the beginning of code memory
SYMBOLS = (*NUMBERS, *PLACES, POOL)

# How a hole is filled: 32 bits, 64 bits, 32 bits from where it stands.
WORD, LONG, RELATIVE = range(3)
