"""Zicbom and Zicboz, cache blocks (unprivileged spec, "CMO" extensions).

Which modes may use them menvcfg and senvcfg say: CBIE, CBCFE and CBZE (privileged spec 3.1.18,
4.1.10). Zicbop's prefetches are hints in the encoding of `ori x0`, and need nothing here.
"""

from __future__ import annotations

from ringzero.isa.access import CLEAN, FLUSH, INVALIDATE, cache_block, zero_block
from ringzero.isa.hart import Hart, M, U
from ringzero.isa.instruction import insn
from ringzero.isa.trap import illegal_instruction
from ringzero.lang import native, u64

CBIE, CBCFE, CBZE = 3 << 4, 1 << 6, 1 << 7
CBIE_FLUSH = 1 << 4  # CBIE's value for "inval may flush only"


@native(inline=True)
def permitted(hart: Hart) -> u64:
    """The envcfg bits that hold in the hart's mode: all of them in M."""
    if hart.mode == M:
        return ~u64(0)
    if hart.mode == U:
        return hart.menvcfg & hart.senvcfg
    return hart.menvcfg


@insn("cbo.inval (rs1)", "000000000000 rs1 010 00000 0001111", extension="Zicbom")
def cbo_inval(hart: Hart, rs1: u64) -> None:
    """Invalidate the block; a flush where a lower mode may not lose data."""
    if permitted(hart) & CBIE_FLUSH == 0:
        raise illegal_instruction(hart)
    cache_block(hart, rs1, INVALIDATE)


@insn("cbo.clean (rs1)", "000000000001 rs1 010 00000 0001111", extension="Zicbom")
def cbo_clean(hart: Hart, rs1: u64) -> None:
    """Write the block back."""
    if permitted(hart) & CBCFE == 0:
        raise illegal_instruction(hart)
    cache_block(hart, rs1, CLEAN)


@insn("cbo.flush (rs1)", "000000000010 rs1 010 00000 0001111", extension="Zicbom")
def cbo_flush(hart: Hart, rs1: u64) -> None:
    """Write the block back and invalidate it."""
    if permitted(hart) & CBCFE == 0:
        raise illegal_instruction(hart)
    cache_block(hart, rs1, FLUSH)


@insn("cbo.zero (rs1)", "000000000100 rs1 010 00000 0001111", extension="Zicboz")
def cbo_zero(hart: Hart, rs1: u64) -> None:
    """Zero the block."""
    if permitted(hart) & CBZE == 0:
        raise illegal_instruction(hart)
    zero_block(hart, rs1)
