"""The board's UART as what the VMs and the hypervisor write to; console_input.py is the way in."""

from __future__ import annotations

from ringzero.bare.text import put, put_decimal
from ringzero.hypervisor.vm.state import (
    PLIC,
    PREFIX,
    UART,
    UART_SOURCE,
    Vm,
    config,
    machine,
)
from ringzero.lang import load, native, store, u8, u32, u64

DATA, INTERRUPT_ENABLE, FIFO_CONTROL, LINE_CONTROL, LINE_STATUS = 0, 1, 2, 3, 5
DATA_READY, TRANSMITTER_EMPTY = 0x01, 0x20
EIGHT_BITS, FIFOS_ON, RECEIVE = 3, 1, 1
NEWLINE, RETURN, ESCAPE_CHARACTER = 10, 13, 0x1D
CLAIM = PLIC + 0x20_0004  # context 0: this hart's machine mode


@native
def setup() -> None:
    """Eight bits, FIFOs, an interrupt for each byte that comes in."""
    store(u8, UART + LINE_CONTROL, EIGHT_BITS)
    store(u8, UART + FIFO_CONTROL, FIFOS_ON)
    store(u8, UART + INTERRUPT_ENABLE, RECEIVE)
    store(u32, PLIC + 4 * UART_SOURCE, 1)
    store(u32, PLIC + 0x2000, 1 << UART_SOURCE)
    store(u32, PLIC + 0x20_0000, 0)


@native
def write(byte: u8) -> None:
    """Send one byte."""
    while load(u8, UART + LINE_STATUS) & TRANSMITTER_EMPTY == 0:
        pass
    store(u8, UART + DATA, byte)


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
