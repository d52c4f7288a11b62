"""Whether the guest's Linux has panicked, by what it says on its console (kernel/panic.c)."""

from __future__ import annotations

import re
from dataclasses import dataclass

PANIC = re.compile(rb"(?<!end )Kernel panic - not syncing: ([^\r\n]*)[\r\n]")
END = b"---[ end Kernel panic"
KEPT = 64 << 10  # bytes of output that are looked at: a panic prints registers and a call trace
LITTLE = 256 << 20  # bytes of memory below which more of it may help


@dataclass(frozen=True)
class Panicked:
    """The guest's kernel has given up, and will not go on by itself."""

    reason: str

    def text(self, memory: int) -> str:
        """The sentence for the user."""
        said = f"The guest's kernel panicked: {self.reason.rstrip('.')}."
        if memory < LITTLE:
            said += f" It had {memory >> 20} MB of memory: try more, such as -m 512M."
        return said


class PanicWatch:
    """Looks at the output as it goes by."""

    def __init__(self) -> None:
        self.tail = b""

    def feed(self, data: bytes) -> bool:
        """More output; whether it, and not what came before, says that the kernel stands still."""
        news = self.tail[1 - len(END) :] + data
        self.tail = (self.tail + data)[-KEPT:]
        return END in news

    def stopped(self) -> Panicked | None:
        """The panic that the kernel stands still after.

        Its farewell is the last that it prints; the log of an older panic has more behind it.
        """
        end = self.tail.rfind(END)
        if end < 0 or self.tail.find(b"\n", end) not in (-1, len(self.tail) - 1):
            return None
        return self.last()

    def last(self) -> Panicked | None:
        """The last panic, also of a kernel that reboots after one."""
        found = PANIC.findall(self.tail)
        return Panicked(found[-1].decode("utf-8", "replace")) if found else None
