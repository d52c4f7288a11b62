"""Zicbom and Zicboz, cache blocks (unprivileged spec, "CMO" extensions).

Which modes may use them menvcfg and senvcfg say: CBIE, CBCFE and CBZE (privileged spec 3.1.18,
4.1.10). Zicbop's prefetches are hints in the encoding of `ori x0`, and need nothing here.
"""

from __future__ import annotations

from ringzero.isa.footprint import ManagedBlock, ZeroedBlock
from ringzero.isa.hart import Hart, M, U
from ringzero.isa.instruction import insn
from ringzero.isa.privileged.access import CLEAN, FLUSH, INVALIDATE, cache_block, zero_block
from ringzero.isa.privileged.trap import illegal_instruction, virtual_instruction
from ringzero.lang import native, u64

CBIE, CBCFE, CBZE = 3 << 4, 1 << 6, 1 << 7
CBIE_FLUSH = 1 << 4  # CBIE's value for "inval may flush only"


@native(inline=True)
def require(hart: Hart, bits: int) -> None:
    """A bit of the envcfg registers that hold in the hart's mode must be set in each: none in M."""
    if hart.mode != M:
        own = hart.menvcfg
        if hart.mode == U and hart.virtual == 0:
            own = own & hart.senvcfg
        if own & bits == 0:
            raise illegal_instruction(hart)
        if hart.virtual != 0:
            require_for_guest(hart, bits)


@native(cold=True)
def require_for_guest(hart: Hart, bits: int) -> None:
    """henvcfg's for VS, and senvcfg's too for VU."""
    if hart.henvcfg & bits == 0 or (hart.mode == U and hart.senvcfg & bits == 0):
        raise virtual_instruction(hart)


@insn(
    "cbo.inval (rs1)",
    "000000000000 rs1 010 00000 0001111",
    extension="Zicbom",
    access=ManagedBlock(),
)
def cbo_inval(hart: Hart, rs1: u64) -> None:
    """Invalidate the block; a flush where a lower mode may not lose data."""
    require(hart, CBIE_FLUSH)
    cache_block(hart, rs1, INVALIDATE)


@insn(
    "cbo.clean (rs1)",
    "000000000001 rs1 010 00000 0001111",
    extension="Zicbom",
    access=ManagedBlock(),
)
def cbo_clean(hart: Hart, rs1: u64) -> None:
    """Write the block back."""
    require(hart, CBCFE)
    cache_block(hart, rs1, CLEAN)


@insn(
    "cbo.flush (rs1)",
    "000000000010 rs1 010 00000 0001111",
    extension="Zicbom",
    access=ManagedBlock(),
)
def cbo_flush(hart: Hart, rs1: u64) -> None:
    """Write the block back and invalidate it."""
    require(hart, CBCFE)
    cache_block(hart, rs1, FLUSH)


@insn(
    "cbo.zero (rs1)", "000000000100 rs1 010 00000 0001111", extension="Zicboz", access=ZeroedBlock()
)
def cbo_zero(hart: Hart, rs1: u64) -> None:
    """Zero the block."""
    require(hart, CBZE)
    zero_block(hart, rs1)
