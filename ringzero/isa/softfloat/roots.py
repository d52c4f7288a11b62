"""Square root: digits of the root by long division, doubling their number each step.

From a root `s` and remainder `r` of the upper half of a number, the next digits are near
`r / 2s`, at most one too large (P. Zimmermann, "Karatsuba Square Root", 1999).
"""

from __future__ import annotations

from ringzero.isa.softfloat.formats import NV, Format
from ringzero.isa.softfloat.parts import (
    is_nan,
    is_special,
    is_zero,
    nan_of,
    round_pack,
    sign_of,
    unpack,
)
from ringzero.lang import native, u64, u128, unlikely


@native
def sqrt(fmt: Format, a: u64, rounding: u64) -> tuple[u64, u64]:
    if unlikely(is_special(fmt, a) or is_zero(fmt, a) or sign_of(fmt, a) != 0):
        return _sqrt_special(fmt, a)
    biased, significand = unpack(fmt, a)
    exponent = biased - fmt.bias
    # The radicand is `significand`, made to have an even exponent, before 64 bits of zeros.
    radicand = significand << (u64(exponent) & 1)
    half_root, remainder = root_of_64(radicand)
    if fmt.fraction < 30:
        root = half_root << 31
        inexact = remainder != 0
    else:
        whole, inexact = root_of_128(half_root, remainder)
        root = (whole >> 1) | (whole & 1)
    return round_pack(fmt, u64(0), (exponent >> 1) + fmt.bias, root | u64(inexact), rounding)


@native
def _sqrt_special(fmt: Format, a: u64) -> tuple[u64, u64]:
    if is_nan(fmt, a):
        return nan_of(fmt, a, a)
    if is_zero(fmt, a) or sign_of(fmt, a) == 0:
        return a, u64(0)  # §5.4.1: the root of -0 is -0
    return u64(fmt.nan), u64(NV)


@native
def root_of_32(radicand: u64) -> tuple[u64, u64]:
    """Integer square root and remainder of a number below 2**32, bit by bit."""
    root = u64(0)
    remainder = radicand
    bit = u64(1 << 30)
    while bit != 0:
        trial = root + bit
        root = root >> 1
        if remainder >= trial:
            remainder = remainder - trial
            root = root + bit
        bit = bit >> 2
    return root, remainder


@native
def root_of_64(radicand: u64) -> tuple[u64, u64]:
    """Integer square root and remainder of a number of at least 2**62."""
    high_root, high_rest = root_of_32(radicand >> 32)
    dividend = (high_rest << 16) | ((radicand >> 16) & 0xFFFF)
    digits = dividend // (high_root << 1)
    rest = ((dividend - digits * (high_root << 1)) << 16) | (radicand & 0xFFFF)
    root = (high_root << 16) + digits
    square = digits * digits
    if square > rest:
        rest = rest + (root << 1) - 1
        root = root - 1
    return root, rest - square


@native
def root_of_128(high_root: u64, high_rest: u64) -> tuple[u64, bool]:
    """Root of `radicand << 64` from root and remainder of `radicand`, and whether it is inexact."""
    # `high_rest` may have 33 bits: dividing halves keeps the dividend within 64.
    dividend = high_rest << 31
    digits = dividend // high_root
    rest = u128((dividend - digits * high_root) << 1) << 32
    square = u128(digits) * u128(digits)
    root = (high_root << 32) + digits
    # A root that was one too large is never exact: perfect squares leave no remainder above.
    if square > rest:
        root = root - 1
    return root, square != rest
