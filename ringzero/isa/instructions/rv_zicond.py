"""Zicond, conditional zero (unprivileged spec, "Zicond" extension)."""

from __future__ import annotations

from ringzero.isa.instruction import insn
from ringzero.lang import u64


@insn("czero.eqz rd, rs1, rs2", "0000111 rs2 rs1 101 rd 0110011", extension="Zicond")
def czero_eqz(rs1: u64, rs2: u64) -> u64:
    """rs1, or zero if rs2 is zero."""
    return rs1 if rs2 != 0 else u64(0)


@insn("czero.nez rd, rs1, rs2", "0000111 rs2 rs1 111 rd 0110011", extension="Zicond")
def czero_nez(rs1: u64, rs2: u64) -> u64:
    """rs1, or zero if rs2 is not zero."""
    return rs1 if rs2 == 0 else u64(0)
