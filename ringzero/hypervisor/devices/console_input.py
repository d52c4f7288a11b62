"""What is typed at the board's UART: it goes to the VM that has the focus.

With several VMs, Ctrl-] is the escape: a digit moves the focus, `p` pauses or resumes the VM in
focus, `k` kills it, Ctrl-] itself goes through.
"""

from __future__ import annotations

from ringzero.bare.text import put, put_decimal
from ringzero.board import plic, uart
from ringzero.board.addresses import PLIC_BASE, UART_BASE
from ringzero.hypervisor.devices import serial
from ringzero.hypervisor.vm.state import (
    ABSENT,
    ESCAPE,
    KILL,
    PAUSE,
    PAUSED,
    RESUME,
    STATES,
    config,
    machine,
    status,
    vms,
)
from ringzero.lang import load, native, store, u8, u32, u64

ESCAPE_CHARACTER = 0x1D
CLAIM = PLIC_BASE + plic.CONTEXT + plic.CLAIM  # context 0: this hart's machine mode


@native
def interrupt() -> None:
    """Bytes came in; a VM may wake."""
    machine.deadline = 0
    source = load(u32, CLAIM)
    if source != 0:
        machine.claimed = u64(source)
    take()


@native(inline=False)
def take() -> None:
    """Bytes that the VM in focus has room for; the others wait outside, where room has no end.

    Until all are taken the interrupt is not complete, and so does not come again. With several VMs
    nothing waits: the escape character has to come through.
    """
    while config.flags & ESCAPE != 0 or not serial.full(vms[machine.focus]):
        if load(u8, UART_BASE + uart.LSR) & uart.DATA_READY == 0:
            if machine.claimed != 0:
                store(u32, CLAIM, u32(machine.claimed))
            machine.claimed = 0
            return
        typed(load(u8, UART_BASE + uart.DATA))


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
    serial.receive(vms[machine.focus], byte)


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
