"""Rounding and flags inside a region.

A region with an operation of dynamic rounding runs while frm is RNE, so that no operation has to
look; CSR instructions inside may read fcsr and its parts, and write fflags, but not frm. (Long
doubles are made of integers by code that reads frm and sets fflags in every operation.)
Instructions with a reserved mode in rm, which would trap, are not inside either.
"""

from __future__ import annotations

from ringzero.engine.native.floats import host as host_floats
from ringzero.isa import floating
from ringzero.isa.csr import read_csr, write_csr
from ringzero.isa.csrs import registry as csrs
from ringzero.isa.csrs.user import fcsr, fflags, frm
from ringzero.isa.floating import DYNAMIC
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import Instruction
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


@native(inline=True)
def csr_read(hart: Hart, number: u64) -> u64:
    """See `isa.csrs.csr_read`, of what `holds` admits; FS is not Off in a region with floats."""
    if number == fflags.first:
        return read_csr(hart, fflags, number)
    return read_csr(hart, frm, number) if number == frm.first else read_csr(hart, fcsr, number)


@native(inline=True)
def csr_write(hart: Hart, number: u64, value: u64) -> None:
    """See `isa.csrs.csr_write`, of what `holds` admits."""
    write_csr(hart, fflags, number, value)


def holds(one: Instruction, number: int, source: int) -> bool:
    """Whether regions hold a CSR instruction: `source` is its rs1, a register or a number."""
    if one.extension != "Zicsr" or number not in (fflags.first, frm.first, fcsr.first):
        return False
    reads_only = source == 0 and not one.name.startswith("csrrw")
    return reads_only or number == fflags.first


BIND: dict[Native, Native] = {
    **host_floats.BIND,
    floating.rounding: rounding,
    host_floats.settled: settled,
    csrs.csr_read: csr_read,
    csrs.csr_write: csr_write,
}
