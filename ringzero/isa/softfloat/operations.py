"""Arithmetic with the format fixed: the names that a compiled engine binds to host floating point.

A host version has the same signature; it may leave flags in the host's own sticky register and
return none, as long as whoever reads fcsr collects them.
"""

from __future__ import annotations

from ringzero.isa.softfloat.arithmetic import add, div, mul, sub
from ringzero.isa.softfloat.formats import DOUBLE, HALF, SINGLE
from ringzero.isa.softfloat.fused import mul_add
from ringzero.isa.softfloat.roots import sqrt
from ringzero.lang import native, u64


@native
def f16_add(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return add(HALF, a, b, rounding)


@native
def f16_sub(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return sub(HALF, a, b, rounding)


@native
def f16_mul(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return mul(HALF, a, b, rounding)


@native
def f16_div(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return div(HALF, a, b, rounding)


@native
def f16_sqrt(a: u64, rounding: u64) -> tuple[u64, u64]:
    return sqrt(HALF, a, rounding)


@native
def f16_mul_add(a: u64, b: u64, c: u64, rounding: u64) -> tuple[u64, u64]:
    return mul_add(HALF, a, b, c, rounding)


@native
def f32_add(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return add(SINGLE, a, b, rounding)


@native
def f32_sub(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return sub(SINGLE, a, b, rounding)


@native
def f32_mul(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return mul(SINGLE, a, b, rounding)


@native
def f32_div(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return div(SINGLE, a, b, rounding)


@native
def f32_sqrt(a: u64, rounding: u64) -> tuple[u64, u64]:
    return sqrt(SINGLE, a, rounding)


@native
def f32_mul_add(a: u64, b: u64, c: u64, rounding: u64) -> tuple[u64, u64]:
    return mul_add(SINGLE, a, b, c, rounding)


@native
def f64_add(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return add(DOUBLE, a, b, rounding)


@native
def f64_sub(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return sub(DOUBLE, a, b, rounding)


@native
def f64_mul(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return mul(DOUBLE, a, b, rounding)


@native
def f64_div(a: u64, b: u64, rounding: u64) -> tuple[u64, u64]:
    return div(DOUBLE, a, b, rounding)


@native
def f64_sqrt(a: u64, rounding: u64) -> tuple[u64, u64]:
    return sqrt(DOUBLE, a, rounding)


@native
def f64_mul_add(a: u64, b: u64, c: u64, rounding: u64) -> tuple[u64, u64]:
    return mul_add(DOUBLE, a, b, c, rounding)
