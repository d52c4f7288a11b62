"""Rounding inside a region: known when it is entered, so no operation has to look at fcsr.frm.

A region with an operation of dynamic rounding runs while frm is RNE, which only SYSTEM instructions
change, and those are never inside. One with a reserved mode in rm, which would trap, is not either.
"""

from __future__ import annotations

from ringzero.engine import host_floats
from ringzero.isa import floating
from ringzero.isa.floating import DYNAMIC
from ringzero.isa.hart import Hart
from ringzero.isa.softfloat import NX, RMM, RNE
from ringzero.lang import Native, native, u64

MODES = (*range(RMM + 1), DYNAMIC)  # values of rm that regions hold


@native(inline=True)
def rounding(hart: Hart, rm: u64) -> u64:
    """See `isa.floating.rounding`."""
    return u64(RNE) if rm == DYNAMIC else rm


@native(inline=True)
def settled(hart: Hart, rm: u64) -> bool:
    """See `host_floats.settled`."""
    return rounding(hart, rm) == RNE and hart.fcsr & NX != 0


BIND: dict[Native, Native] = {
    **host_floats.BIND,
    floating.rounding: rounding,
    host_floats.settled: settled,
}
