"""The console: an ns16550a, used without interrupts."""

from __future__ import annotations

from ringzero.board.addresses import UART_BASE
from ringzero.board.uart import (
    DATA,
    DATA_READY,
    EIGHT_BITS,
    FIFO_ON,
    IER,
    IIR_FCR,
    LCR,
    LSR,
    TRANSMITTER_EMPTY,
)
from ringzero.firmware.layout import shared
from ringzero.lang import atomic, load, native, store, u8, u64


@native
def setup() -> None:
    """Eight bits, no parity, FIFOs, no interrupts; the speed stays as it is."""
    store(u8, UART_BASE + IER, 0)
    store(u8, UART_BASE + LCR, EIGHT_BITS)
    store(u8, UART_BASE + IIR_FCR, FIFO_ON)


@native
def write(byte: u8) -> None:
    """Send one byte."""
    while load(u8, UART_BASE + LSR) & TRANSMITTER_EMPTY == 0:
        pass
    store(u8, UART_BASE + DATA, byte)


@native
def is_ready() -> bool:
    """Whether a byte has come in."""
    return load(u8, UART_BASE + LSR) & DATA_READY != 0


@native
def read() -> u8:
    """The byte that came in first."""
    return load(u8, UART_BASE + DATA)


@native
def take() -> None:
    """Keep other harts from mixing their text with ours."""
    while atomic("xchg", u64, shared.console_lock, 0, 1) != 0:
        pass


@native
def release() -> None:
    """Let other harts write to the console again."""
    atomic("xchg", u64, shared.console_lock, 0, 0)
