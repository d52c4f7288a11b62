"""The console: an ns16550a, used without interrupts."""

from __future__ import annotations

from ringzero.board.addresses import UART_BASE
from ringzero.firmware.layout import shared
from ringzero.lang import atomic, load, native, store, u8, u64

DATA, INTERRUPT_ENABLE, FIFO_CONTROL, LINE_CONTROL, LINE_STATUS = 0, 1, 2, 3, 5
DATA_READY, TRANSMITTER_EMPTY = 0x01, 0x20
EIGHT_BITS, FIFOS_ON = 3, 1


@native
def setup() -> None:
    """Eight bits, no parity, FIFOs, no interrupts; the speed stays as it is."""
    store(u8, UART_BASE + INTERRUPT_ENABLE, 0)
    store(u8, UART_BASE + LINE_CONTROL, EIGHT_BITS)
    store(u8, UART_BASE + FIFO_CONTROL, FIFOS_ON)


@native
def write(byte: u8) -> None:
    """Send one byte."""
    while load(u8, UART_BASE + LINE_STATUS) & TRANSMITTER_EMPTY == 0:
        pass
    store(u8, UART_BASE + DATA, byte)


@native
def is_ready() -> bool:
    """Whether a byte has come in."""
    return load(u8, UART_BASE + LINE_STATUS) & DATA_READY != 0


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
    """Let them."""
    atomic("xchg", u64, shared.console_lock, 0, 0)
