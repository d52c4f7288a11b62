"""The exits that matter: `sstatus` and `sfence.vma` are nine tenths of a Linux boot's.

`status_access` is the isa's meaning of one CSR, specialised; a test holds it against `csr_write` on
random states. What it cannot do at once it refuses, having changed nothing.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.hypervisor.dispatch import accounting, cache_blocks, enter
from ringzero.hypervisor.dispatch.sensitive import (
    AGAIN,
    DONE,
    FENCE,
    FENCE_MASK,
    FENCES,
    HARMLESS,
    RETURN,
    SD,
    SLOW,
    SRET,
    SSTATUS,
    SYSTEM,
    UXL,
)
from ringzero.hypervisor.shadow import entries, fences, guest_tables, roots
from ringzero.hypervisor.vm.state import EXCEPTIONS, INSTRUCTIONS, Vm
from ringzero.isa.csr import read_csr, write_csr
from ringzero.isa.csrs import supervisor as csrs_supervisor
from ringzero.isa.csrs.supervisor import VISIBLE
from ringzero.isa.hart import Hart, S, U
from ringzero.isa.instructions import rv_priv
from ringzero.isa.privileged.paging import STATUS_SUM
from ringzero.isa.privileged.trap import (
    ECALL_FROM_U,
    FETCH,
    FETCH_PAGE,
    ILLEGAL_INSTRUCTION,
    LOAD,
    LOAD_PAGE,
    STATUS_FS,
    STATUS_SIE,
    STORE_PAGE,
    Trap,
)
from ringzero.lang import native, u64

REGISTER = 31 << 3  # of a word shifted right by 4: 8 times rd
PLAIN = (csrs_supervisor.sscratch, csrs_supervisor.sepc, csrs_supervisor.scause,
         csrs_supervisor.stval)  # fmt: skip


@native
def status_access(hart: Hart, word: u64, floats: u64, held: u64, allowed: int) -> bool:
    """A CSR instruction on sstatus in virtual S, if all that changes is `allowed`.

    `floats` has FS, which the real hart keeps; the virtual one's is zero here. `held` says that an
    interrupt waits for SIE: setting it is then refused.
    """
    field = word >> 15 & 31
    operand = field
    if word & (1 << 14) == 0:
        operand = hart.x[field]
    old = hart.mstatus & VISIBLE | floats & STATUS_FS
    new = operand
    operation = word >> 12 & 3
    if operation == 2:
        new = old | operand
    elif operation == 3:
        new = old & ~operand
    elif operation == 0:
        return False
    changed = (new ^ old) & VISIBLE
    if changed & ~u64(allowed) != 0:
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


@native(inline=False)
def register_access(vm: Vm, word: u64) -> u64:
    """A CSR instruction on one of PLAIN, by the isa's reading and writing of that CSR."""
    hart, number = vm.hart, word >> 20
    register, field, operation = word >> 7 & 31, word >> 15 & 31, word >> 12 & 3
    if hart.mode != S or operation == 0:
        return u64(SLOW)
    operand = field
    if word & (1 << 14) == 0:
        operand = hart.x[field]
    for one in PLAIN:
        if number == one.first:
            old = read_csr(hart, one, number)
            if operation == 1:
                write_csr(hart, one, number, operand)
            elif field != 0:
                write_csr(hart, one, number, old | operand if operation == 2 else old & ~operand)
            if register != 0:
                hart.x[register] = old
            accounting.tell(vm, number, 1)
            return register << 3
    return u64(SLOW)


@native(inline=False)
def fence_shadows(vm: Vm, word: u64) -> u64:
    """sfence.vma in virtual S; nothing here sets mstatus.TVM."""
    if vm.hart.mode != S:
        return u64(SLOW)
    first, second = word >> 15 & 31, word >> 20 & 31
    address, space = vm.hart.x[first], vm.hart.x[second]
    accounting.tell(vm, u64(INSTRUCTIONS + FENCES), 1)
    if first == 0:
        fences.fence_all(vm, space, second != 0)
    elif not fences.fence_page(vm, address, space, second != 0):
        expect(vm, address)
    return u64(DONE)


