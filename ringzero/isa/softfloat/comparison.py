"""Comparisons, minimum and maximum, sign injection and classification: operations that never round.

Comparisons give 0 or 1 and flags; sign injection and classification raise no flags at all.
"""

from __future__ import annotations

from ringzero.isa.softfloat.formats import NV, Format
from ringzero.isa.softfloat.parts import (
    is_infinite,
    is_nan,
    is_signaling,
    is_zero,
    sign_of,
)
from ringzero.lang import native, u64


@native(inline=True)
def less(fmt: Format, a: u64, b: u64) -> bool:
    """Whether a < b, of two numbers that are no NaNs; -0 is not less than +0."""
    if sign_of(fmt, a) != sign_of(fmt, b):
        return sign_of(fmt, a) != 0 and not (is_zero(fmt, a) and is_zero(fmt, b))
    return a > b if sign_of(fmt, a) != 0 else a < b


@native(inline=True)
def same(fmt: Format, a: u64, b: u64) -> bool:
    """Whether a = b, of two numbers that are no NaNs; zeros are equal whatever their sign."""
    return a == b or (is_zero(fmt, a) and is_zero(fmt, b))


@native
def equal(fmt: Format, a: u64, b: u64) -> tuple[u64, u64]:
    """Quiet comparison (§5.6.1 compareQuietEqual): only a signaling NaN is invalid."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return u64(0), _invalid_if_signaling(fmt, a, b)
    return u64(same(fmt, a, b)), u64(0)


@native
def less_than(fmt: Format, a: u64, b: u64) -> tuple[u64, u64]:
    """Signaling comparison (§5.6.1 compareSignalingLess): any NaN is invalid."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return u64(0), u64(NV)
    return u64(less(fmt, a, b)), u64(0)


@native
def less_or_equal(fmt: Format, a: u64, b: u64) -> tuple[u64, u64]:
    """Signaling comparison (§5.6.1 compareSignalingLessEqual): any NaN is invalid."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return u64(0), u64(NV)
    return u64(less(fmt, a, b) or same(fmt, a, b)), u64(0)


@native
def minimum(fmt: Format, a: u64, b: u64) -> tuple[u64, u64]:
    """minimumNumber of §9.6: a number wins over a NaN, and -0 is below +0."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return _number_of(fmt, a, b), _invalid_if_signaling(fmt, a, b)
    first = less(fmt, a, b) or (same(fmt, a, b) and sign_of(fmt, a) != 0)
    return a if first else b, u64(0)


@native
def maximum(fmt: Format, a: u64, b: u64) -> tuple[u64, u64]:
    """maximumNumber of §9.6: a number wins over a NaN, and +0 is above -0."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return _number_of(fmt, a, b), _invalid_if_signaling(fmt, a, b)
    first = less(fmt, b, a) or (same(fmt, a, b) and sign_of(fmt, a) == 0)
    return a if first else b, u64(0)


@native(inline=True)
def _invalid_if_signaling(fmt: Format, a: u64, b: u64) -> u64:
    return u64(NV) if is_signaling(fmt, a) or is_signaling(fmt, b) else u64(0)


@native(inline=True)
def _number_of(fmt: Format, a: u64, b: u64) -> u64:
    if is_nan(fmt, a):
        return u64(fmt.nan) if is_nan(fmt, b) else b
    return a


@native(inline=True)
def copy_sign(fmt: Format, a: u64, b: u64) -> u64:
    """The magnitude of `a` with the sign of `b`; NaNs are bits like any others (§5.5.1)."""
    return (a & fmt.magnitude) | (b & fmt.sign)


@native
def classify(fmt: Format, a: u64) -> u64:
    """One bit of ten, as `fclass` numbers them ("F" §20.9)."""
    if is_nan(fmt, a):
        return u64(1 << 8) if is_signaling(fmt, a) else u64(1 << 9)
    # From negative infinity (bit 0) to -0 (bit 3), and mirrored from +0 (bit 4) upwards.
    place = u64(1)
    if is_infinite(fmt, a):
        place = u64(0)
    elif is_zero(fmt, a):
        place = u64(3)
    elif (a & fmt.magnitude) < fmt.hidden:
        place = u64(2)
    return u64(1) << (place if sign_of(fmt, a) != 0 else 7 - place)
