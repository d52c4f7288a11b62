"""An oracle for IEEE 754: exact rational arithmetic, and one rounding by the definition of §4.3.

It shares no code with `softfloat`: numbers are fractions, and rounding compares with neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

NX, UF, OF, DZ, NV = 1, 2, 4, 8, 16
RNE, RTZ, RDN, RUP, RMM = range(5)


@dataclass(frozen=True)
class Datum:
    """A decoded operand: `kind` is "number", "infinity", "quiet" or "signaling"."""

    kind: str
    negative: bool
    value: Fraction = Fraction(0)

    @property
    def nan(self) -> bool:
        return self.kind in ("quiet", "signaling")


@dataclass(frozen=True)
class Binary:
    """A format by its parameters of IEEE 754-2019 table 3.5: precision p and emax."""

    width: int
    p: int
    emax: int

    @property
    def emin(self) -> int:
        return 1 - self.emax

    @property
    def nan(self) -> int:
        return ((2 * self.emax + 1) << (self.p - 1)) | (1 << (self.p - 2))

    def infinity(self, negative: bool) -> int:
        return (int(negative) << (self.width - 1)) | ((2 * self.emax + 1) << (self.p - 1))

    def zero(self, negative: bool) -> int:
        return int(negative) << (self.width - 1)

    def decode(self, bits: int) -> Datum:
        negative = bool(bits >> (self.width - 1))
        field, fraction = divmod(bits & ((1 << (self.width - 1)) - 1), 1 << (self.p - 1))
        if field == 2 * self.emax + 1:
            if fraction == 0:
                return Datum("infinity", negative)
            return Datum("quiet" if fraction >> (self.p - 2) else "signaling", negative)
        significand = fraction + ((1 << (self.p - 1)) if field else 0)
        scale = max(field - self.emax, self.emin) - (self.p - 1)
        value = significand * Fraction(2) ** scale
        return Datum("number", negative, -value if negative else value)

    def encode(self, value: Fraction, negative: bool) -> int:
        """The bits of a value that this format has."""
        magnitude = abs(value)
        if magnitude < Fraction(2) ** self.emin:
            field, digits = 0, magnitude / Fraction(2) ** (self.emin - self.p + 1)
        else:
            e = exponent_of(magnitude)
            field, digits = e + self.emax, magnitude / Fraction(2) ** (e - self.p + 1)
            digits -= 1 << (self.p - 1)
        assert digits.denominator == 1
        return (int(negative) << (self.width - 1)) | (field << (self.p - 1)) | int(digits)

    def rounded(self, value: Fraction, mode: int) -> tuple[int, int]:
        """Bits and flags of a non-zero exact value."""
        negative = value < 0
        unbounded = to_multiple(value, self._quantum(exponent_of(abs(value))), mode)
        limit = Fraction(2) ** (self.emax + 1)
        if abs(unbounded) >= limit:
            inward = mode == RTZ or (mode == RDN and not negative) or (mode == RUP and negative)
            largest = limit - Fraction(2) ** (self.emax - self.p + 1)
            bits = self.encode(largest, negative) if inward else self.infinity(negative)
            return bits, OF | NX
        e = max(exponent_of(abs(value)), self.emin)
        result = to_multiple(value, self._quantum(e), mode)
        flags = 0 if result == value else NX
        if flags and 0 < abs(unbounded) < Fraction(2) ** self.emin:
            flags |= UF
        return self.encode(result, negative), flags

    def _quantum(self, e: int) -> Fraction:
        return Fraction(2) ** (e - self.p + 1)


BINARY = {16: Binary(16, 11, 15), 32: Binary(32, 24, 127), 64: Binary(64, 53, 1023)}


def exponent_of(value: Fraction) -> int:
    """The e with 2**e <= value < 2**(e + 1)."""
    e = value.numerator.bit_length() - value.denominator.bit_length()
    return e if Fraction(2) ** e <= value else e - 1


def to_multiple(value: Fraction, quantum: Fraction, mode: int) -> Fraction:
    """`value` rounded to a multiple of `quantum`."""
    scaled = value / quantum
    below = scaled.numerator // scaled.denominator
    rest = scaled - below
    if rest == 0:
        return value
    if mode == RDN:
        up = False
    elif mode == RUP:
        up = True
    elif mode == RTZ:
        up = value < 0
    elif rest == Fraction(1, 2):
        up = below % 2 == 1 if mode == RNE else value > 0
    else:
        up = rest > Fraction(1, 2)
    return (below + int(up)) * quantum


def sum_of_zeros(fmt: Binary, mode: int, *negatives: bool) -> int:
    """The zero that addends sum to: their common sign, else + (- rounding down) (§6.3)."""
    if len(set(negatives)) == 1:
        return fmt.zero(negatives[0])
    return fmt.zero(mode == RDN)


def _nan(fmt: Binary, *data: Datum) -> tuple[int, int]:
    return fmt.nan, NV if any(d.kind == "signaling" for d in data) else 0


def mul_add(fmt: Binary, a: int, b: int, c: int, mode: int) -> tuple[int, int]:
    x, y, z = fmt.decode(a), fmt.decode(b), fmt.decode(c)
    kinds = {x.kind, y.kind}
    undefined = "infinity" in kinds and any(d.kind == "number" and d.value == 0 for d in (x, y))
    if undefined:
        return fmt.nan, NV
    if x.nan or y.nan or z.nan:
        return _nan(fmt, x, y, z)
    negative = x.negative != y.negative
    if "infinity" in kinds:
        if z.kind == "infinity" and z.negative != negative:
            return fmt.nan, NV
        return fmt.infinity(negative), 0
    if z.kind == "infinity":
        return fmt.infinity(z.negative), 0
    exact = x.value * y.value + z.value
    if exact == 0:
        return sum_of_zeros(fmt, mode, negative, z.negative), 0
    return fmt.rounded(exact, mode)


def add(fmt: Binary, a: int, b: int, mode: int) -> tuple[int, int]:
    x, y = fmt.decode(a), fmt.decode(b)
    if x.nan or y.nan:
        return _nan(fmt, x, y)
    if "infinity" in (x.kind, y.kind):
        signs = {d.negative for d in (x, y) if d.kind == "infinity"}
        return (fmt.nan, NV) if len(signs) == 2 else (fmt.infinity(signs.pop()), 0)
    if x.value + y.value == 0:
        return sum_of_zeros(fmt, mode, x.negative, y.negative), 0
    return fmt.rounded(x.value + y.value, mode)


def sub(fmt: Binary, a: int, b: int, mode: int) -> tuple[int, int]:
    return add(fmt, a, b ^ fmt.zero(True), mode)


def mul(fmt: Binary, a: int, b: int, mode: int) -> tuple[int, int]:
    x, y = fmt.decode(a), fmt.decode(b)
    if x.nan or y.nan:
        return _nan(fmt, x, y)
    negative = x.negative != y.negative
    if "infinity" in (x.kind, y.kind):
        zero = any(d.kind == "number" and d.value == 0 for d in (x, y))
        return (fmt.nan, NV) if zero else (fmt.infinity(negative), 0)
    if x.value * y.value == 0:
        return fmt.zero(negative), 0
    return fmt.rounded(x.value * y.value, mode)


def div(fmt: Binary, a: int, b: int, mode: int) -> tuple[int, int]:
    x, y = fmt.decode(a), fmt.decode(b)
    if x.nan or y.nan:
        return _nan(fmt, x, y)
    negative = x.negative != y.negative
    if x.kind == "infinity":
        return (fmt.nan, NV) if y.kind == "infinity" else (fmt.infinity(negative), 0)
    if y.kind == "infinity":
        return fmt.zero(negative), 0
    if y.value == 0:
        return (fmt.nan, NV) if x.value == 0 else (fmt.infinity(negative), DZ)
    if x.value == 0:
        return fmt.zero(negative), 0
    return fmt.rounded(x.value / y.value, mode)


def sqrt(fmt: Binary, a: int, mode: int) -> tuple[int, int]:
    x = fmt.decode(a)
    if x.nan:
        return _nan(fmt, x)
    if x.kind == "number" and x.value == 0:
        return a, 0
    if x.negative:
        return fmt.nan, NV
    if x.kind == "infinity":
        return a, 0
    # 80 more bits than any format has, then half a unit where the root goes on.
    scale = 80 + 2 * fmt.p + abs(exponent_of(x.value))
    scaled = x.value * 4**scale
    root = isqrt(scaled.numerator // scaled.denominator)
    exact = root * root == scaled
    return fmt.rounded(Fraction(2 * root + int(not exact), 2 << scale), mode)


def convert_format(source: Binary, target: Binary, a: int, mode: int) -> tuple[int, int]:
    x = source.decode(a)
    if x.nan:
        return _nan(target, x)
    if x.kind == "infinity":
        return target.infinity(x.negative), 0
    if x.value == 0:
        return target.zero(x.negative), 0
    return target.rounded(x.value, mode)


def from_integer(fmt: Binary, value: int, mode: int) -> tuple[int, int]:
    return fmt.rounded(Fraction(value), mode) if value else (0, 0)


def to_integer(fmt: Binary, low: int, high: int, a: int, mode: int) -> tuple[int, int]:
    x = fmt.decode(a)
    if x.kind != "number":
        return (low if x.negative and not x.nan else high), NV
    whole = to_multiple(x.value, Fraction(1), mode)
    if not low <= whole <= high:
        return (low if whole < 0 else high), NV
    return int(whole), 0 if whole == x.value else NX
