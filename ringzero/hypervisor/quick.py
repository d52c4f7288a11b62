"""The exits that matter: `sstatus` and `sfence.vma` are nine tenths of a Linux boot's.

`status_access` is the isa's meaning of one CSR, specialised; a test holds it against `csr_write` on
random states. What it cannot do at once it refuses, having changed nothing.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.hypervisor import shadow
from ringzero.hypervisor.entry import SWITCH_IN, SWITCH_OUT
from ringzero.hypervisor.layout import Vm, status
from ringzero.isa.hart import Hart, S
from ringzero.isa.trap import (
    ILLEGAL_INSTRUCTION,
    STATUS_FS,
    STATUS_SIE,
    STATUS_SPIE,
    STATUS_SPP,
)
from ringzero.lang import native, u64

SSTATUS = 0x100
VISIBLE = 0xC_6122
UXL, SD = 2 << 32, 1 << 63
HARMLESS = STATUS_SIE | STATUS_SPIE | STATUS_SPP  # no translation and no unit depends on these
SYSTEM, FENCE, FENCE_MASK = 0x73, 0x1200_0073, 0xFE00_7FFF
FENCES = 2  # in Status.instructions
KEPT = 3 << 3 | 3 << 8 | 0x3FF << 18  # gp, tp, s0 to s11: what quick_exit's return leaves alone


@native
def status_access(hart: Hart, word: u64, held: u64) -> bool:
    """A CSR instruction on sstatus, if all that changes is in HARMLESS.

    `held` says that an interrupt waits for SIE: setting it is then not harmless.
    """
    if hart.mode != S:
        return False
    field = word >> 15 & 31
    operand = field
    if word & (1 << 14) == 0:
        operand = hart.x[field]
    old = hart.mstatus & VISIBLE
    new = operand
    operation = word >> 12 & 3
    if operation == 2:
        new = old | operand
    elif operation == 3:
        new = old & ~operand
    elif operation == 0:
        return False
    changed = (new ^ old) & VISIBLE
    if changed & ~u64(HARMLESS) != 0:
        return False
    if held != 0 and changed & new & STATUS_SIE != 0:
        return False
    hart.mstatus = hart.mstatus ^ changed
    register = word >> 7 & 31
    if register != 0:
        value = old | UXL
        if old & STATUS_FS == STATUS_FS:
            value = value | SD
        hart.x[register] = value
    return True


@native
def quick_exit(vm: Vm, entered: u64) -> u64:
    """0: this exit is for `handle_exit`. 1: it is done. 2: done, and a register in KEPT changed."""
    hart = vm.hart
    vm.entered = entered
    hart.retired += entered - vm.resumed - SWITCH_IN
    hart.mstatus = hart.mstatus & ~u64(STATUS_FS) | csr.mstatus.read() & STATUS_FS
    if csr.mcause.read() != ILLEGAL_INSTRUCTION:
        return u64(0)
    word = csr.mtval.read()
    register = u64(0)
    if word >> 20 == SSTATUS and word & 0x7F == SYSTEM:
        if not status_access(hart, word, vm.attention):
            return u64(0)
        register = word >> 7 & 31
        tally = status[vm.index].csrs[SSTATUS]
    elif word & FENCE_MASK == FENCE and hart.mode == S:
        first, second = word >> 15 & 31, word >> 20 & 31
        which = u64(first != 0) | u64(second != 0) << 1
        shadow.fence(vm, hart.x[first], hart.x[second], which)
        tally = status[vm.index].instructions[FENCES]
    else:
        return u64(0)
    csr.mepc.write(csr.mepc.read() + 4)
    hart.retired += 1
    tally.count += 1
    tally.instructions += csr.minstret.read() - entered + (SWITCH_IN + SWITCH_OUT)
    return u64(1) + (u64(KEPT) >> register & 1)
