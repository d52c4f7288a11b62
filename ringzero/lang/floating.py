"""Floating point of the machine that runs the text: intrinsics on the bits of IEEE 754 numbers.

A number travels as its bits: a `u32` is a single, a `u64` a double. Rounding is to nearest, ties
to even; nothing tells of exceptions; which NaN a NaN result is, is unspecified. Use them in text
for hosts with floating point only: bare-metal text has none.
"""

from __future__ import annotations

import math
import struct
import sys
from fractions import Fraction
from typing import Any

from ringzero.lang.native import N, intrinsic
from ringzero.lang.types import Fixed, u32, u64


def default_environment() -> bool:
    """Whether this thread's arithmetic is IEEE 754's default, which the intrinsics stand for.

    A library that was built for speed may have changed the processor's mode for all of a process.
    """
    least, one, ulp = sys.float_info.min, 1.0, sys.float_info.epsilon
    to_even = one + ulp / 2 == one and one + ulp + ulp / 2 == one + 2 * ulp
    return to_even and least / 2 != 0 and least / 2 * 2 == least


_CODES = {32: ("<f", "<I"), 64: ("<d", "<Q")}


def _number(bits: Any) -> float:
    number, word = _CODES[bits.bits]
    return float(struct.unpack(number, struct.pack(word, int(bits)))[0])


def _bits(kind: type[N], value: float) -> N:
    number, word = _CODES[kind.bits]
    try:
        packed = struct.pack(number, value)
    except OverflowError:  # CPython refuses to round a double beyond the largest single
        packed = struct.pack(number, math.copysign(math.inf, value))
    return kind(struct.unpack(word, packed)[0])


def _pair(a: Any, b: Any) -> tuple[float, float]:
    if type(a) is not type(b) or type(a) not in (u32, u64):
        raise TypeError(f"{type(a).__name__} with {type(b).__name__}: both are u32, or both u64")
    return _number(a), _number(b)


# A single computed in double and rounded again is right: 53 ≥ 2 · 24 + 2 (Figueroa, 1995).


@intrinsic
def float_add(a: N, b: N) -> N:
    """The sum."""
    x, y = _pair(a, b)
    return _bits(type(a), x + y)


@intrinsic
def float_sub(a: N, b: N) -> N:
    """The difference."""
    x, y = _pair(a, b)
    return _bits(type(a), x - y)


@intrinsic
def float_mul(a: N, b: N) -> N:
    """The product."""
    x, y = _pair(a, b)
    return _bits(type(a), x * y)


@intrinsic
def float_div(a: N, b: N) -> N:
    """The quotient."""
    x, y = _pair(a, b)
    if y == 0:
        undefined = x == 0 or math.isnan(x)
        sign = math.copysign(1, x) * math.copysign(1, y)
        return _bits(type(a), math.nan if undefined else sign * math.inf)
    return _bits(type(a), x / y)


@intrinsic
def float_sqrt(a: N) -> N:
    """The square root."""
    value = _number(a)
    return _bits(type(a), math.nan if value < 0 else math.sqrt(value))


@intrinsic
def float_fma(a: N, b: N, c: N) -> N:
    """a * b + c, rounded once."""
    x, y = _pair(a, b)
    _, z = _pair(b, c)
    if not all(map(math.isfinite, (x, y, z))):
        return _bits(type(a), z if math.isfinite(x) and math.isfinite(y) else x * y + z)
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if exact == 0:
        zero = math.copysign(0.0, x) * math.copysign(1.0, y) if x * y == 0 else -z
        return _bits(type(a), zero + z)
    return _bits(type(a), _rounded(exact, odd=a.bits == 32))


def _rounded(exact: Fraction, odd: bool) -> float:
    """To nearest; or to odd, which a second rounding to fewer digits does not spoil."""
    try:
        value = float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
    if odd and math.isfinite(value) and Fraction(value) != exact and not int(_bits(u64, value)) & 1:
        return math.nextafter(value, math.inf if exact > Fraction(value) else -math.inf)
    return value


@intrinsic
def float_equal(a: N, b: N) -> bool:
    """Whether equal; a NaN equals nothing."""
    x, y = _pair(a, b)
    return x == y


@intrinsic
def float_less(a: N, b: N) -> bool:
    """Whether a < b; never so of a NaN."""
    x, y = _pair(a, b)
    return x < y


@intrinsic
def float_less_equal(a: N, b: N) -> bool:
    """Whether a <= b; never so of a NaN."""
    x, y = _pair(a, b)
    return x <= y


@intrinsic
def float_unordered(a: N, b: N) -> bool:
    """Whether one of them is a NaN."""
    return any(map(math.isnan, _pair(a, b)))


@intrinsic
def float_convert(kind: type[N], a: Fixed) -> N:
    """The number in the other format: `kind` is u32 or u64."""
    return _bits(kind, _number(a))


@intrinsic
def float_of(kind: type[N], value: Fixed) -> N:
    """The integer `value`, signed by its type, as a number of the format of `kind`."""
    exact = Fraction(int(value))
    return _bits(kind, _rounded(exact, odd=kind.bits == 32))


@intrinsic
def float_truncated(kind: type[N], a: Fixed) -> N:
    """The number without its fraction, as a `kind`; what does not fit must not be used."""
    value = _number(a)
    whole = math.trunc(value) if math.isfinite(value) else 0
    return kind(whole & ((1 << kind.bits) - 1))
