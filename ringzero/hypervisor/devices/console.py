"""The board's UART as what the VMs and the hypervisor write to; console_input.py is the way in."""

from __future__ import annotations

from ringzero.bare.text import put, put_decimal
from ringzero.board import plic, uart
from ringzero.board.addresses import PLIC_BASE, UART_BASE, UART_SOURCE
from ringzero.hypervisor.vm.state import PREFIX, Vm, config, machine
from ringzero.lang import load, native, store, u8, u32, u64

NEWLINE, RETURN = 10, 13


@native
def setup() -> None:
    """Eight bits, FIFOs, an interrupt for each byte that comes in, for machine mode."""
    store(u8, UART_BASE + uart.LCR, uart.EIGHT_BITS)
    store(u8, UART_BASE + uart.IIR_FCR, uart.FIFO_ON)
    store(u8, UART_BASE + uart.IER, uart.RECEIVED)
    store(u32, PLIC_BASE + 4 * UART_SOURCE, 1)
    store(u32, PLIC_BASE + plic.ENABLE, 1 << UART_SOURCE)
    store(u32, PLIC_BASE + plic.CONTEXT + plic.THRESHOLD, 0)


@native
def write(byte: u8) -> None:
    """Send one byte."""
    while load(u8, UART_BASE + uart.LSR) & uart.TRANSMITTER_EMPTY == 0:
        pass
    store(u8, UART_BASE + uart.DATA, byte)


@native(inline=False)
def name(index: u64) -> None:
    """Say whose the text after this is."""
    put("[vm")
    put_decimal(index)
    put("] ")


@native
def write_for(vm: Vm, byte: u8) -> None:
    """A byte from a guest. Several guests' lines are kept apart, and marked if that is wanted."""
    if config.flags & PREFIX != 0:
        if machine.speaker != vm.index + 1 and machine.column != 0:
            write(RETURN)
            write(NEWLINE)
            machine.column = 0
        machine.speaker = vm.index + 1
        if machine.column == 0 and byte != NEWLINE and byte != RETURN:
            name(vm.index)
        if byte == NEWLINE:
            machine.column = 0
        elif byte != RETURN:
            machine.column = 1
    write(byte)
