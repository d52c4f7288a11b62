"""Why a guest stopped running, and what follows: the hypervisor's dispatch.

An exit ends with a virtual hart on which something was executed, or which took a trap; then it is
decided whose turn it is, interrupts are delivered, and that world is entered.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.hypervisor.devices import console
from ringzero.hypervisor.dispatch import emulate, fast, sbi
from ringzero.hypervisor.shadow import roots as shadow
from ringzero.hypervisor.techniques import HARDWARE, TRANSLATE
from ringzero.hypervisor.techniques.hardware import enter as hardware
from ringzero.hypervisor.techniques.paravirt import shared_page
from ringzero.hypervisor.techniques.translate import exits as translate
from ringzero.hypervisor.vm import scheduler
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
from ringzero.isa.hart import WAIT, S, U
from ringzero.isa.privileged.counters import TIME
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
    interrupts_pending,
    pending_interrupt,
    take_trap,
)
from ringzero.lang import address_of, native, u32, u64

NOTHING = TALLIES  # an exit that counts by its cause


@native
def reflect(vm: Vm, cause: u64, value: u64) -> None:
    """The guest's own kernel handles this trap."""
    take_trap(vm.hart, cause, value, vm.hart.pc)
    if vm.page != 0:
        shared_page.lend(vm)
    status[vm.index].reflected[(cause & 15) + (cause >> 63 << 4)] += 1


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
        reflect(vm, hart.cause, hart.tval)
    if hart.changes & WAIT != 0:
        vm.waiting = 1
    return about


@native
def touch(vm: Vm, address: u64, access: int) -> u64:
    """A page fault that no shadow entry mends: emulate a device, or let the guest know."""
    hart, about = vm.hart, u64(NOTHING)
    try:
        if vm.beside == 0:  # quick_exit saw the guest's tables forbid it: let them say so
            shadow.translate_page(vm, address, access)
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
        reflect(vm, hart.cause, hart.tval)
    vm.beside = 0
    return about


@native
def interrupt(cause: u64) -> None:
    """The machine's own interrupts: all are the hypervisor's."""
    number = cause & 63
    if number == MTI:
        scheduler.timer_struck()
    elif number == MEI:
        console.interrupt()
        scheduler.obey()


@native
def dispatch(vm: Vm, cause: u64, value: u64) -> u64:
    """Handle one exit; returns what it was about."""
    if cause & INTERRUPT != 0:
        interrupt(cause)
        return u64(NOTHING)
    if cause == ILLEGAL_INSTRUCTION:
        if (
            vm.page != 0
            and csr.mstatus.read() & STATUS_FS == 0
            and vm.hart.mstatus & STATUS_FS != 0
        ):
            return u64(NOTHING)  # its kernel has just stored FS: try again, under it
        return system(vm, value)
    if cause == FETCH_PAGE:
        return touch(vm, value, FETCH)
    if cause == LOAD_PAGE:
        return touch(vm, value, LOAD)
    if cause == STORE_PAGE:
        return touch(vm, value, STORE)
    if cause == ECALL_FROM_U and vm.hart.mode == S:
        return CALLS + sbi.answer_call(vm)
    reflect(vm, cause, value)
    return u64(NOTHING)


@native
def credit(vm: Vm) -> None:
    """The instructions since the last time are the guest's user's, or its kernel's."""
    fast.count_retired(vm)
    gained = vm.hart.retired - vm.counted
    vm.counted = vm.hart.retired
    status[vm.index].fills = vm.fills
    if vm.hart.mode == U:
        status[vm.index].user += gained
    else:
        status[vm.index].kernel += gained


@native
def handle_exit(vm: Vm) -> u64:
    """Everything that `quick_exit` did not answer; returns the Vm whose world to enter."""
    hart, cause, state = vm.hart, csr.mcause.read(), csr.mstatus.read()
    if state & STATUS_MPP != 0:  # it was our own
        scheduler.fail(cause, csr.mepc.read(), csr.mtval.read())
    hart.mstatus = hart.mstatus | state & STATUS_FS
    credit(vm)
    hart.pc = csr.mepc.read()
    if vm.page != 0:
        shared_page.pull(vm)
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
    world = vms[scheduler.turn(vm)]
    enter_world(world)
    return address_of(world)


@native
def enter_world(vm: Vm) -> None:
    """Make the real hart the virtual one's likeness, in the way of the VM's technique."""
    if vm.technique == HARDWARE:
        hardware.enter(vm)
    else:
        enter(vm)


@native
def enter(vm: Vm) -> None:
    """Deliver what is pending on the virtual hart, and make the real one its likeness."""
    hart = vm.hart
    if machine.deadline == 0 or vm.armed != hart.stimecmp:
        scheduler.arm_timer()
        vm.armed = hart.stimecmp
    vm.attention = 0
    if interrupts_pending(hart) & hart.mie != 0:
        cause = pending_interrupt(hart)
        if cause != 0:
            reflect(vm, cause, u64(0))
        vm.attention = u64(interrupts_pending(hart) & hart.mie != 0)
    shadow.select(vm)
    shadow.use(vm)
    vm.plain = u64(hart.mode == S and vm.attention == 0)
    if vm.page != 0:
        shared_page.push(vm)
    csr.mstatus.clear(STATUS_FS)
    csr.mstatus.set(hart.mstatus & STATUS_FS)
    hart.mstatus = hart.mstatus & ~u64(STATUS_FS)  # the real hart keeps it now
    counters, environment = hart.mcounteren & TIME, hart.menvcfg & shared_page.ENVIRONMENT
    if hart.mode == U:
        counters = counters & hart.scounteren
        environment = environment & hart.senvcfg
    csr.scounteren.write(counters)
    csr.senvcfg.write(environment)
    csr.mtvec.write(vm.vector)
    csr.mepc.write(hart.pc)
    if vm.technique == TRANSLATE:
        translate.enter(vm)