@native
def expect(vm: Vm, address: u64) -> None:
    """Fill ahead for an address that the guest will use, as after a fence for one that no shadow
    has: it has just mapped it. The entry is made as for a load, so nothing is dirtied that the
    guest does not write.
    """
    try:
        guest_tables.translate_page(vm, address, LOAD)
    except Trap:
        return
    if guest_tables.is_open(vm, guest_tables.found.physical):
        entries.fill(vm, address, guest_tables.found)


@native(inline=False)
def page_fault(vm: Vm, cause: u64, address: u64) -> u64:
    """Most page faults only mean that the shadow has no copy of the guest's translation yet."""
    try:
        if cause == LOAD_PAGE:
            guest_tables.translate_page(vm, address, LOAD)
        elif cause == STORE_PAGE:
            cache_blocks.translate_store(vm, address)
        else:
            guest_tables.translate_page(vm, address, FETCH)
    except Trap:
        return u64(SLOW)
    if not guest_tables.is_open(vm, guest_tables.found.physical):
        vm.beside = 1
        return u64(SLOW)
    entries.fill(vm, address, guest_tables.found)
    accounting.tell(vm, EXCEPTIONS + cause, 0)
    return u64(AGAIN)


@native(inline=False)
def careful_status_exit(vm: Vm, word: u64, floats: u64) -> u64:
    """sstatus, where an interrupt may be held back, or SUM changes, as around each copy from or
    to a program: that takes another root only."""
    if vm.hart.mode != S:
        return u64(SLOW)
    if status_access(vm.hart, word, floats, vm.attention, HARMLESS | STATUS_SUM):
        accounting.count_status(vm)
        roots.select(vm)
        roots.use(vm)
        return word >> 4 & REGISTER
    return u64(SLOW)


@native(inline=False)
def change_mode(vm: Vm, calling: bool) -> u64:
    """A system call of a guest's program, or its kernel's sret: the other mode's root.

    The guest is entered over shadow tables; a technique that does more does it afterwards.
    """
    hart = vm.hart
    hart.mstatus = hart.mstatus | csr.mstatus.read() & STATUS_FS
    accounting.credit(vm)
    try:
        if calling:
            hart.pc = csr.mepc.read()
            enter.reflect(vm, u64(ECALL_FROM_U), u64(0))
            accounting.tell(vm, u64(EXCEPTIONS + ECALL_FROM_U), 0)
        else:
            rv_priv.sret.function(hart)
            accounting.tell(vm, u64(INSTRUCTIONS + RETURN), 1)
    except Trap:
        return u64(SLOW)
    enter.enter(vm)
    return u64(AGAIN)


@native(inline=False)
def other_exit(vm: Vm, cause: u64, value: u64) -> u64:
    """An exit for something else than sstatus."""
    if cause == ILLEGAL_INSTRUCTION:
        if value & 0x7F != SYSTEM:
            return u64(SLOW)
        if value & FENCE_MASK == FENCE:
            return fence_shadows(vm, value)
        if value == SRET and vm.hart.mode == S:
            return change_mode(vm, False)
        return register_access(vm, value)
    if cause == LOAD_PAGE or cause == STORE_PAGE or cause == FETCH_PAGE:
        return page_fault(vm, cause, value)
    if cause == ECALL_FROM_U and vm.hart.mode == U:
        return change_mode(vm, True)
    return u64(SLOW)


@native(inline=True)
def answer(vm: Vm, cause: u64, value: u64, state: u64) -> u64:
    """What DONE, SLOW, AGAIN, or a register says."""
    if cause == ILLEGAL_INSTRUCTION and value >> 20 == SSTATUS and value & 0x7F == SYSTEM:
        if vm.plain != 0 and status_access(vm.hart, value, state, u64(0), HARMLESS):
            accounting.count_status(vm)
            return value >> 4 & REGISTER
        return careful_status_exit(vm, value, state)
    return other_exit(vm, cause, value)


@native
def quick_exit(vm: Vm, entered: u64, cause: u64, value: u64, state: u64) -> u64:
    """Answers an exit at once, if it can; the arguments are minstret, mcause, mtval, mstatus."""
    accounting.account(vm, entered)
    return answer(vm, cause, value, state)
