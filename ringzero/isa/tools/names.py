"""How operands are written: ABI register names, rounding modes, fence sets, CSRs.

The names are those of the psABI and of the GNU tools; assembler and disassembler share them.
"""

from __future__ import annotations

from functools import cache

X_NAMES = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
    *(f"a{i}" for i in range(8)), *(f"s{i}" for i in range(2, 12)), *(f"t{i}" for i in range(3, 7)),
)  # fmt: skip
F_NAMES = (
    *(f"ft{i}" for i in range(8)), "fs0", "fs1", *(f"fa{i}" for i in range(8)),
    *(f"fs{i}" for i in range(2, 12)), *(f"ft{i}" for i in range(8, 12)),
)  # fmt: skip

X_NUMBERS = {
    **{name: i for i, name in enumerate(X_NAMES)},
    **{f"x{i}": i for i in range(32)},
    "fp": 8,
}
F_NUMBERS = {**{name: i for i, name in enumerate(F_NAMES)}, **{f"f{i}": i for i in range(32)}}

ROUNDING_MODES = {"rne": 0, "rtz": 1, "rdn": 2, "rup": 3, "rmm": 4, "dyn": 7}
ROUNDING_NAMES = {number: name for name, number in ROUNDING_MODES.items()}
DYNAMIC = 7

# Conversions that never round: rm is written as rne, which is what other assemblers write
EXACT = frozenset({"fcvt.d.w", "fcvt.d.wu", "fcvt.d.s", "fcvt.d.h", "fcvt.s.h"})


def fence_set(bits: int) -> str:
    """The accesses that a fence orders, as in "rw"; "unknown" if none."""
    chosen = "".join(letter for i, letter in enumerate("iorw") if bits & (8 >> i))
    return chosen or "unknown"


def fence_bits(text: str) -> int | None:
    """The inverse of `fence_set`; None if the text is no such set."""
    bits = 0
    for letter in text:
        if letter not in "iorw":
            return None
        bits |= 8 >> "iorw".index(letter)
    return bits if fence_set(bits) == text else None


@cache
def csr_numbers() -> dict[str, int]:
    """CSR numbers by name; read late, so that assembling needs the CSRs only where it names one."""
    from ringzero.isa.csrs.registry import NUMBERS

    return dict(NUMBERS)


@cache
def csr_names() -> dict[int, str]:
    """CSR names by number."""
    return {number: name for name, number in csr_numbers().items()}
