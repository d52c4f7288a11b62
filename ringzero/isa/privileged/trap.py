"""Traps: their causes, how one is raised in instruction text, and how a hart takes it.

An instruction raises with `raise page_fault(hart, address, STORE)`; the engine catches `Trap`
and calls `take_trap` with `hart.cause` and `hart.tval`. Interrupts come from `pending_interrupt`.
"""

from __future__ import annotations

from ringzero.isa.hart import INTERRUPTS, TRANSLATION, H, Hart, M, S
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
ECALL_FROM_VS = 10
ECALL_FROM_M = 11
FETCH_PAGE = 12
LOAD_PAGE = 13
STORE_PAGE = 15
FETCH_GUEST_PAGE = 20
LOAD_GUEST_PAGE = 21
VIRTUAL_INSTRUCTION = 22
STORE_GUEST_PAGE = 23

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
    ECALL_FROM_VS: "environment call from VS-mode",
    ECALL_FROM_M: "environment call from M-mode",
    FETCH_PAGE: "instruction page fault",
    LOAD_PAGE: "load page fault",
    STORE_PAGE: "store page fault",
    FETCH_GUEST_PAGE: "instruction guest-page fault",
    LOAD_GUEST_PAGE: "load guest-page fault",
    VIRTUAL_INSTRUCTION: "virtual instruction",
    STORE_GUEST_PAGE: "store guest-page fault",
}

INTERRUPT = 1 << 63  # the top bit of a cause

SSI, MSI, STI, MTI, SEI, MEI = 1, 3, 5, 7, 9, 11
VSSI, VSTI, VSEI, SGEI = 2, 6, 10, 12
INTERRUPT_NAMES = {
    SSI: "supervisor software interrupt",
    MSI: "machine software interrupt",
    STI: "supervisor timer interrupt",
    MTI: "machine timer interrupt",
    SEI: "supervisor external interrupt",
    MEI: "machine external interrupt",
    VSSI: "virtual supervisor software interrupt",
    VSTI: "virtual supervisor timer interrupt",
    VSEI: "virtual supervisor external interrupt",
    SGEI: "supervisor guest external interrupt",
}
PRIORITY = (MEI, MSI, MTI, SEI, SSI, STI, SGEI, VSEI, VSSI, VSTI)  # highest first (3.1.9, 21.4.2)

FETCH, LOAD, STORE = 0, 1, 2  # kinds of access; STORE includes every amo and sc

STATUS_SIE, STATUS_MIE, STATUS_SPIE, STATUS_MPIE = 1 << 1, 1 << 3, 1 << 5, 1 << 7
STATUS_SPP, STATUS_MPP = 1 << 8, 3 << 11
STATUS_FS = 3 << 13
STATUS_MPRV, STATUS_GVA, STATUS_MPV = 1 << 17, 1 << 38, 1 << 39
GUEST_GVA, GUEST_SPV, GUEST_SPVP = 1 << 6, 1 << 7, 1 << 8  # hstatus
STCE = 1 << 63  # menvcfg: stimecmp drives mip.STIP; henvcfg: vstimecmp drives VSTIP

# Causes whose tval is an address: of the instruction itself, or of the data it wanted
OF_FETCH = 1 << FETCH_MISALIGNED | 1 << FETCH_ACCESS | 1 << BREAKPOINT | 1 << FETCH_PAGE
OF_DATA = 0xF << LOAD_MISALIGNED | 1 << LOAD_PAGE | 1 << STORE_PAGE
OF_INSTRUCTION = 1 << ILLEGAL_INSTRUCTION | 1 << VIRTUAL_INSTRUCTION  # its word is the tval
OF_GUEST = 1 << FETCH_GUEST_PAGE | 1 << LOAD_GUEST_PAGE | 1 << STORE_GUEST_PAGE


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
def virtual_instruction(hart: Hart) -> Trap:
    """What HS-mode may do and this virtual mode may not; tval as for illegal instructions."""
    hart.cause = VIRTUAL_INSTRUCTION
    hart.tval = 0
    return Trap()


