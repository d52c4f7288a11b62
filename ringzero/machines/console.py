"""Where the guest's output goes: the user's console, and the recorder that `expect` looks at."""

from __future__ import annotations

from typing import Protocol


class Console(Protocol):
    """Where the guest's output goes."""

    def write(self, data: bytes) -> object:
        """Called on the thread that runs the guest, in the middle of an instruction of its.

        The guest waits meanwhile. An exception ends the run, and `run` raises it. Looking at the
        machine, `send` and `pause` are allowed here; `run`, `step` and `close` are not.
        """


class Recorder:
    """A console that keeps what the guest wrote."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        """From the guest."""
        self.data += data
