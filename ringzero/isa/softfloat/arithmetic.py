"""Addition, subtraction, multiplication and division of IEEE 754-2019 §5.4.1, in any format.

Every function takes and returns bits, and returns the exception flags beside the result.
"""

from __future__ import annotations

from ringzero.isa.softfloat.formats import DZ, NV, RDN, Format
from ringzero.isa.softfloat.parts import (
    is_infinite,
    is_nan,
    is_special,
    is_zero,
    nan_of,
    normalize_round_pack,
    shift_sticky,
    sign_of,
    signed,
    unpack,
    unpack_as_stored,
)
from ringzero.lang import native, u64, u128, unlikely


@native
def add(fmt: Format, a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    if unlikely(is_special(fmt, a) or is_special(fmt, b)):
        return _add_special(fmt, a, b)
    swap = (a & fmt.magnitude) < (b & fmt.magnitude)
    larger = b if swap else a
    smaller = a if swap else b
    exponent, significand = unpack_as_stored(fmt, larger)
    other_exponent, other = unpack_as_stored(fmt, smaller)
    other = shift_sticky(other, u64(exponent - other_exponent))
    sign = sign_of(fmt, larger)
    opposed = sign != sign_of(fmt, smaller)
    total = significand - other if opposed else significand + other
    if unlikely(total == 0):
        # §6.3: x - x is +0, but -0 when rounding down; a sum of two equal zeros keeps their sign.
        zero_sign = u64(rounding == RDN) if opposed else sign
        return signed(fmt, zero_sign, u64(0)), u64(0)
    return normalize_round_pack(fmt, sign, exponent, total, rounding)


@native
def _add_special(fmt: Format, a: u64, b: u64) -> tuple[u64, u64]:
    if is_nan(fmt, a) or is_nan(fmt, b):
        return nan_of(fmt, a, b)
    if is_infinite(fmt, a) and is_infinite(fmt, b) and a != b:
        return u64(fmt.nan), u64(NV)
    return a if is_infinite(fmt, a) else b, u64(0)


@native(inline=True)
def sub(fmt: Format, a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return add(fmt, a, b ^ fmt.sign, rounding)


@native
def mul(fmt: Format, a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    sign = sign_of(fmt, a ^ b)
    if unlikely(is_special(fmt, a) or is_special(fmt, b)):
        return _mul_special(fmt, sign, a, b)
    a_exponent, a_significand = unpack(fmt, a)
    b_exponent, b_significand = unpack(fmt, b)
    product = u128(a_significand) * u128(b_significand)
    if unlikely(product == 0):
        return signed(fmt, sign, u64(0)), u64(0)
    # The leading one is at bit 124 or 125; keep 64 bits, the last of them sticky.
    low = u64(product) << 2
    significand = u64(product >> 62) | u64(low != 0)
    return normalize_round_pack(
        fmt, sign, a_exponent + b_exponent - fmt.bias, significand, rounding
    )


@native
def _mul_special(fmt: Format, sign: u64, a: u64, b: u64) -> tuple[u64, u64]:
    if is_nan(fmt, a) or is_nan(fmt, b):
        return nan_of(fmt, a, b)
    if is_zero(fmt, a) or is_zero(fmt, b):
        return u64(fmt.nan), u64(NV)
    return signed(fmt, sign, u64(fmt.infinity)), u64(0)


@native
def div(fmt: Format, a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    sign = sign_of(fmt, a ^ b)
    if unlikely(is_special(fmt, a) or is_special(fmt, b) or is_zero(fmt, a) or is_zero(fmt, b)):
        return _div_special(fmt, sign, a, b)
    a_exponent, a_significand = unpack(fmt, a)
    b_exponent, b_significand = unpack(fmt, b)
    exponent = a_exponent - b_exponent + (fmt.bias - 1)
    if fmt.fraction < 31:
        # Narrow formats: the quotient has 40 or 41 bits, from one machine division.
        dividend = a_significand << 1
        divisor = b_significand >> 39
        quotient = dividend // divisor
        remainder = dividend - quotient * divisor
        quotient = quotient << 23
    else:
        quotient, remainder = divide_wide(a_significand, b_significand << 1)
    return normalize_round_pack(fmt, sign, exponent, quotient | u64(remainder != 0), rounding)


@native
def _div_special(fmt: Format, sign: u64, a: u64, b: u64) -> tuple[u64, u64]:
    if is_nan(fmt, a) or is_nan(fmt, b):
        return nan_of(fmt, a, b)
    if is_infinite(fmt, a):
        if is_infinite(fmt, b):
            return u64(fmt.nan), u64(NV)
        return signed(fmt, sign, u64(fmt.infinity)), u64(0)
    if is_zero(fmt, b):
        if is_zero(fmt, a):
            return u64(fmt.nan), u64(NV)
        return signed(fmt, sign, u64(fmt.infinity)), u64(DZ)
    return signed(fmt, sign, u64(0)), u64(0)


@native
def divide_wide(high: u64, divisor: u64) -> tuple[u64, u64]:
    """Quotient and remainder of `high * 2**64` by a divisor above `high` and at least 2**63.

    Schoolbook long division in two digits of 32 bits: 128-bit division would need a library.
    """
    first, rest = divide_digit(high, divisor)
    second, remainder = divide_digit(rest, divisor)
    return (first << 32) | second, remainder


@native
def divide_digit(rest: u64, divisor: u64) -> tuple[u64, u64]:
    """One 32-bit digit: quotient and remainder of `rest * 2**32` by a divisor above `rest`."""
    divisor_high = divisor >> 32
    divisor_low = divisor & 0xFFFF_FFFF
    digit = rest // divisor_high
    over = rest - digit * divisor_high
    # The estimate from the divisor's upper half is at most two too large (Knuth 4.3.1 D).
    while digit >> 32 != 0 or digit * divisor_low > over << 32:
        digit = digit - 1
        over = over + divisor_high
        if over >> 32 != 0:
            break
    return digit, (rest << 32) - digit * divisor
