"""Each VM's PLIC, and its line to the virtual hart: the board's text on the VM's own state."""

from __future__ import annotations

from ringzero.board import plic
from ringzero.hypervisor.vm.state import Vm
from ringzero.isa.privileged.trap import SEI
from ringzero.lang import native, u64

CONTEXTS = 2  # machine mode, which the guest has not, and its supervisor


@native
def setup(vm: Vm) -> None:
    """The controller has the contexts of one hart."""
    vm.plic.contexts = CONTEXTS


@native
def set_level(vm: Vm, source: u64, high: bool) -> None:
    """A device's line."""
    plic.set_level(vm.plic, source, high)
    update(vm)


@native
def update(vm: Vm) -> None:
    """The hart's line is what the controller says now."""
    vm.hart.lines = vm.hart.lines & ~u64(1 << SEI)
    if plic.interrupts(vm.plic, u64(plic.SUPERVISOR)):
        vm.hart.lines = vm.hart.lines | 1 << SEI


@native
def read(vm: Vm, offset: u64, width: u64) -> u64:
    """A load: registers are 32 bits wide."""
    if width != 4 or offset & 3 != 0:
        return u64(0)
    value = plic.read(vm.plic, offset)
    update(vm)
    return value


@native
def write(vm: Vm, offset: u64, width: u64, value: u64) -> None:
    """A store: registers are 32 bits wide."""
    if width == 4 and offset & 3 == 0:
        plic.write(vm.plic, offset, value & 0xFFFF_FFFF)
        update(vm)
