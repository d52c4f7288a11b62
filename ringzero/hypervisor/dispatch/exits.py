"""Why a guest stopped running, and what follows: the hypervisor's dispatch.

An exit ends with a virtual hart on which something was executed, or which took a trap; then it is
decided whose turn it is, interrupts are delivered, and that world is entered.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.hypervisor.devices import console_input
from ringzero.hypervisor.dispatch import accounting, emulate, enter, sbi
from ringzero.hypervisor.shadow import guest_tables
from ringzero.hypervisor.vm import scheduler, technique
from ringzero.hypervisor.vm.state import (
    CALLS,
    EXCEPTIONS,
    INSTRUCTIONS,
    INTERRUPTS,
    TALLIES,
    Vm,
    machine,
    status,
    vms,
)
from ringzero.isa.decode import decode
from ringzero.isa.hart import WAIT, S
from ringzero.isa.privileged.trap import (
    ECALL_FROM_U,
    FETCH,
    FETCH_PAGE,
    ILLEGAL_INSTRUCTION,
    INTERRUPT,
    LOAD,
    LOAD_PAGE,
    MEI,
    MTI,
    STATUS_FS,
    STATUS_MPP,
    STORE,
    STORE_PAGE,
    Trap,
    access_fault,
)
from ringzero.lang import address_of, native, u32, u64

NOTHING = TALLIES  # an exit that counts by its cause


@native
def system(vm: Vm, told: u64) -> u64:
    """An instruction that U-mode may not execute. `told` is mtval: the word, or zero."""
    hart, word, about = vm.hart, told, u64(NOTHING)
    pc = hart.pc
    try:
        if word == 0:
            word = emulate.instruction_at(hart)
        decode(u32(word), emulate.decoded)
        hart.pc = pc + u64(emulate.decoded.size)
        kind = emulate.execute_system(hart)
        about = INSTRUCTIONS + kind
        if kind == emulate.CSR:
            about = emulate.decoded.imm
        vm.emulated += 1
    except Trap:
        hart.pc = pc
        if hart.cause == ILLEGAL_INSTRUCTION:
            hart.tval = word
        enter.reflect(vm, hart.cause, hart.tval)
    if hart.changes & WAIT != 0:
        vm.waiting = 1
    return about


@native
def touch(vm: Vm, address: u64, access: int) -> u64:
    """A page fault that no shadow entry mends: emulate a device, or let the guest know."""
    hart, about = vm.hart, u64(NOTHING)
    try:
        if vm.beside == 0:  # quick_exit saw the guest's tables forbid it: let them say so
            guest_tables.translate_page(vm, address, access)
        if access == FETCH:
            raise access_fault(hart, address, FETCH)
        else:
            decode(u32(emulate.instruction_at(hart)), emulate.decoded)
            if access == LOAD:
                emulate.execute_load(hart, emulate.base(hart), address)
                about = u64(INSTRUCTIONS + emulate.READ)
            else:
                emulate.execute_store(hart, emulate.base(hart), address)
                about = u64(INSTRUCTIONS + emulate.WRITE)
            hart.pc += u64(emulate.decoded.size)
            vm.emulated += 1
    except Trap:
        if access == FETCH:
            enter.reflect_fetch(vm, hart.cause, hart.tval)
        else:
            enter.reflect(vm, hart.cause, hart.tval)
    vm.beside = 0
    return about


@native
def interrupt(cause: u64) -> None:
    """The machine's own interrupts: all are the hypervisor's."""
    number = cause & 63
    if number == MTI:
        scheduler.timer_struck()
    elif number == MEI:
        console_input.interrupt()
        scheduler.obey()


@native
def dispatch(vm: Vm, cause: u64, value: u64) -> u64:
    """Handle one exit; returns what it was about."""
    if cause & INTERRUPT != 0:
        interrupt(cause)
        return u64(NOTHING)
    if cause == ILLEGAL_INSTRUCTION:
        if csr.mstatus.read() & STATUS_FS == 0 and vm.hart.mstatus & STATUS_FS != 0:
            return u64(NOTHING)  # its kernel has just stored FS in its page: try again, under it
        return system(vm, value)
    if cause == FETCH_PAGE:
        return touch(vm, value, FETCH)
    if cause == LOAD_PAGE:
        return touch(vm, value, LOAD)
    if cause == STORE_PAGE:
        return touch(vm, value, STORE)
    if cause == ECALL_FROM_U and vm.hart.mode == S:
        return CALLS + sbi.answer_call(vm)
    enter.reflect(vm, cause, value)
    return u64(NOTHING)


@native
def handle_exit(vm: Vm) -> u64:
    """Everything that `quick_exit` did not answer; returns the Vm whose world to enter."""
    hart, cause, state = vm.hart, csr.mcause.read(), csr.mstatus.read()
    if state & STATUS_MPP != 0:  # it was our own
        scheduler.fail(cause, csr.mepc.read(), csr.mtval.read())
    hart.mstatus = hart.mstatus | state & STATUS_FS
    accounting.credit(vm)
    hart.pc = csr.mepc.read()
    technique.leave(vm)
    hart.changes = 0
    return go_on(vm, cause, dispatch(vm, cause, csr.mtval.read()))


@native
def go_on(vm: Vm, cause: u64, about: u64) -> u64:
    """Count an exit that was handled; returns the Vm whose world to enter, and enters it."""
    one = status[vm.index]
    if about == NOTHING:
        about = EXCEPTIONS + cause if cause & INTERRUPT == 0 else INTERRUPTS + (cause & 15)
    vm.tally = address_of(one.tallies[about])
    one.tallies[about].count += 1
    if machine.claimed != 0:  # as after a load from the port; by a call too, there may be room
        console_input.take()
    world = vms[scheduler.turn(vm)]
    technique.enter(world)
    return address_of(world)
