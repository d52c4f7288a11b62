"""Zifencei, instruction-fetch fence (unprivileged spec, chapter 6)."""

from __future__ import annotations

from ringzero.isa.hart import CODE, Hart
from ringzero.isa.instruction import SYSTEM, insn


@insn("fence.i", "imm[11:0] rs1 001 rd 0001111", extension="Zifencei", kind=SYSTEM)
def fence_i(hart: Hart) -> None:
    """Later fetches see earlier stores: engines drop code that they translated."""
    hart.changes = hart.changes | CODE
