"""The board's UART, shared by the VMs: one has the focus and gets what is typed; all may write.

With several VMs, Ctrl-] is the escape: a digit moves the focus, `p` pauses or resumes the VM in
focus, `k` kills it, Ctrl-] itself goes through.
"""

from __future__ import annotations

from ringzero.bare.text import put, put_decimal
from ringzero.hypervisor.devices import uart
from ringzero.hypervisor.vm.state import (
    ABSENT,
    ESCAPE,
    KILL,
    PAUSE,
    PAUSED,
    PLIC,
    PREFIX,
    RESUME,
    STATES,
    UART,
    UART_SOURCE,
    Vm,
    config,
    machine,
    status,
    vms,
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


@native
def interrupt() -> None:
    """Bytes came in; a VM may wake."""
    machine.deadline = 0
    source = load(u32, CLAIM)
    while load(u8, UART + LINE_STATUS) & DATA_READY != 0:
        typed(load(u8, UART + DATA))
    if source != 0:
        store(u32, CLAIM, source)


@native
def typed(byte: u8) -> None:
    """One byte from whoever sits there."""
    if config.flags & ESCAPE != 0 and machine.escape == 0 and byte == ESCAPE_CHARACTER:
        machine.escape = 1
        return
    if machine.escape != 0 and byte != ESCAPE_CHARACTER:
        machine.escape = 0
        command(byte)
        return
    machine.escape = 0
    uart.receive(vms[machine.focus], byte)


@native(inline=False)
def command(byte: u8) -> None:
    """What follows the escape character."""
    chosen = machine.focus
    state = status[chosen]
    if 48 <= byte < 48 + 8 and status[u64(byte) - 48].state != ABSENT:
        chosen = u64(byte) - 48
        machine.focus = chosen
    elif byte == 112:  # p
        state.order = PAUSE
        if state.state == PAUSED:
            state.order = RESUME
    elif byte == 107:  # k
        state.order = KILL
    tell(chosen)


@native(inline=False)
def tell(index: u64) -> None:
    """A line about a VM."""
    put("\r\n[vm")
    put_decimal(index)
    put(" has the focus; it was ")
    for number in range(len(STATES)):
        if status[index].state == number:
            put(STATES[number])
    put("]\r\n")
    machine.column = 0
