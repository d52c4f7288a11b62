"""Privileged instructions: calls and returns between modes, waiting, and fences of translation.

Privileged spec 3.3 (ecall, ebreak, mret, sret, wfi), 12.2.1 (sfence.vma), chapter 15 (Svinval).
"""

from __future__ import annotations

from ringzero.isa.hart import INTERRUPTS, TRANSLATION, WAIT, H, Hart, M, S, U
from ringzero.isa.instruction import SYSTEM, insn
from ringzero.isa.ports import fence_translation
from ringzero.isa.privileged.trap import (
    BREAKPOINT,
    ECALL_FROM_U,
    ECALL_FROM_VS,
    GUEST_SPV,
    STATUS_MIE,
    STATUS_MPIE,
    STATUS_MPP,
    STATUS_MPRV,
    STATUS_MPV,
    STATUS_SIE,
    STATUS_SPIE,
    STATUS_SPP,
    exception,
    illegal_instruction,
    virtual_instruction,
)
from ringzero.lang import native, u64

STATUS_TVM, STATUS_TW, STATUS_TSR = 1 << 20, 1 << 21, 1 << 22
GUEST_VTVM, GUEST_VTW, GUEST_VTSR = 1 << 20, 1 << 21, 1 << 22  # hstatus
ADDRESS_GIVEN, ASID_GIVEN = 1, 2  # fence_translation


@insn("ecall", "000000000000 00000 000 00000 1110011", extension="I", kind=SYSTEM)
def ecall(hart: Hart) -> None:
    """Call the environment: a trap whose cause tells the mode it came from."""
    if hart.virtual != 0 and hart.mode == S:
        raise exception(hart, ECALL_FROM_VS, 0)
    raise exception(hart, hart.mode + ECALL_FROM_U, 0)


@insn("ebreak", "000000000001 00000 000 00000 1110011", extension="I", kind=SYSTEM)
def ebreak(hart: Hart, pc: u64) -> None:
    """Call the debugger."""
    raise exception(hart, BREAKPOINT, pc)


@insn("mret", "0011000 00010 00000 000 00000 1110011", extension="Priv", kind=SYSTEM)
def mret(hart: Hart) -> None:
    """Return from a trap to M: to MPP's mode, at mepc."""
    if hart.mode != M:
        raise illegal_instruction(hart)
    status = hart.mstatus
    mode = (status >> 11) & 3
    virtual = (status >> 39) & 1
    enabled = (status & STATUS_MPIE) >> 4
    status = (status & ~(STATUS_MPP | STATUS_MPV | STATUS_MIE)) | STATUS_MPIE | enabled
    if mode != M:
        status = status & ~STATUS_MPRV
        hart.virtual = virtual
    hart.mstatus = status
    hart.mode = mode
    hart.pc = hart.mepc
    hart.changes = hart.changes | (INTERRUPTS | TRANSLATION)


@native
def require_supervisor(hart: Hart, trapped: int, guest_trapped: int) -> None:
    """What S-mode may do unless a bit of mstatus, or for VS-mode one of hstatus, forbids it."""
    if hart.virtual != 0:
        if hart.mode == U or hart.hstatus & guest_trapped != 0:
            raise virtual_instruction(hart)
    elif hart.mode == U or (hart.mode == S and hart.mstatus & trapped != 0):
        raise illegal_instruction(hart)


@insn("sret", "0001000 00010 00000 000 00000 1110011", extension="Priv", kind=SYSTEM)
def sret(hart: Hart) -> None:
    """Return from a trap to S: to SPP's mode, at sepc."""
    require_supervisor(hart, STATUS_TSR, GUEST_VTSR)
    if hart.virtual != 0:
        hart.mode = (hart.vsstatus >> 8) & 1
        hart.pc = hart.vsepc
        hart.vsstatus = after_return(hart.vsstatus)
    else:
        hart.mode = (hart.mstatus >> 8) & 1
        hart.pc = hart.sepc
        hart.mstatus = after_return(hart.mstatus) & ~STATUS_MPRV
        if hart.extensions & H != 0:
            hart.virtual = (hart.hstatus >> 7) & 1
            hart.hstatus = hart.hstatus & ~GUEST_SPV
    hart.changes = hart.changes | (INTERRUPTS | TRANSLATION)


@native
def after_return(status: u64) -> u64:
    """What sret makes of sstatus or vsstatus."""
    enabled = (status & STATUS_SPIE) >> 4
    return (status & ~(STATUS_SPP | STATUS_SIE)) | STATUS_SPIE | enabled


@insn("wfi", "0001000 00101 00000 000 00000 1110011", extension="Priv", kind=SYSTEM)
def wfi(hart: Hart) -> None:
    """Wait until an interrupt is pending and enabled in mie; the engine does the waiting."""
    if hart.mode != M and hart.mstatus & STATUS_TW != 0:
        raise illegal_instruction(hart)
    require_supervisor(hart, 0, GUEST_VTW)
    hart.changes = hart.changes | WAIT


@native
def fence_addresses(hart: Hart, address: u64, asid: u64, rs1_index: u64, rs2_index: u64) -> None:
    """Tell the engine which translations to forget."""
    which = u64(0)
    if rs1_index != 0:
        which = which | ADDRESS_GIVEN
    if rs2_index != 0:
        which = which | ASID_GIVEN
    fence_translation(hart, address, asid, which)


@insn("sfence.vma rs1, rs2", "0001001 rs2 rs1 000 00000 1110011", extension="Priv", kind=SYSTEM)
def sfence_vma(hart: Hart, rs1: u64, rs2: u64, rs1_index: u64, rs2_index: u64) -> None:
    """Later translations see earlier stores to page tables."""
    require_supervisor(hart, STATUS_TVM, GUEST_VTVM)
    fence_addresses(hart, rs1, rs2, rs1_index, rs2_index)


@insn("sinval.vma rs1, rs2", "0001011 rs2 rs1 000 00000 1110011", extension="Svinval", kind=SYSTEM)
def sinval_vma(hart: Hart, rs1: u64, rs2: u64, rs1_index: u64, rs2_index: u64) -> None:
    """sfence.vma without its ordering, which the two fences around it give."""
    require_supervisor(hart, STATUS_TVM, GUEST_VTVM)
    fence_addresses(hart, rs1, rs2, rs1_index, rs2_index)


@insn("sfence.w.inval", "0001100 00000 00000 000 00000 1110011", extension="Svinval", kind=SYSTEM)
def sfence_w_inval(hart: Hart) -> None:
    """Stores before it come before the sinval.vma after it; every store here is done at once."""
    require_supervisor(hart, 0, 0)


@insn("sfence.inval.ir", "0001100 00001 00000 000 00000 1110011", extension="Svinval", kind=SYSTEM)
def sfence_inval_ir(hart: Hart) -> None:
    """sinval.vma before it comes before translations after it."""
    require_supervisor(hart, 0, 0)
