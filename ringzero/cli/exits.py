"""Exit codes, and the exception that a signal turns into.

The same ranges as `timeout` and container tools use: what is below 124 is the guest's own.
"""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass


class ExitCode(enum.IntEnum):
    """What the process's exit code says when it is not the guest's own."""

    TIMEOUT = 124
    ERROR = 125
    UNAVAILABLE = 126
    NOT_FOUND = 127
    SIGNAL = 128
    PANIC = 255


@dataclass
class Ending:
    """How the process ends after a command."""

    quick: bool = False  # at once: all that must be put away is, and the host takes back the rest


class Interrupted(BaseException):
    """A signal asked this process to end; raised in the main thread, so that everything unwinds."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 + N, as a shell reports a process that a signal ended."""
        return ExitCode.SIGNAL + self.number

    def __str__(self) -> str:
        return f"Ended by {signal.Signals(self.number).name}."


def guest_code(code: int) -> int:
    """The guest's exit code as a process can give it: one byte, and never 0 for a failure."""
    return code if 0 <= code <= 255 else int(ExitCode.PANIC)
