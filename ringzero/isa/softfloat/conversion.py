"""Conversions between formats, and between floating-point numbers and integers.

Integers out of range saturate and are invalid; a NaN counts as beyond the positive end
("F" §20.7, table of valid inputs).
"""

from __future__ import annotations

from ringzero.isa.softfloat.formats import LEADING, NV, NX, RDN, RMM, RNE, RUP, Format
from ringzero.isa.softfloat.parts import (
    is_infinite,
    is_nan,
    is_special,
    nan_of,
    normalize_round_pack,
    round_pack,
    sign_of,
    signed,
    unpack,
)
from ringzero.lang import Fixed, i64, native, u64, unlikely


@native
def convert_format(source: Format, target: Format, a: u64, rounding: u64) -> tuple[u64, u64]:
    """The number in another format; widening is exact."""
    sign = sign_of(source, a)
    if unlikely(is_special(source, a)):
        if is_infinite(source, a):
            return signed(target, sign, u64(target.infinity)), u64(0)
        _, flags = nan_of(source, a, a)
        return u64(target.nan), flags
    exponent, significand = unpack(source, a)
    if unlikely(significand == 0):
        return signed(target, sign, u64(0)), u64(0)
    return round_pack(target, sign, exponent + (target.bias - source.bias), significand, rounding)


@native
def from_unsigned(fmt: Format, value: u64, rounding: u64) -> tuple[u64, u64]:
    return _from_magnitude(fmt, u64(0), value, rounding)


@native
def from_signed(fmt: Format, value: u64, rounding: u64) -> tuple[u64, u64]:
    """`value` is read as two's complement."""
    sign = value >> 63
    return _from_magnitude(fmt, sign, u64(0) - value if sign != 0 else value, rounding)


@native(inline=True)
def _from_magnitude(fmt: Format, sign: u64, magnitude: u64, rounding: u64) -> tuple[u64, u64]:
    if magnitude == 0:
        return u64(0), u64(0)
    return normalize_round_pack(fmt, sign, i64(fmt.bias + LEADING), magnitude, rounding)


@native
def to_integer(fmt: Format, kind: type[Fixed], a: u64, rounding: u64) -> tuple[u64, u64]:
    """The number as a `kind` (i32, u32, i64, u64) in two's complement of 64 bits, and flags."""
    sign = sign_of(fmt, a)
    if unlikely(is_special(fmt, a)):
        return _saturated(kind, u64(0) if is_nan(fmt, a) else sign), u64(NV)
    biased, significand = unpack(fmt, a)
    exponent = biased - fmt.bias
    if exponent > 63:
        return _saturated(kind, sign), u64(NV)
    whole, rest = split(exponent, significand)
    if rounds_away(sign, whole, rest, rounding):
        whole = whole + 1
    if whole > _limit(kind, sign):
        return _saturated(kind, sign), u64(NV)
    value = u64(0) - whole if sign != 0 else whole
    return value, u64(NX) if rest != 0 else u64(0)


@native(inline=True)
def split(exponent: i64, significand: u64) -> tuple[u64, u64]:
    """Whole part and 64 bits of fraction of `significand * 2**(exponent - 62)`, below 2**64.

    Below one quarter the fraction is only told from zero: no rounding mode asks for more.
    """
    if exponent == 63:
        return significand << 1, u64(0)
    if exponent == LEADING:
        return significand, u64(0)
    if exponent < -1:
        return u64(0), u64(significand != 0)
    by = u64(LEADING - exponent)
    return significand >> by, significand << (64 - by)


@native(inline=True)
def rounds_away(sign: u64, whole: u64, rest: u64, rounding: u64) -> bool:
    """Whether rounding `whole` and a 64-bit fraction to an integer goes up in magnitude."""
    half = 1 << 63
    if rounding == RNE:
        return rest > half or (rest == half and whole & 1 != 0)
    if rounding == RMM:
        return rest >= half
    return rest != 0 and ((rounding == RDN and sign != 0) or (rounding == RUP and sign == 0))


@native(inline=True)
def _limit(kind: type[Fixed], sign: u64) -> u64:
    """The largest magnitude that a `kind` holds with this sign."""
    if kind.signed:
        return sign + ((1 << (kind.bits - 1)) - 1)
    return u64(0) if sign != 0 else u64((1 << kind.bits) - 1)


@native(inline=True)
def _saturated(kind: type[Fixed], sign: u64) -> u64:
    limit = _limit(kind, sign)
    return u64(0) - limit if sign != 0 else limit
