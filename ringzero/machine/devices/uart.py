"""The serial port on the board: `board.uart`, a queue for its input, and a sink for its output.

Input waits, without limit, outside the receive FIFO until the guest listens and has made room, so
that neither pasted text nor what is typed while the guest starts is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from ringzero.board import uart
from ringzero.machine.device import Device
from ringzero.machine.devices import registers

BYTES = [bytes([value]) for value in range(256)]
_text = registers.plain_text(uart)
_read, _write, _interrupt = _text.read, _text.write, _text.interrupt


class Uart(Device):
    """`output` gets each byte; `feed` takes input from any thread."""

    name = "serial"
    size = uart.SIZE
    stored: ClassVar[tuple[str, ...]] = ("registers", "waiting")

    def __init__(self, output: Callable[[bytes], object]) -> None:
        super().__init__()
        self.output = output
        self.waiting: deque[int] = deque()
        self._uart = registers.plain_state(uart.Uart)
        self.reset()

    @property
    def registers(self) -> dict[str, Any]:
        """The state that a guest can observe."""
        return registers.saved(uart.Uart, self._uart)

    @registers.setter
    def registers(self, values: dict[str, Any]) -> None:
        registers.restore(self._uart, values)

    def reset(self) -> None:
        """The state after power-on; input that waits outside is kept."""
        _text.reset(self._uart)

    def feed(self, data: bytes) -> None:
        """Input, from any thread."""
        self.waiting.extend(data)
        self.changed()

    def send_break(self) -> None:
        """A break on the line, from any thread; Linux takes it for SysRq."""
        self.waiting.append(uart.BREAK_MARK)
        self.changed()

    def poll(self) -> None:
        """Move input into the FIFO as far as there is room."""
        if not self.waiting:
            return
        for _ in range(min(_text.room(self._uart), len(self.waiting))):
            _text.arrive(self._uart, self.waiting.popleft())

    @property
    def interrupt(self) -> bool:
        """Some enabled cause is present."""
        return bool(_interrupt(self._uart))

    def read(self, offset: int, size: int) -> int:
        """Registers are bytes; the upper part of a wider access reads as zero."""
        value: int = _read(self._uart, offset)
        if self.waiting and offset in (uart.DATA, uart.LSR):
            self.poll()
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """Registers are bytes; the upper part of a wider access is ignored."""
        if _write(self._uart, offset, value & 0xFF):
            self.output(BYTES[value & 0xFF])
            return
        if self._uart.given_back:
            self._wait_again()
        if self.waiting:
            self.poll()

    def _wait_again(self) -> None:
        """What the guest has emptied without reading it comes in later."""
        count = int(self._uart.given_back)
        entries = [_text.withdrawn(self._uart, number) for number in range(count)]
        self.waiting.extendleft(reversed(entries))
        self._uart.given_back = 0
