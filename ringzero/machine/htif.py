"""The host-target interface that Spike gives to bare-metal programs: two words in guest RAM.

A program stores a command to `tohost` and waits until the word is zero again. Device 0 is the
system call proxy (an odd payload ends the run with the code above bit 0), device 1 is the console.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from ringzero.machine.memory import GuestMemory
from ringzero.machine.state import Stateful
from ringzero.outcome import Ending, PoweredOff

WORD = struct.Struct("<Q")
PAYLOAD = (1 << 48) - 1
SYSCALL, CONSOLE = 0, 1
READ_CHARACTER, WRITE_CHARACTER = 0, 1
SYS_READ, SYS_WRITE, SYS_EXIT = 63, 64, 93
NO_SUCH_CALL, BAD_ADDRESS = -38, -14  # -ENOSYS, -EFAULT
WRITE_LIMIT = 1 << 20  # a call writes at most this much; the program sees a short count


class Htif(Stateful):
    """Watches `tohost`; the board calls `poll` between slices of execution."""

    stored: ClassVar[tuple[str, ...]] = ("tohost", "fromhost", "input", "answers", "reading")

    def __init__(
        self,
        memory: GuestMemory,
        tohost: int,
        fromhost: int | None = None,
        *,
        write: Callable[[bytes], object],
        stop: Callable[[Ending], None],
    ) -> None:
        memory.offset(tohost, 8)
        if fromhost is not None:
            memory.offset(fromhost, 8)
        self.memory, self.tohost, self.fromhost = memory, tohost, fromhost
        self.output, self.stop = write, stop
        self.input: deque[int] = deque()
        self.answers: deque[int] = deque()
        self.reading = False

    def feed(self, data: bytes) -> None:
        """Console input, from any thread."""
        self.input.extend(data)

    def poll(self) -> bool:
        """Serve one command if there is one."""
        place = self.tohost - self.memory.base
        (command,) = WORD.unpack_from(self.memory.buffer, place)
        if command:
            WORD.pack_into(self.memory.buffer, place, 0)
            self._serve(command >> 56, command >> 48 & 0xFF, command & PAYLOAD)
        if self.reading and self.input:
            self.reading = False
            self._answer(CONSOLE, READ_CHARACTER, 0x100 | self.input.popleft())
        self._deliver()
        return bool(command)

    def _serve(self, device: int, command: int, payload: int) -> None:
        if device == SYSCALL and command == 0:
            if payload & 1:
                self.stop(PoweredOff(payload >> 1))
            else:
                self._system_call(payload)
        elif device == CONSOLE and command == WRITE_CHARACTER:
            self.output(bytes([payload & 0xFF]))
        elif device == CONSOLE and command == READ_CHARACTER:
            self.reading = True

    def _system_call(self, address: int) -> None:
        memory = self.memory
        if not memory.contains(address, 64):
            return
        number, first, second, third = struct.unpack("<4Q", memory.read(address, 32))
        result = NO_SUCH_CALL
        if number == SYS_EXIT:
            self.stop(PoweredOff(first & 0xFF))
            return
        if number in (SYS_READ, SYS_WRITE):
            count = min(third, WRITE_LIMIT)
            if not memory.contains(second, count):
                result = BAD_ADDRESS
            elif number == SYS_WRITE:
                self.output(memory.read(second, count))
                result = count
            else:
                data = bytes(self.input.popleft() for _ in range(min(count, len(self.input))))
                memory.write(second, data)
                result = len(data)
        memory.write(address, struct.pack("<q", result))
        self._answer(SYSCALL, 0, 1)

    def _answer(self, device: int, command: int, payload: int) -> None:
        if self.fromhost is not None:
            self.answers.append(device << 56 | command << 48 | payload)
            self._deliver()

    def _deliver(self) -> None:
        if self.fromhost is None or not self.answers:
            return
        place = self.fromhost - self.memory.base
        (busy,) = WORD.unpack_from(self.memory.buffer, place)
        if not busy:
            WORD.pack_into(self.memory.buffer, place, self.answers.popleft())
