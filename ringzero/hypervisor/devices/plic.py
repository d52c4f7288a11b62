"""Each VM's own interrupt controller (RISC-V PLIC 1.0), as `virt` has it: source 10 is the UART.

Context 0 would be the machine mode that the guest does not have; context 1 is its supervisor.
"""

from __future__ import annotations

from ringzero.hypervisor.vm.state import UART_SOURCE, Vm
from ringzero.isa.privileged.trap import SEI
from ringzero.lang import native, u64

PENDING, ENABLE, THRESHOLD, CLAIM = 0x1000, 0x2080, 0x20_1000, 0x20_1004
SIZE = 0x60_0000
SEIP = 1 << SEI


@native
def set_level(vm: Vm, source: u64, high: bool) -> None:
    """A device's line; there is one source, so its level is all there is to keep."""
    vm.plic.level = u64(high)
    update(vm)


@native
def update(vm: Vm) -> None:
    """The hart's line: a source that is pending, enabled, and above the threshold."""
    plic = vm.plic
    ready = plic.level != 0 and plic.claimed == 0 and plic.priority > plic.threshold
    vm.hart.lines = vm.hart.lines & ~u64(SEIP)
    if ready and plic.enabled & (1 << UART_SOURCE) != 0:
        vm.hart.lines = vm.hart.lines | SEIP


@native
def read(vm: Vm, offset: u64) -> u64:
    """A register."""
    plic = vm.plic
    value = u64(0)
    if offset == 4 * UART_SOURCE:
        value = plic.priority
    elif offset == PENDING:
        value = (plic.level & ~plic.claimed) << UART_SOURCE
    elif offset == ENABLE:
        value = plic.enabled
    elif offset == THRESHOLD:
        value = plic.threshold
    elif offset == CLAIM:
        enabled = plic.enabled & (1 << UART_SOURCE) != 0
        if plic.level != 0 and plic.claimed == 0 and plic.priority != 0 and enabled:
            plic.claimed = 1
            value = u64(UART_SOURCE)
            update(vm)
    return value


@native
def write(vm: Vm, offset: u64, value: u64) -> None:
    """A register."""
    plic = vm.plic
    if offset == 4 * UART_SOURCE:
        plic.priority = value & 7
    elif offset == ENABLE:
        plic.enabled = value & ~u64(1)
    elif offset == THRESHOLD:
        plic.threshold = value & 7
    elif offset == CLAIM and value == UART_SOURCE:
        plic.claimed = 0
    update(vm)
