"""Traps: their causes, how one is raised in instruction text, and how a hart takes it.

An instruction raises with `raise page_fault(hart, address, STORE)`; the engine catches `Trap`
and calls `take_trap` with `hart.cause` and `hart.tval`. Interrupts come from `pending_interrupt`.
"""

from __future__ import annotations

from ringzero.isa.hart import INTERRUPTS, TRANSLATION, Hart, M, S
from ringzero.isa.ports import now
from ringzero.lang import Raised, ctz, native, u64

FETCH_MISALIGNED = 0
FETCH_ACCESS = 1
ILLEGAL_INSTRUCTION = 2
BREAKPOINT = 3
LOAD_MISALIGNED = 4
LOAD_ACCESS = 5
STORE_MISALIGNED = 6
STORE_ACCESS = 7
ECALL_FROM_U = 8
ECALL_FROM_S = 9
ECALL_FROM_M = 11
FETCH_PAGE = 12
LOAD_PAGE = 13
STORE_PAGE = 15

CAUSES = {
    FETCH_MISALIGNED: "instruction address misaligned",
    FETCH_ACCESS: "instruction access fault",
    ILLEGAL_INSTRUCTION: "illegal instruction",
    BREAKPOINT: "breakpoint",
    LOAD_MISALIGNED: "load address misaligned",
    LOAD_ACCESS: "load access fault",
    STORE_MISALIGNED: "store address misaligned",
    STORE_ACCESS: "store access fault",
    ECALL_FROM_U: "environment call from U-mode",
    ECALL_FROM_S: "environment call from S-mode",
    ECALL_FROM_M: "environment call from M-mode",
    FETCH_PAGE: "instruction page fault",
    LOAD_PAGE: "load page fault",
    STORE_PAGE: "store page fault",
}

INTERRUPT = 1 << 63  # the top bit of a cause

SSI, MSI, STI, MTI, SEI, MEI = 1, 3, 5, 7, 9, 11
INTERRUPT_NAMES = {
    SSI: "supervisor software interrupt",
    MSI: "machine software interrupt",
    STI: "supervisor timer interrupt",
    MTI: "machine timer interrupt",
    SEI: "supervisor external interrupt",
    MEI: "machine external interrupt",
}
PRIORITY = (MEI, MSI, MTI, SEI, SSI, STI)  # highest first (privileged spec 3.1.9)

FETCH, LOAD, STORE = 0, 1, 2  # kinds of access; STORE includes every amo and sc

STATUS_SIE, STATUS_MIE, STATUS_SPIE, STATUS_MPIE = 1 << 1, 1 << 3, 1 << 5, 1 << 7
STATUS_SPP, STATUS_MPP = 1 << 8, 3 << 11
STATUS_FS = 3 << 13
STCE = 1 << 63  # menvcfg: stimecmp drives mip.STIP


class Trap(Raised):
    """A synchronous trap on its way; `hart.cause` and `hart.tval` say which."""


@native
def exception(hart: Hart, cause: u64, tval: u64) -> Trap:
    """Any synchronous trap."""
    hart.cause = cause
    hart.tval = tval
    return Trap()


@native
def illegal_instruction(hart: Hart) -> Trap:
    """Illegal instruction; the engine puts the instruction word into tval."""
    hart.cause = ILLEGAL_INSTRUCTION
    hart.tval = 0
    return Trap()


@native
def page_fault(hart: Hart, address: u64, access: int) -> Trap:
    """No translation of `address` permits this access."""
    hart.cause = (FETCH_PAGE, LOAD_PAGE, STORE_PAGE)[access]
    hart.tval = address
    return Trap()


@native
def access_fault(hart: Hart, address: u64, access: int) -> Trap:
    """PMP forbids the access, or nothing answers at the physical address."""
    hart.cause = (FETCH_ACCESS, LOAD_ACCESS, STORE_ACCESS)[access]
    hart.tval = address
    return Trap()


@native
def misaligned(hart: Hart, address: u64, access: int) -> Trap:
    """The access has to be naturally aligned and is not."""
    hart.cause = (FETCH_MISALIGNED, LOAD_MISALIGNED, STORE_MISALIGNED)[access]
    hart.tval = address
    return Trap()


@native(inline=True)
def require_fp(hart: Hart) -> None:
    """Floating-point instructions are illegal while mstatus.FS is Off (privileged spec 3.1.6.6)."""
    if hart.mstatus & STATUS_FS == 0:
        raise illegal_instruction(hart)


@native(inline=True)
def dirty_fp(hart: Hart) -> None:
    """mstatus.FS becomes Dirty: an f register or fcsr was written."""
    hart.mstatus = hart.mstatus | STATUS_FS


@native
def interrupts_pending(hart: Hart) -> u64:
    """mip as an instruction reads it: stored bits, device lines, and stimecmp's STIP."""
    pending = hart.mip | hart.lines
    if hart.menvcfg & STCE != 0:
        pending = pending & ~(1 << STI)
        if now(hart) >= hart.stimecmp:
            pending = pending | (1 << STI)
    return pending


@native
def pending_interrupt(hart: Hart) -> u64:
    """The cause (with its top bit) of the interrupt to take now, or zero."""
    ready = interrupts_pending(hart) & hart.mie
    if ready == 0:
        return 0
    chosen = u64(0)
    if hart.mode < M or hart.mstatus & STATUS_MIE != 0:
        chosen = ready & ~hart.mideleg
    if chosen == 0 and (hart.mode < S or (hart.mode == S and hart.mstatus & STATUS_SIE != 0)):
        chosen = ready & hart.mideleg
    if chosen == 0:
        return 0
    for number in PRIORITY:
        if chosen & (1 << number) != 0:
            return INTERRUPT | number
    return INTERRUPT | ctz(chosen)


@native
def take_trap(hart: Hart, cause: u64, tval: u64, pc: u64) -> None:
    """Enter the handler for a trap at `pc` (privileged spec 3.1.6.1, 3.1.7, 3.1.8)."""
    delegated = hart.medeleg
    if cause & INTERRUPT != 0:
        delegated = hart.mideleg
    if hart.mode <= S and (delegated >> (cause & 63)) & 1 != 0:
        hart.scause = cause
        hart.sepc = pc
        hart.stval = tval
        status = hart.mstatus & ~(STATUS_SPP | STATUS_SPIE | STATUS_SIE)
        status = status | (hart.mode << 8) | ((hart.mstatus & STATUS_SIE) << 4)
        hart.mstatus = status
        hart.mode = S
        hart.pc = handler(hart.stvec, cause)
    else:
        hart.mcause = cause
        hart.mepc = pc
        hart.mtval = tval
        status = hart.mstatus & ~(STATUS_MPP | STATUS_MPIE | STATUS_MIE)
        status = status | (hart.mode << 11) | ((hart.mstatus & STATUS_MIE) << 4)
        hart.mstatus = status
        hart.mode = M
        hart.pc = handler(hart.mtvec, cause)
    hart.changes = hart.changes | (INTERRUPTS | TRANSLATION)


@native
def handler(tvec: u64, cause: u64) -> u64:
    """Where a trap vector sends a cause: vectored mode spreads interrupts only."""
    base = tvec & ~3
    if tvec & 1 != 0 and cause & INTERRUPT != 0:
        return base + ((cause & 63) << 2)
    return base
