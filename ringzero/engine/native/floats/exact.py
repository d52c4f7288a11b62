"""The exact fallback of `floats/host.py`: exact results by the host, all others by integers.

Rounding to nearest, an operation whose error is zero raises no flag, and the host's result is the
architecture's. Singles are judged in double precision, where their products are exact; doubles by
error-free transformations (Dekker and Knuth: TwoSum, and the remainder that a fused multiply-add
leaves). Everything else is `isa.softfloat`'s, flags and all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringzero.engine.native.state import core_of
from ringzero.isa.extend import sext32
from ringzero.isa.floating import accrue, rounding
from ringzero.isa.hart import Hart
from ringzero.isa.softfloat import (
    DOUBLE,
    RNE,
    SINGLE,
    Format,
    convert_format,
    from_signed,
    from_unsigned,
    to_integer,
)
from ringzero.lang import (
    Fixed,
    Native,
    float_add,
    float_convert,
    float_div,
    float_equal,
    float_fma,
    float_mul,
    float_of,
    float_sqrt,
    float_sub,
    float_truncated,
    i32,
    i64,
    native,
    u32,
    u64,
)
from ringzero.lang.binding import host_fuses

SAFE = 110  # exponent field from which on a double's rounding error, 2**-106 of it, is no underflow
SIGN = DOUBLE.sign
HOST: dict[str, Callable[[Any, Any], Fixed]] = {
    "add": float_add,
    "sub": float_sub,
    "mul": float_mul,
    "div": float_div,
}


def kind_of(fmt: Format) -> type[Fixed]:
    """The integer that holds a number's bits where the host computes with it."""
    return u64 if fmt is DOUBLE else u32


def name_of(operation: Native) -> str:
    """add, sub, mul, div, sqrt or mul_add."""
    return operation.name.partition("_")[2]


def host_of(operation: Native) -> Callable[[Any, Any], Fixed]:
    """The host's operation of two operands."""
    return HOST[name_of(operation)]


@native(inline=True)
def computed(fmt: Format, operation: Native, x: u64, y: u64) -> u64:
    """What the host makes of two operands."""
    return u64(host_of(operation)(kind_of(fmt)(x), kind_of(fmt)(y)))


@native(inline=True)
def leave(hart: Hart, fmt: Format, value: u64) -> None:
    """Leave a result in the core: LLVM keeps a number in its register where paths meet, if it comes
    from memory on one and from an operation on the other, but not if it comes from a call.
    """
    if fmt.width == 64:
        core_of(hart).double = value
    else:
        core_of(hart).single = u32(value)


@native(inline=True)
def left(hart: Hart, fmt: Format) -> u64:
    """What a fallback has left."""
    return core_of(hart).double if fmt.width == 64 else u64(core_of(hart).single)


@native(inline=True)
def wide(fmt: Format, a: u64) -> u64:
    """As a double."""
    return a if fmt.width == 64 else float_convert(u64, u32(a))


@native(inline=True)
def zero(a: u64) -> bool:
    """Whether a double is zero."""
    return a & DOUBLE.magnitude == 0


@native(inline=True)
def safe(a: u64) -> bool:
    """Whether a double is finite, and so large that its rounding error is a double too."""
    field = (a >> DOUBLE.fraction) & DOUBLE.exponent_limit
    return field - SAFE < DOUBLE.exponent_limit - SAFE


@native
def exact_sum(a: u64, b: u64) -> bool:
    """Whether a + b, doubles, needs no rounding: Knuth's TwoSum leaves nothing."""
    total = float_add(a, b)
    virtual = float_sub(total, a)
    lost = float_sub(a, float_sub(total, virtual))
    return zero(float_add(lost, float_sub(b, virtual)))


@native
def exact_product(a: u64, b: u64) -> bool:
    """Whether a * b, doubles, needs no rounding."""
    product = float_mul(a, b)
    if zero(a) or zero(b):
        return zero(product)  # infinity times zero is a NaN
    if not host_fuses():
        return False
    return safe(product) and zero(float_fma(a, b, product ^ SIGN))


@native
def exact_quotient(a: u64, b: u64) -> bool:
    """Whether a / b, doubles, needs no rounding."""
    quotient = float_div(a, b)
    if zero(a):
        return zero(quotient)
    if not host_fuses():
        return False
    return safe(a) and safe(quotient) and zero(float_fma(quotient ^ SIGN, b, a))


@native
def exact_root(a: u64) -> bool:
    """Whether the root of a, a double, needs no rounding."""
    root = float_sqrt(a)
    if zero(a) or not host_fuses():
        return zero(a)
    return safe(a) and zero(float_fma(root ^ SIGN, root, a))


@native(inline=True)
def exact_two(fmt: Format, operation: Native, x: u64, y: u64, value: u64) -> bool:
    """Whether the host's `value` of two operands is exact; a single's is by its double."""
    a = wide(fmt, x)
    b = wide(fmt, y)
    v = wide(fmt, value)
    if name_of(operation) == "mul":
        return exact_product(a, b) if fmt.width == 64 else float_equal(float_mul(a, b), v)
    elif name_of(operation) == "div":
        return exact_quotient(a, b) if fmt.width == 64 else float_equal(float_mul(v, b), a)
    else:
        b = b ^ (SIGN if name_of(operation) == "sub" else 0)
        return exact_sum(a, b) and float_equal(float_add(a, b), v)


