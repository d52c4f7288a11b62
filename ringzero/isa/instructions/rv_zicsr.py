"""Zicsr, the instructions that read and write CSRs (unprivileged spec, chapter 7)."""

from __future__ import annotations

from ringzero.isa.csrs.registry import csr_read, csr_write
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import SYSTEM, insn
from ringzero.isa.privileged.trap import SEI, illegal_instruction
from ringzero.lang import native, u64

MIP = 0x344


@native
def modifiable(hart: Hart, csr: u64, old: u64) -> u64:
    """The value that set and clear start from: mip.SEIP without the device line (spec 3.1.9)."""
    if csr == MIP:
        return old & ~(hart.lines & ~hart.mip & (1 << SEI))
    return old


@native(inline=True)
def read_to_write(hart: Hart, csr: u64) -> u64:
    """The value that a write starts from; what is read-only is so before who reads is looked at."""
    if csr >> 10 == 3:
        raise illegal_instruction(hart)
    return csr_read(hart, csr)


@insn("csrrw rd, csr, rs1", "csr rs1 001 rd 1110011", extension="Zicsr", kind=SYSTEM)
def csrrw(hart: Hart, csr: u64, rs1: u64, rd_index: u64) -> u64:
    """Swap; a CSR whose value goes to x0 is not read."""
    old = u64(0)
    if rd_index != 0:
        old = read_to_write(hart, csr)
    csr_write(hart, csr, rs1)
    return old


@insn("csrrs rd, csr, rs1", "csr rs1 010 rd 1110011", extension="Zicsr", kind=SYSTEM)
def csrrs(hart: Hart, csr: u64, rs1: u64, rs1_index: u64) -> u64:
    """Read, and set bits; with x0 nothing is written."""
    if rs1_index == 0:
        return csr_read(hart, csr)
    old = read_to_write(hart, csr)
    csr_write(hart, csr, modifiable(hart, csr, old) | rs1)
    return old


@insn("csrrc rd, csr, rs1", "csr rs1 011 rd 1110011", extension="Zicsr", kind=SYSTEM)
def csrrc(hart: Hart, csr: u64, rs1: u64, rs1_index: u64) -> u64:
    """Read, and clear bits; with x0 nothing is written."""
    if rs1_index == 0:
        return csr_read(hart, csr)
    old = read_to_write(hart, csr)
    csr_write(hart, csr, modifiable(hart, csr, old) & ~rs1)
    return old


@insn("csrrwi rd, csr, uimm", "csr uimm[4:0] 101 rd 1110011", extension="Zicsr", kind=SYSTEM)
def csrrwi(hart: Hart, csr: u64, uimm: u64, rd_index: u64) -> u64:
    """Swap with a small number."""
    old = u64(0)
    if rd_index != 0:
        old = read_to_write(hart, csr)
    csr_write(hart, csr, uimm)
    return old


@insn("csrrsi rd, csr, uimm", "csr uimm[4:0] 110 rd 1110011", extension="Zicsr", kind=SYSTEM)
def csrrsi(hart: Hart, csr: u64, uimm: u64) -> u64:
    """Read, and set low bits; with zero nothing is written."""
    if uimm == 0:
        return csr_read(hart, csr)
    old = read_to_write(hart, csr)
    csr_write(hart, csr, modifiable(hart, csr, old) | uimm)
    return old


@insn("csrrci rd, csr, uimm", "csr uimm[4:0] 111 rd 1110011", extension="Zicsr", kind=SYSTEM)
def csrrci(hart: Hart, csr: u64, uimm: u64) -> u64:
    """Read, and clear low bits; with zero nothing is written."""
    if uimm == 0:
        return csr_read(hart, csr)
    old = read_to_write(hart, csr)
    csr_write(hart, csr, modifiable(hart, csr, old) & ~uimm)
    return old
