"""The way back into a guest over shadow tables, in three steps, and traps of the virtual hart."""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.hypervisor.shadow import roots
from ringzero.hypervisor.vm import life, scheduler, technique
from ringzero.hypervisor.vm.state import ENVIRONMENT, Vm, machine, status
from ringzero.isa.hart import S, U
from ringzero.isa.privileged.counters import TIME
from ringzero.isa.privileged.trap import (
    STATUS_FS,
    interrupts_pending,
    pending_interrupt,
    take_trap,
)
from ringzero.lang import native, u64


@native
def reflect(vm: Vm, cause: u64, value: u64) -> None:
    """The guest's own kernel handles this trap."""
    take_trap(vm.hart, cause, value, vm.hart.pc)
    technique.trap_taken(vm)
    status[vm.index].reflected[(cause & 15) + (cause >> 63 << 4)] += 1


@native
def reflect_fetch(vm: Vm, cause: u64, value: u64) -> None:
    """The same for a fetch that was refused; where the handler's own is, it would be for ever."""
    pc = vm.hart.pc
    reflect(vm, cause, value)
    if vm.hart.pc == pc:
        life.give_up(vm, cause)


@native(inline=True)
def deliver(vm: Vm) -> None:
    """Arm the machine's timer for the virtual hart, and deliver what is pending on it."""
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


@native(inline=True)
def use_shadows(vm: Vm) -> None:
    """Let the real hart translate as the virtual one does."""
    roots.select(vm)
    roots.use(vm)
    vm.plain = u64(vm.hart.mode == S and vm.attention == 0)


@native(inline=True)
def show_state(vm: Vm) -> None:
    """Floating-point state, what U-mode may do, and the pc of the real hart are the guest's."""
    hart = vm.hart
    csr.mstatus.clear(STATUS_FS)
    csr.mstatus.set(hart.mstatus & STATUS_FS)
    hart.mstatus = hart.mstatus & ~u64(STATUS_FS)  # the real hart keeps it now
    counters, environment = hart.mcounteren & TIME, hart.menvcfg & ENVIRONMENT
    if hart.mode == U:
        counters = counters & hart.scounteren
        environment = environment & hart.senvcfg
    csr.scounteren.write(counters)
    csr.senvcfg.write(environment)
    csr.mtvec.write(vm.vector)
    csr.mepc.write(hart.pc)


@native
def enter(vm: Vm) -> None:
    """Make the real hart the likeness of the virtual one, as every exit over shadow tables ends."""
    deliver(vm)
    use_shadows(vm)
    show_state(vm)