@native(cold=True)
def fallback_two(hart: Hart, fmt: Format, operation: Native, x: u64, y: u64, rm: u64) -> None:
    """`floating.two` of unboxed operands."""
    mode = rounding(hart, rm)
    value = computed(fmt, operation, x, y)
    if mode == RNE and exact_two(fmt, operation, x, y, value):
        leave(hart, fmt, value)
        return
    value, flags = operation(x, y, mode)
    accrue(hart, flags)
    leave(hart, fmt, value)


@native(cold=True)
def fallback_one(hart: Hart, fmt: Format, operation: Native, x: u64, rm: u64) -> None:
    """`floating.one` of an unboxed operand."""
    mode = rounding(hart, rm)
    value = u64(float_sqrt(kind_of(fmt)(x)))
    a = wide(fmt, x)
    root = wide(fmt, value)
    exact = exact_root(a) if fmt.width == 64 else float_equal(float_mul(root, root), a)
    if mode == RNE and exact:
        leave(hart, fmt, value)
        return
    value, flags = operation(x, mode)
    accrue(hart, flags)
    leave(hart, fmt, value)


@native(cold=True)
def fallback_fused(
    hart: Hart, fmt: Format, operation: Native, x: u64, y: u64, z: u64, rm: u64
) -> None:
    """`floating.fused` of unboxed operands, their signs changed already."""
    mode = rounding(hart, rm)
    a = wide(fmt, x)
    b = wide(fmt, y)
    c = wide(fmt, z)
    product = float_mul(a, b)
    total = float_add(product, c)
    if mode == RNE and (fmt.width == 32 or exact_product(a, b)) and exact_sum(product, c):
        # Rounded after the last of two exact steps: as if there had been one.
        value = total if fmt.width == 64 else u64(float_convert(u32, total))
        if fmt.width == 64 or float_equal(wide(fmt, value), total):
            leave(hart, fmt, value)
            return
    value, flags = operation(x, y, z, mode)
    accrue(hart, flags)
    leave(hart, fmt, value)


@native(cold=True)
def fallback_narrowed(hart: Hart, a: u64, rm: u64) -> None:
    """`floating.converted` from double to single."""
    mode = rounding(hart, rm)
    value = u64(float_convert(u32, a))
    if mode == RNE and float_equal(wide(SINGLE, value), a):
        leave(hart, SINGLE, value)
        return
    value, flags = convert_format(DOUBLE, SINGLE, a, mode)
    accrue(hart, flags)
    leave(hart, SINGLE, value)


@native(cold=True)
def fallback_widened(hart: Hart, a: u64, rm: u64) -> None:
    """`floating.converted` from single to double."""
    value, flags = convert_format(SINGLE, DOUBLE, a, rounding(hart, rm))
    accrue(hart, flags)
    leave(hart, DOUBLE, value)


def bound_of(fmt: Format, kind: type[Fixed]) -> int:
    """The least power of two whose number does not fit a `kind`, or an i64."""
    return (fmt.bias + min(kind.bits - kind.signed, 63)) << fmt.fraction


@native(inline=True)
def within(fmt: Format, kind: type[Fixed], x: u64) -> bool:
    """Whether a number without its fraction fits a `kind`, and an i64 too."""
    return (x & fmt.magnitude if kind.signed else x) < bound_of(fmt, kind)


@native(inline=True)
def truncated(fmt: Format, kind: type[Fixed], x: u64) -> u64:
    """A number that is `within` a kind, without its fraction, as the 64 bits of an i64."""
    if kind is i32:
        return u64(i64(float_truncated(i32, kind_of(fmt)(x))))
    else:
        return u64(float_truncated(i64, kind_of(fmt)(x)))


@native(inline=True)
def whole(fmt: Format, x: u64, value: u64) -> bool:
    """Whether `value`, a number without its fraction, is all of it."""
    return float_equal(float_of(kind_of(fmt), i64(value)), kind_of(fmt)(x))


@native(cold=True)
def fallback_integer(hart: Hart, fmt: Format, kind: type[Fixed], x: u64, rm: u64) -> u64:
    """`floating.integer` of an unboxed operand."""
    mode = rounding(hart, rm)
    value = u64(0)
    if within(fmt, kind, x):
        value = truncated(fmt, kind, x)
        if whole(fmt, x, value):
            return sext32(value) if kind.bits == 32 else value
    value, flags = to_integer(fmt, kind, x, mode)
    accrue(hart, flags)
    return sext32(value) if kind.bits == 32 else value


@native(cold=True)
def fallback_floating(hart: Hart, fmt: Format, kind: type[Fixed], value: u64, rm: u64) -> None:
    """`floating.floating`."""
    mode = rounding(hart, rm)
    number = u64(kind(value))
    if (number + fmt.hidden if kind.signed else number) < 2 * fmt.hidden:
        leave(hart, fmt, u64(float_of(kind_of(fmt), i64(number))))
        return
    bits, flags = (from_signed if kind.signed else from_unsigned)(fmt, number, mode)
    accrue(hart, flags)
    leave(hart, fmt, bits)
