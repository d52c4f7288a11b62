"""Each VM's serial port: the board's 16550 on the VM's own state, and the line to it.

Output goes to the console at once; input waits in a queue of 256 bytes until the port has room.
"""

from __future__ import annotations

from ringzero.board import uart
from ringzero.board.addresses import UART_SOURCE
from ringzero.hypervisor.devices import console, interrupts
from ringzero.hypervisor.vm.state import Vm
from ringzero.lang import native, u8, u64

QUEUE = 256


@native
def setup(vm: Vm) -> None:
    """The port after power-on."""
    uart.reset(vm.uart)


@native
def update(vm: Vm) -> None:
    """Input moves into the port as far as there is room; its interrupt line follows."""
    line = vm.line
    while line.used != 0 and uart.room(vm.uart) != 0:
        uart.arrive(vm.uart, u64(line.bytes[line.first]))
        line.first = line.first + 1 & QUEUE - 1
        line.used -= 1
    interrupts.set_level(vm, u64(UART_SOURCE), uart.interrupt(vm.uart))


@native(inline=False)
def receive(vm: Vm, byte: u8) -> None:
    """A byte for this guest; one too many is lost, as on a wire: see `full`."""
    line = vm.line
    if line.used < QUEUE:
        line.bytes[line.first + line.used & QUEUE - 1] = byte
        line.used += 1
    update(vm)


@native
def full(vm: Vm) -> bool:
    """Whether nothing more should come in; what the port gives back still has its place."""
    return vm.line.used + uart.FIFO_SIZE >= QUEUE


@native
def has_input(vm: Vm) -> bool:
    """Whether `take` has a byte for the guest."""
    return vm.uart.used != 0 or vm.line.used != 0


@native(inline=False)
def take(vm: Vm) -> u64:
    """The byte that came in first, for a guest that asks firmware for it."""
    byte = u64(0)
    if vm.uart.used != 0:
        byte = uart.take(vm.uart)
    elif vm.line.used != 0:  # the port is looped back
        byte = u64(vm.line.bytes[vm.line.first])
        vm.line.first = vm.line.first + 1 & QUEUE - 1
        vm.line.used -= 1
    update(vm)
    return byte


@native
def read(vm: Vm, offset: u64) -> u64:
    """A load from a register."""
    value = uart.read(vm.uart, offset)
    update(vm)
    return value


@native
def write(vm: Vm, offset: u64, value: u64) -> None:
    """A store of a byte to a register."""
    if uart.write(vm.uart, offset, value):
        console.write_for(vm, u8(value))
    if vm.uart.given_back != 0:
        wait_again(vm)
    update(vm)


@native(inline=False)
def wait_again(vm: Vm) -> None:
    """What the guest has emptied without reading it comes in later."""
    line = vm.line
    while vm.uart.given_back != 0:
        vm.uart.given_back -= 1
        if line.used < QUEUE:
            line.first = line.first - 1 & QUEUE - 1
            line.bytes[line.first] = u8(uart.withdrawn(vm.uart, vm.uart.given_back))
            line.used += 1
