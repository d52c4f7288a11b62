"""virtio console (virtio 1.2 §5.3) with one port: `hvc0` in Linux.

Input from other threads waits outside the queue until the driver offers buffers, so none is lost.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from ringzero.machine.virtio.device import VirtioDevice

RECEIVE, TRANSMIT = 0, 1
SIZE, EMERGENCY_WRITE = 1 << 0, 1 << 2  # features, §5.3.3
EMERGENCY_OFFSET = 8


class ConsoleDevice(VirtioDevice):
    """`output` gets what the guest prints; `feed` takes input from any thread.

    A terminal of 0 columns and rows is of unknown size, as a serial line's.
    """

    name = "virtio-console"
    device_id: ClassVar[int] = 3
    device_class: ClassVar[int] = 0x078000
    stored: ClassVar[tuple[str, ...]] = ("columns", "rows", "waiting", "opened")

    def __init__(self, output: Callable[[bytes], object], columns: int = 0, rows: int = 0) -> None:
        super().__init__([64, 64], EMERGENCY_WRITE | SIZE)
        self.output = output
        self.columns, self.rows = columns, rows
        self.waiting: deque[bytes] = deque()
        self.opened = False  # the guest has printed here, so it is where a user should type
        self._resized: tuple[int, int] | None = None

    @property
    def config(self) -> bytes:
        """Columns, rows, number of ports, emergency write."""
        return struct.pack("<HHII", self.columns & 0xFFFF, self.rows & 0xFFFF, 1, 0)

    def write_config(self, offset: int, size: int, value: int) -> None:
        """§5.3.4: a character that needs no queue."""
        if offset == EMERGENCY_OFFSET:
            self.output(bytes([value & 0xFF]))

    def feed(self, data: bytes) -> None:
        """Input, from any thread."""
        if data:
            self.waiting.append(bytes(data))
            self.changed()

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has a new size; from any thread."""
        self._resized = (columns, rows)
        self.changed()

    def reset(self) -> None:
        """The driver let go of the port."""
        super().reset()
        self.opened = False

    def notify(self, queue_index: int) -> None:
        """Buffers for input, or output."""
        if queue_index == TRANSMIT:
            self._transmit()
        else:
            self._receive()

    def poll(self) -> None:
        """Hand over what came from other threads."""
        resized, self._resized = self._resized, None
        if resized:
            self.columns, self.rows = resized
            if self.negotiated(SIZE):
                self.config_changed()
        if self.running:
            self._receive()

    def _transmit(self) -> None:
        queue = self.queues[TRANSMIT]
        for chain in queue.requests():
            self.opened = True
            for segment in chain.readable:
                self.output(bytes(segment))
            self.push(queue, chain, 0)

    def _receive(self) -> None:
        queue = self.queues[RECEIVE]
        while self.waiting and (chain := queue.pop()):
            written = 0
            room = chain.writable_size
            while self.waiting and written < room:
                data = self.waiting.popleft()
                count = chain.write(data)
                written += count
                if count < len(data):
                    self.waiting.appendleft(data[count:])
            self.push(queue, chain, written)
