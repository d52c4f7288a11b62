"""The shapes of `isa.floating` on the host's own floating point: what engines bind in their place.

An operation takes the quick way where the host's result is the architecture's, bit for bit, and
accrues no flag that is not set: rounding to nearest even (the host's mode), fflags.NX set already,
and a result too large to have underflowed, too small to have overflowed, no NaN. All else, such as
the first inexact result since NX was cleared, goes to `exact`, and to the integer text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringzero.engine.native.floats.exact import (
    fallback_floating,
    fallback_fused,
    fallback_integer,
    fallback_narrowed,
    fallback_one,
    fallback_two,
    fallback_widened,
    host_of,
    kind_of,
    leave,
    left,
    name_of,
    truncated,
    within,
)
from ringzero.isa import floating as text
from ringzero.isa.extend import sext32
from ringzero.isa.floating import DYNAMIC, box, rounding, unbox
from ringzero.isa.hart import Hart
from ringzero.isa.privileged.trap import STATUS_FS
from ringzero.isa.softfloat import NX, RNE, RTZ, Format, equal, less_than, minimum
from ringzero.lang import (
    Fixed,
    Native,
    float_convert,
    float_equal,
    float_fma,
    float_less,
    float_less_equal,
    float_of,
    float_sqrt,
    float_unordered,
    likely,
    native,
    original,
    u32,
    u64,
    unlikely,
)
from ringzero.lang.binding import host_fuses

FRM = 7 << text.FRM
LEAST = 2  # exponent field of results that are surely not tiny, before rounding either

text_one, text_two, text_fused = original(text.one), original(text.two), original(text.fused)
text_chosen, text_compared = original(text.chosen), original(text.compared)
text_converted, text_integer = original(text.converted), original(text.integer)
text_floating = original(text.floating)


@native(inline=True)
def settled(hart: Hart, rm: u64) -> bool:
    """Whether rm selects rounding to nearest even, and an inexact result changes no flag."""
    if rm == DYNAMIC:
        return hart.fcsr & (FRM | NX) == NX
    return rm == RNE and hart.fcsr & NX != 0


@native(inline=True)
def finite(fmt: Format, value: u64) -> bool:
    return (value & fmt.magnitude) < fmt.infinity


@native(inline=True)
def usual(fmt: Format, value: u64) -> bool:
    """Finite, and too large to have underflowed."""
    exponent = (value >> fmt.fraction) & fmt.exponent_limit
    return exponent - LEAST < fmt.exponent_limit - LEAST


@native(inline=True)
def one(hart: Hart, fmt: Format, operation: Native, a: u64, rm: u64) -> u64:
    """See `isa.floating.one`: square root."""
    if fmt.width == 16:
        return text_one(hart, fmt, operation, a, rm)
    else:
        x = unbox(fmt, a)
        value = float_sqrt(kind_of(fmt)(x))
        if unlikely(not (settled(hart, rm) and finite(fmt, u64(value)))):
            fallback_one(hart, fmt, operation, x, rm)
            value = kind_of(fmt)(left(hart, fmt))
        return box(fmt, u64(value))


@native(inline=True)
def fine(fmt: Format, operation: Native, value: u64) -> bool:
    """Whether a result raises nothing but NX: a tiny sum is exact, so it does not underflow."""
    if name_of(operation) in ("add", "sub"):
        return finite(fmt, value)
    else:
        return usual(fmt, value)


@native(inline=True)
def two(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64, rm: u64) -> u64:
    """See `isa.floating.two`."""
    if fmt.width == 16:
        return text_two(hart, fmt, operation, a, b, rm)
    else:
        x = unbox(fmt, a)
        y = unbox(fmt, b)
        value = host_of(operation)(kind_of(fmt)(x), kind_of(fmt)(y))
        if unlikely(not (settled(hart, rm) and fine(fmt, operation, u64(value)))):
            fallback_two(hart, fmt, operation, x, y, rm)
            value = kind_of(fmt)(left(hart, fmt))
        return box(fmt, u64(value))


@native(inline=True)
def fused(
    hart: Hart, fmt: Format, operation: Native, signs: int, a: u64, b: u64, c: u64, rm: u64
) -> u64:
    """See `isa.floating.fused`."""
    if fmt.width == 16 or not host_fuses():
        return text_fused(hart, fmt, operation, signs, a, b, c, rm)
    else:
        x = unbox(fmt, a) ^ (fmt.sign if signs & 1 else 0)
        y = unbox(fmt, b)
        z = unbox(fmt, c) ^ (fmt.sign if signs & 2 else 0)
        value = float_fma(kind_of(fmt)(x), kind_of(fmt)(y), kind_of(fmt)(z))
        if unlikely(not (settled(hart, rm) and usual(fmt, u64(value)))):
            fallback_fused(hart, fmt, operation, x, y, z, rm)
            value = kind_of(fmt)(left(hart, fmt))
        return box(fmt, u64(value))


@native(inline=True)
def compared(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64) -> u64:
    """See `isa.floating.compared`: without a NaN, no flag."""
    if fmt.width == 16:
        return text_compared(hart, fmt, operation, a, b)
    else:
        x = kind_of(fmt)(unbox(fmt, a))
        y = kind_of(fmt)(unbox(fmt, b))
        if likely(not float_unordered(x, y)):
            return u64(comparison(operation)(x, y))
        return fallback_compared(hart, fmt, operation, a, b)


def comparison(operation: Native) -> Callable[[Any, Any], bool]:
    """The host's comparison."""
    if operation is equal:
        return float_equal
    return float_less if operation is less_than else float_less_equal


