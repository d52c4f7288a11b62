"""Floating point in pieces: the host's own, where it is the architecture's bit for bit.

Everything else, which `host_floats` gives to `exact`, goes to the interpreter, as does a
reserved rounding mode; so a piece calls nothing.
"""

from __future__ import annotations

from ringzero.engine.native.compiler.piece_access import missed
from ringzero.engine.native.floats import exact
from ringzero.engine.native.floats import host as host_floats
from ringzero.isa import floating
from ringzero.isa.floating import DYNAMIC
from ringzero.isa.hart import Hart
from ringzero.isa.softfloat import RNE, Format
from ringzero.lang import Fixed, Native, native, u64


@native(inline=True)
def one(hart: Hart, fmt: Format, operation: Native, a: u64, rm: u64) -> None:
    """See `exact.fallback_one`."""
    raise missed()


@native(inline=True)
def two(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64, rm: u64) -> None:
    """See `exact.fallback_two`."""
    raise missed()


@native(inline=True)
def fused(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64, c: u64, rm: u64) -> None:
    """See `exact.fallback_fused`."""
    raise missed()


@native(inline=True)
def compared(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64) -> u64:
    """See `host_floats.fallback_compared`."""
    raise missed()


@native(inline=True)
def chosen(hart: Hart, fmt: Format, operation: Native, a: u64, b: u64) -> None:
    """See `host_floats.fallback_chosen`."""
    raise missed()


@native(inline=True)
def resized(hart: Hart, a: u64, rm: u64) -> None:
    """See `exact.fallback_narrowed` and `fallback_widened`."""
    raise missed()


@native(inline=True)
def integer(hart: Hart, fmt: Format, kind: type[Fixed], a: u64, rm: u64) -> u64:
    """See `exact.fallback_integer`."""
    raise missed()


@native(inline=True)
def made(hart: Hart, fmt: Format, kind: type[Fixed], value: u64, rm: u64) -> None:
    """See `exact.fallback_floating`."""
    raise missed()


@native(inline=True)
def rounding(hart: Hart, rm: u64) -> u64:
    """See `isa.floating.rounding`; pieces round to nearest even only."""
    mode = (hart.fcsr >> floating.FRM) & 7 if rm == DYNAMIC else rm
    if mode != RNE:
        raise missed()
    return u64(RNE)


BIND: dict[Native, Native] = {
    **host_floats.BIND,
    exact.fallback_one: one,
    exact.fallback_two: two,
    exact.fallback_fused: fused,
    host_floats.fallback_compared: compared,
    host_floats.fallback_chosen: chosen,
    exact.fallback_narrowed: resized,
    exact.fallback_widened: resized,
    exact.fallback_integer: integer,
    exact.fallback_floating: made,
    floating.rounding: rounding,
}
