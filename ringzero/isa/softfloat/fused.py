"""Fused multiply-add, IEEE 754-2019 §5.4.1: one rounding, of the exact `a * b + c`."""

from __future__ import annotations

from ringzero.isa.softfloat.formats import NV, RDN, Format
from ringzero.isa.softfloat.parts import (
    is_infinite,
    is_nan,
    is_signaling,
    is_special,
    is_zero,
    nan_of,
    round_pack,
    shift_sticky_wide,
    sign_of,
    signed,
    unpack,
)
from ringzero.lang import clz, i64, native, u64, u128, unlikely


@native
def mul_add(fmt: Format, a: u64, b: u64, c: u64, rounding: u64) -> tuple[u64, u64]:
    if unlikely(is_special(fmt, a) or is_special(fmt, b) or is_special(fmt, c)):
        return _mul_add_special(fmt, a, b, c)
    sign = sign_of(fmt, a ^ b)
    opposed = sign != sign_of(fmt, c)
    a_exponent, a_significand = unpack(fmt, a)
    b_exponent, b_significand = unpack(fmt, b)
    c_exponent, c_significand = unpack(fmt, c)
    # Product and addend both stand for `number * 2**(exponent - bias - 124)`, below 2**126.
    product = u128(a_significand) * u128(b_significand)
    addend = u128(c_significand) << 62
    exponent = a_exponent + b_exponent - fmt.bias
    if unlikely(product == 0):
        exponent = c_exponent
    elif unlikely(addend == 0):
        c_exponent = exponent
    if exponent >= c_exponent:
        addend = shift_sticky_wide(addend, u64(exponent - c_exponent))
    else:
        product = shift_sticky_wide(product, u64(c_exponent - exponent))
        exponent = c_exponent
    total = product + addend
    if opposed:
        total = product - addend
        if addend > product:
            total = addend - product
            sign = sign ^ 1
    if unlikely(total == 0):
        # §6.3: opposite addends that cancel give +0, but -0 when rounding down.
        zero_sign = u64(rounding == RDN) if opposed else sign
        return signed(fmt, zero_sign, u64(0)), u64(0)
    zeros = clz(total)
    raised = total << (zeros - 1)
    significand = u64(raised >> 64) | u64(u64(raised) != 0)
    return round_pack(fmt, sign, exponent + 3 - i64(zeros), significand, rounding)


@native
def _mul_add_special(fmt: Format, a: u64, b: u64, c: u64) -> tuple[u64, u64]:
    undefined = (is_infinite(fmt, a) and is_zero(fmt, b)) or (
        is_zero(fmt, a) and is_infinite(fmt, b)
    )
    if is_nan(fmt, a) or is_nan(fmt, b) or is_nan(fmt, c):
        # "F" §20.6: infinity times zero is invalid even where the addend is a quiet NaN.
        if undefined or is_signaling(fmt, c):
            return u64(fmt.nan), u64(NV)
        return nan_of(fmt, a, b)
    if undefined:
        return u64(fmt.nan), u64(NV)
    sign = sign_of(fmt, a ^ b)
    if is_infinite(fmt, a) or is_infinite(fmt, b):
        if is_infinite(fmt, c) and sign != sign_of(fmt, c):
            return u64(fmt.nan), u64(NV)
        return signed(fmt, sign, u64(fmt.infinity)), u64(0)
    return c, u64(0)
