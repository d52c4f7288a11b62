"""ns16550a: the serial port, with FIFOs, loopback and the interrupts that Linux's 8250 driver uses.

A byte is sent the moment it is written. Input waits, without limit, outside the receive FIFO until
the guest has made room, so that pasted text is never lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ClassVar

from ringzero.machine.device import Device

DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)
RECEIVED, SENT, LINE, MODEM = 1, 2, 4, 8  # bits of IER
DLAB = 0x80
LOOPBACK = 0x10
DATA_READY, OVERRUN, BREAK, EMPTY = 0x01, 0x02, 0x10, 0x60
FIFO_SIZE = 16
TRIGGERS = (1, 4, 8, 14)
BREAK_MARK = 0x100  # on a byte in the FIFO: this is a break, not data
BYTES = [bytes([value]) for value in range(256)]


class Uart(Device):
    """`output` gets each byte; `feed` takes input from any thread."""

    name = "serial"
    size = 0x100
    stored: ClassVar[tuple[str, ...]] = (
        "ier", "fcr", "lcr", "mcr", "scr", "divisor", "overrun", "modem_delta", "sent",
        "received", "waiting",
    )  # fmt: skip

    def __init__(self, output: Callable[[bytes], object]) -> None:
        super().__init__()
        self.output = output
        self.waiting: deque[int] = deque()
        self.received: deque[int] = deque()
        self.reset()

    def reset(self) -> None:
        """The state after power-on; input that waits outside is kept."""
        self.ier = self.fcr = self.lcr = self.scr = self.modem_delta = 0
        self.mcr = 0x08
        self.divisor = 0x0C
        self.overrun = self.sent = False
        self.received.clear()

    def feed(self, data: bytes) -> None:
        """Input, from any thread."""
        self.waiting.extend(data)
        self.changed()

    def send_break(self) -> None:
        """A break on the line, from any thread; Linux takes it for SysRq."""
        self.waiting.append(BREAK_MARK)
        self.changed()

    def poll(self) -> None:
        """Move input into the FIFO as far as there is room."""
        if self.mcr & LOOPBACK:
            return
        room = (FIFO_SIZE if self.fcr & 1 else 1) - len(self.received)
        while room > 0 and self.waiting:
            self.received.append(self.waiting.popleft())
            room -= 1

    @property
    def interrupt(self) -> bool:
        """Some enabled cause is present."""
        ier = self.ier
        if not ier:
            return False
        return bool(
            (ier & RECEIVED and self.received)
            or (ier & SENT and self.sent)
            or (ier & LINE and self._line_errors())
            or (ier & MODEM and self.modem_delta)
        )

    def read(self, offset: int, size: int) -> int:
        """Registers are bytes; the upper part of a wider access reads as zero."""
        if offset == LSR:
            return self._read_line_status()
        if offset == DATA:
            return self.divisor & 0xFF if self.lcr & DLAB else self._read_data()
        if offset == IIR_FCR:
            return self._read_cause()
        if offset == IER:
            return self.divisor >> 8 if self.lcr & DLAB else self.ier
        if offset == LCR:
            return self.lcr
        if offset == MCR:
            return self.mcr
        if offset == MSR:
            return self._read_modem_status()
        return self.scr if offset == SCR else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Registers are bytes; the upper part of a wider access is ignored."""
        value &= 0xFF
        if offset == DATA:
            if self.lcr & DLAB:
                self.divisor = self.divisor & 0xFF00 | value
            else:
                self._send(value)
        elif offset == IER:
            if self.lcr & DLAB:
                self.divisor = self.divisor & 0xFF | value << 8
            else:  # enabling the transmitter's interrupt raises it: there is always room
                self.sent = bool(value & SENT and (self.sent or not self.ier & SENT))
                self.ier = value & 0x0F
        elif offset == IIR_FCR:
            self._control_fifo(value)
        elif offset == LCR:
            self.lcr = value
        elif offset == MCR:
            self._control_modem(value & 0x1F)
        elif offset == SCR:
            self.scr = value

    def _send(self, value: int) -> None:
        if not self.mcr & LOOPBACK:
            self.output(BYTES[value])
        elif len(self.received) < (FIFO_SIZE if self.fcr & 1 else 1):
            self.received.append(value)
        else:
            self.overrun = True
        self.sent = True

    def _read_data(self) -> int:
        value = self.received.popleft() & 0xFF if self.received else 0
        if self.waiting:
            self.poll()
        return value

    def _read_line_status(self) -> int:
        received = self.received
        if not received:
            status = EMPTY
        elif received[0] & BREAK_MARK:
            received[0] = 0
            status = EMPTY | DATA_READY | BREAK
        else:
            status = EMPTY | DATA_READY
        if self.overrun:
            self.overrun = False
            status |= OVERRUN
        return status

    def _line_errors(self) -> bool:
        return self.overrun or bool(self.received and self.received[0] & BREAK_MARK)

    def _read_cause(self) -> int:
        """IIR: the most urgent cause; reading clears the transmitter's one if it is that."""
        fifo = 0xC0 if self.fcr & 1 else 0
        if self.ier & LINE and self._line_errors():
            return fifo | 0x06
        if self.ier & RECEIVED and self.received:
            trigger = TRIGGERS[self.fcr >> 6] if fifo else 1
            return fifo | (0x04 if len(self.received) >= trigger else 0x0C)
        if self.ier & SENT and self.sent:
            self.sent = False
            return fifo | 0x02
        if self.ier & MODEM and self.modem_delta:
            return fifo
        return fifo | 0x01

    def _control_fifo(self, value: int) -> None:
        if value & 2 or (value ^ self.fcr) & 1:  # the enable bit's change clears the FIFO too
            self.received.clear()
        self.fcr = value & 0xC9 if value & 1 else 0
        self.poll()

    def _control_modem(self, value: int) -> None:
        before = self._modem_lines()
        self.mcr = value
        changed = before ^ self._modem_lines()
        self.modem_delta |= changed >> 4
        self.poll()

    def _modem_lines(self) -> int:
        """CTS, DSR, RI, DCD in bits 4-7: ours when looped back, else those of a live line."""
        if not self.mcr & LOOPBACK:
            return 0xB0
        mcr = self.mcr
        return (mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 | (mcr & 8) << 4

    def _read_modem_status(self) -> int:
        status = self._modem_lines() | self.modem_delta
        self.modem_delta = 0
        return status