@native(cold=True)
def fallback_compared(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64) -> u64:
    return text_compared(hart, fmt, operation, a, b)


@native(inline=True)
def chosen(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64) -> u64:
    """See `isa.floating.chosen`: the host tells what differs, the text the rest."""
    if fmt.width == 16:
        return text_chosen(hart, fmt, operation, a, b)
    else:
        x = kind_of(fmt)(unbox(fmt, a))
        y = kind_of(fmt)(unbox(fmt, b))
        value = x if float_less(x, y) == (operation is minimum) else y
        if unlikely(not (float_less(x, y) or float_less(y, x))):
            fallback_chosen(hart, fmt, operation, a, b)
            value = kind_of(fmt)(left(hart, fmt))
        return box(fmt, u64(value))


@native(cold=True)
def fallback_chosen(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64) -> None:
    leave(hart, fmt, text_chosen(hart, fmt, operation, a, b))


@native(inline=True)
def converted(hart: Hart, source: Format, target: Format, a: u64, rm: u64) -> u64:
    """See `isa.floating.converted`."""
    if source.width == 16 or target.width == 16:
        return text_converted(hart, source, target, a, rm)
    elif target.width == 32:
        value = float_convert(u32, a)
        if unlikely(not (settled(hart, rm) and usual(target, u64(value)))):
            fallback_narrowed(hart, a, rm)
            value = u32(left(hart, target))
        return box(target, u64(value))
    else:
        x = unbox(source, a)
        wide = float_convert(u64, u32(x))
        if unlikely(not (rm == RNE and finite(source, x))):
            fallback_widened(hart, x, rm)
            wide = left(hart, target)
        return wide


@native(inline=True)
def dirty(hart: Hart) -> bool:
    """Whether FS is Dirty already: an integer result makes it so only by raising a flag."""
    virtual = hart.virtual == 0 or hart.vsstatus & STATUS_FS == STATUS_FS
    return hart.mstatus & STATUS_FS == STATUS_FS and virtual


@native(inline=True)
def integer(hart: Hart, fmt: Format, kind: type[Fixed], a: u64, rm: u64) -> u64:
    """See `isa.floating.integer`: towards zero, as languages convert."""
    if fmt.width == 16:
        return text_integer(hart, fmt, kind, a, rm)
    else:
        x = unbox(fmt, a)
        if likely(rm == RTZ and within(fmt, kind, x) and hart.fcsr & NX != 0 and dirty(hart)):
            value = truncated(fmt, kind, x)
            return sext32(value) if kind.bits == 32 else value
        return fallback_integer(hart, fmt, kind, x, rm)


@native(inline=True)
def floating(hart: Hart, fmt: Format, kind: type[Fixed], value: u64, rm: u64) -> u64:
    """See `isa.floating.floating`."""
    if fmt.width == 16:
        return text_floating(hart, fmt, kind, value, rm)
    elif fmt.width == 64 and kind.bits == 32:
        rounding(hart, rm)  # which must be one; every word is a double
        return float_of(u64, kind(value))
    else:
        made = float_of(kind_of(fmt), kind(value))
        if unlikely(not settled(hart, rm)):
            fallback_floating(hart, fmt, kind, value, rm)
            made = kind_of(fmt)(left(hart, fmt))
        return box(fmt, u64(made))


BIND: dict[Native, Native] = {
    text.one: one,
    text.two: two,
    text.fused: fused,
    text.chosen: chosen,
    text.compared: compared,
    text.converted: converted,
    text.integer: integer,
    text.floating: floating,
}