@native
def page_fault(hart: Hart, address: u64, access: int) -> Trap:
    """No translation of `address` permits this access."""
    hart.cause = (FETCH_PAGE, LOAD_PAGE, STORE_PAGE)[access]
    hart.tval = address
    return Trap()


@native
def guest_page_fault(hart: Hart, address: u64, access: int, physical: u64, tinst: u64) -> Trap:
    """The G-stage does not permit what an access to a guest virtual address needs."""
    hart.cause = (FETCH_GUEST_PAGE, LOAD_GUEST_PAGE, STORE_GUEST_PAGE)[access]
    hart.tval = address
    hart.tval2 = physical >> 2
    hart.tinst = tinst
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
def floats_usable(hart: Hart) -> bool:
    """FS is not Off, neither in mstatus nor, with V=1, in vsstatus (privileged spec 3.1.6.6)."""
    if hart.virtual != 0 and hart.vsstatus & STATUS_FS == 0:
        return False
    return hart.mstatus & STATUS_FS != 0


@native(inline=True)
def require_fp(hart: Hart) -> None:
    """Floating-point instructions are illegal while FS is Off."""
    if not floats_usable(hart):
        raise illegal_instruction(hart)


@native(inline=True)
def dirty_fp(hart: Hart) -> None:
    """FS becomes Dirty: an f register or fcsr was written."""
    hart.mstatus = hart.mstatus | STATUS_FS
    if hart.virtual != 0:
        hart.vsstatus = hart.vsstatus | STATUS_FS


@native
def interrupts_pending(hart: Hart) -> u64:
    """mip as an instruction reads it: stored bits, device lines, stimecmp's and vstimecmp's."""
    pending = hart.mip | hart.lines
    if hart.menvcfg & STCE != 0:
        time = now(hart)
        pending = pending & ~(1 << STI)
        if time >= hart.stimecmp:
            pending = pending | (1 << STI)
        if hart.henvcfg & STCE != 0 and time + hart.htimedelta >= hart.vstimecmp:
            pending = pending | (1 << VSTI)
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
    if chosen == 0 and below_supervisor(hart):
        chosen = ready & hart.mideleg & ~hart.hideleg
    if chosen == 0 and hart.virtual != 0 and (hart.mode < S or hart.vsstatus & STATUS_SIE != 0):
        chosen = ready & hart.hideleg
    if chosen == 0:
        return 0
    for number in PRIORITY:
        if chosen & (1 << number) != 0:
            return INTERRUPT | number
    return INTERRUPT | ctz(chosen)


@native
def below_supervisor(hart: Hart) -> bool:
    """Whether the hart takes interrupts that are S's (HS's) own."""
    if hart.virtual != 0 or hart.mode < S:
        return True
    return hart.mode == S and hart.mstatus & STATUS_SIE != 0


@native
def take_trap(hart: Hart, cause: u64, tval: u64, pc: u64) -> None:
    """Enter the handler for a trap at `pc` (privileged spec 3.1.6.1, 3.1.7, 3.1.8, 21.6)."""
    delegated = hart.medeleg
    further = hart.hedeleg
    if cause & INTERRUPT != 0:
        delegated = hart.mideleg
        further = hart.hideleg
    number = cause & 63
    if hart.mode > S or (delegated >> number) & 1 == 0:
        trap_to_machine(hart, cause, tval, pc)
    elif hart.virtual != 0 and (further >> number) & 1 != 0:
        trap_to_guest(hart, cause, tval, pc)
    else:
        trap_to_supervisor(hart, cause, tval, pc)
    hart.guest_access = 0
    hart.changes = hart.changes | (INTERRUPTS | TRANSLATION)


