"""What every operation is made of: unpacking, sticky shifts, and the one place that rounds.

Values travel as bits in a `u64`. An unpacked number is a sign (0 or 1), a biased exponent and a
significand with its leading one at bit 62; bit 0 is sticky: it stands for anything below it.
"""

from __future__ import annotations

from ringzero.isa.softfloat.formats import LEADING, NV, NX, OF, RDN, RMM, RNE, RUP, UF, Format
from ringzero.lang import clz, i64, native, u64, u128, unlikely


@native(inline=True)
def is_nan(fmt: Format, a: u64) -> bool:
    return (a & fmt.magnitude) > fmt.infinity


@native(inline=True)
def is_infinite(fmt: Format, a: u64) -> bool:
    return (a & fmt.magnitude) == fmt.infinity


@native(inline=True)
def is_zero(fmt: Format, a: u64) -> bool:
    return (a & fmt.magnitude) == 0


@native(inline=True)
def is_special(fmt: Format, a: u64) -> bool:
    """An infinity or a NaN."""
    return (a & fmt.infinity) == fmt.infinity


@native(inline=True)
def is_signaling(fmt: Format, a: u64) -> bool:
    return is_nan(fmt, a) and (a & fmt.quiet) == 0


@native(inline=True)
def sign_of(fmt: Format, a: u64) -> u64:
    return (a >> (fmt.width - 1)) & 1


@native(inline=True)
def signed(fmt: Format, sign: u64, magnitude: u64) -> u64:
    """The magnitude's bits with a sign put before them."""
    return (sign << (fmt.width - 1)) | magnitude


@native
def nan_of(fmt: Format, a: u64, b: u64) -> tuple[u64, u64]:
    """The result where an operand is a NaN: canonical; invalid if one of them signals."""
    invalid = is_signaling(fmt, a) or is_signaling(fmt, b)
    return u64(fmt.nan), u64(NV) if invalid else u64(0)


@native(inline=True)
def shift_sticky(value: u64, count: u64) -> u64:
    """`value >> count` for a value below 2**63; what falls off is kept in bit 0."""
    by = count if count < 63 else u64(63)
    kept = value >> by
    return kept | u64((kept << by) != value)


@native(inline=True)
def shift_sticky_wide(value: u128, count: u64) -> u128:
    """`value >> count` for a value below 2**127; what falls off is kept in bit 0."""
    by = u128(count if count < 127 else u64(127))
    kept = value >> by
    return kept | u128((kept << by) != value)


@native(inline=True)
def unpack(fmt: Format, a: u64) -> tuple[i64, u64]:
    """Biased exponent and significand of a finite number, subnormals made normal; 0 for zero."""
    exponent = (a & fmt.magnitude) >> fmt.fraction
    fraction = a & (fmt.hidden - 1)
    if unlikely(exponent == 0):
        zeros = clz(fraction)
        return i64(64 - fmt.fraction - zeros), fraction << (zeros - 1)
    return i64(exponent), (fraction | fmt.hidden) << fmt.extra


@native(inline=True)
def unpack_as_stored(fmt: Format, a: u64) -> tuple[i64, u64]:
    """As `unpack`, but a subnormal keeps the least exponent and has no leading one at bit 62."""
    exponent = (a & fmt.magnitude) >> fmt.fraction
    normal = u64(exponent != 0)
    significand = (a & (fmt.hidden - 1)) | (normal << fmt.fraction)
    return i64(exponent | (normal ^ 1)), significand << fmt.extra


@native(inline=True)
def rounding_increment(fmt: Format, sign: u64, rounding: u64) -> u64:
    """What to add below the last bit kept, before cutting there; zero in modes that only cut."""
    ulp = 1 << fmt.extra
    if rounding == RNE or rounding == RMM:
        return u64(ulp >> 1)
    away = (rounding == RUP and sign == 0) or (rounding == RDN and sign != 0)
    return u64(ulp - 1) if away else u64(0)


@native
def round_pack(
    fmt: Format, sign: u64, exponent: i64, significand: u64, rounding: u64
) -> tuple[u64, u64]:
    """Round `significand * 2**(exponent - bias - 62)`, leading one at bit 62, to bits and flags."""
    increment = rounding_increment(fmt, sign, rounding)
    below = (1 << fmt.extra) - 1
    if unlikely(exponent <= 0):
        return round_subnormal(fmt, sign, exponent, significand, increment, rounding)
    rest = significand & below
    rounded = (significand + increment) >> fmt.extra
    if rounding == RNE and rest == (1 << (fmt.extra - 1)):
        rounded = rounded & ~u64(1)
    # The hidden bit adds one to the exponent field, and a carry out of rounding adds another.
    magnitude = (u64(exponent - 1) << fmt.fraction) + rounded
    if unlikely(exponent >= fmt.exponent_limit or magnitude >= fmt.infinity):
        largest = u64(fmt.infinity) - u64(increment == 0)
        return signed(fmt, sign, largest), u64(OF | NX)
    return signed(fmt, sign, magnitude), u64(rest != 0)


@native
def round_subnormal(
    fmt: Format, sign: u64, exponent: i64, significand: u64, increment: u64, rounding: u64
) -> tuple[u64, u64]:
    """The case of `round_pack` below the normal range.

    RISC-V detects tininess after rounding ("F" §20.3): a result that rounds up to the least normal
    number, were the exponent unbounded, is not tiny.
    """
    tiny = exponent < 0 or (significand + increment) >> (LEADING + 1) == 0
    shifted = shift_sticky(significand, u64(1 - exponent))
    rest = shifted & ((1 << fmt.extra) - 1)
    rounded = (shifted + increment) >> fmt.extra
    if rounding == RNE and rest == (1 << (fmt.extra - 1)):
        rounded = rounded & ~u64(1)
    flags = u64(0)
    if rest != 0:
        flags = u64(NX | UF) if tiny else u64(NX)
    return signed(fmt, sign, rounded), flags


@native(inline=True)
def normalize_round_pack(
    fmt: Format, sign: u64, exponent: i64, significand: u64, rounding: u64
) -> tuple[u64, u64]:
    """`round_pack` for a non-zero significand with its leading one anywhere."""
    if significand >> (LEADING + 1) != 0:
        halved = (significand >> 1) | (significand & 1)
        return round_pack(fmt, sign, exponent + 1, halved, rounding)
    up = clz(significand) - 1
    return round_pack(fmt, sign, exponent - i64(up), significand << up, rounding)
