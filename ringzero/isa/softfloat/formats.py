"""The binary interchange formats of IEEE 754-2019 §3.4, and the numbers RISC-V gives to rounding
modes and exception flags (unprivileged ISA, "F" §20.2).

A `Format` is compile-time: an operation written for any format is compiled once per format.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

# Rounding modes, as in the rm field and in fcsr.frm.
RNE = 0  # to nearest, ties to even
RTZ = 1  # towards zero
RDN = 2  # down, towards minus infinity
RUP = 3  # up, towards plus infinity
RMM = 4  # to nearest, ties to the larger magnitude

# Exception flags, as in fcsr.fflags.
NX = 1  # inexact
UF = 2  # underflow
OF = 4  # overflow
DZ = 8  # division by zero
NV = 16  # invalid operation

LEADING = 62  # where an unpacked significand has its leading one: bit 63 is left for a carry


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: `exponent` and `fraction` are widths in bits."""

    name: str
    exponent: int
    fraction: int

    @cached_property
    def width(self) -> int:
        return 1 + self.exponent + self.fraction

    @cached_property
    def bias(self) -> int:
        return (1 << (self.exponent - 1)) - 1

    @cached_property
    def sign(self) -> int:
        """The sign bit in place."""
        return 1 << (self.width - 1)

    @cached_property
    def magnitude(self) -> int:
        """Everything but the sign."""
        return self.sign - 1

    @cached_property
    def mask(self) -> int:
        """All bits of the format."""
        return (1 << self.width) - 1

    @cached_property
    def hidden(self) -> int:
        """The leading one that normal numbers do not store, in its place above the fraction."""
        return 1 << self.fraction

    @cached_property
    def exponent_limit(self) -> int:
        """The exponent field of infinities and NaNs."""
        return (1 << self.exponent) - 1

    @cached_property
    def infinity(self) -> int:
        return self.exponent_limit << self.fraction

    @cached_property
    def quiet(self) -> int:
        """The fraction bit that makes a NaN a quiet one."""
        return 1 << (self.fraction - 1)

    @cached_property
    def nan(self) -> int:
        """The canonical NaN: positive, quiet, no payload."""
        return self.infinity | self.quiet

    @cached_property
    def extra(self) -> int:
        """How many bits an unpacked significand has below the format's last fraction bit."""
        return LEADING - self.fraction

    @cached_property
    def box(self) -> int:
        """The ones above a narrow value in a 64-bit register (NaN boxing, "D" §21.2)."""
        return ((1 << 64) - 1) ^ self.mask


HALF = Format("half", 5, 10)
SINGLE = Format("single", 8, 23)
DOUBLE = Format("double", 11, 52)