@native
def trap_to_machine(hart: Hart, cause: u64, tval: u64, pc: u64) -> None:
    """M-mode handles it."""
    status = hart.mstatus & ~(STATUS_MPP | STATUS_MPIE | STATUS_MIE)
    status = status | (hart.mode << 11) | ((hart.mstatus & STATUS_MIE) << 4)
    if hart.extensions & H != 0:
        status = status & ~(STATUS_MPV | STATUS_GVA)
        status = status | (hart.virtual << 39) | (u64(of_guest(hart, cause)) << 38)
        hart.mtval2 = second_value(cause, hart.tval2)
        hart.mtinst = second_value(cause, hart.tinst)
        hart.virtual = 0
    hart.mcause = cause
    hart.mepc = pc
    hart.mtval = tval
    hart.mstatus = status
    hart.mode = M
    hart.pc = handler(hart.mtvec, cause)


@native
def trap_to_supervisor(hart: Hart, cause: u64, tval: u64, pc: u64) -> None:
    """S-mode, HS-mode where there is H, handles it."""
    if hart.extensions & H != 0:
        status = hart.hstatus & ~(GUEST_SPV | GUEST_GVA)
        status = status | (hart.virtual << 7) | (u64(of_guest(hart, cause)) << 6)
        if hart.virtual != 0:
            status = (status & ~GUEST_SPVP) | (hart.mode << 8)
        hart.hstatus = status
        hart.htval = second_value(cause, hart.tval2)
        hart.htinst = second_value(cause, hart.tinst)
        hart.virtual = 0
    hart.scause = cause
    hart.sepc = pc
    hart.stval = tval
    hart.mstatus = supervisor_status(hart.mstatus, hart.mode)
    hart.mode = S
    hart.pc = handler(hart.stvec, cause)


@native
def trap_to_guest(hart: Hart, cause: u64, tval: u64, pc: u64) -> None:
    """VS-mode handles it, and knows its interrupts by the numbers that S-mode's have."""
    if cause & INTERRUPT != 0:
        cause = cause - 1
    hart.vscause = cause
    hart.vsepc = pc
    hart.vstval = tval
    hart.vsstatus = supervisor_status(hart.vsstatus, hart.mode)
    hart.mode = S
    hart.pc = handler(hart.vstvec, cause)


@native
def supervisor_status(status: u64, mode: u64) -> u64:
    """sstatus or vsstatus after a trap from a mode."""
    after = status & ~(STATUS_SPP | STATUS_SPIE | STATUS_SIE)
    return after | (mode << 8) | ((status & STATUS_SIE) << 4)


@native
def second_value(cause: u64, value: u64) -> u64:
    """What htval, htinst, mtval2 or mtinst becomes: zero but for guest-page faults."""
    if cause < 32 and (OF_GUEST >> cause) & 1 != 0:
        return value
    return 0


@native
def data_of_guest(hart: Hart) -> bool:
    """Whether loads and stores reach guest virtual addresses: by V, hlv and hsv, or MPRV."""
    if hart.guest_access != 0:
        return True
    if hart.mstatus & STATUS_MPRV != 0:
        return hart.mstatus & STATUS_MPV != 0 and hart.mstatus & STATUS_MPP != STATUS_MPP
    return hart.virtual != 0


@native
def of_guest(hart: Hart, cause: u64) -> bool:
    """GVA: whether the trap's tval is a guest virtual address."""
    if cause > 31:
        return False
    if (OF_DATA >> cause) & 1 != 0:
        return data_of_guest(hart)
    return (OF_GUEST >> cause) & 1 != 0 or (hart.virtual != 0 and (OF_FETCH >> cause) & 1 != 0)


@native
def handler(tvec: u64, cause: u64) -> u64:
    """Where a trap vector sends a cause: vectored mode spreads interrupts only."""
    base = tvec & ~3
    if tvec & 1 != 0 and cause & INTERRUPT != 0:
        return base + ((cause & 63) << 2)
    return base
