"""How a run of a machine ends: by its guest, as a device tells the board, or by its user."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PoweredOff:
    """The guest powered off, or its program ended, with this code (0: all well)."""

    code: int = 0


@dataclass(frozen=True)
class Rebooted:
    """The guest asked for a reset; the machine has ended."""


@dataclass(frozen=True)
class TimedOut:
    """The time or the number of instructions that `run` was given is used up."""


@dataclass(frozen=True)
class Paused:
    """`pause` was called; `run` goes on from here."""


@dataclass(frozen=True)
class Halted:
    """No instruction retires any more: the trap handler itself traps, or nothing can wake a hart.

    The machine's state stays as it is, for registers and memory to be read.
    """

    reason: str
    hart: int
    pc: int
    mode: str
    word: int | None
    disassembly: str

    def __str__(self) -> str:
        what = self.disassembly if self.word is None else f"{self.word:08x} {self.disassembly}"
        return f"{self.reason} (hart {self.hart}, {self.mode}-mode, pc {self.pc:#x}: {what})."


Ending = PoweredOff | Rebooted
"""What a guest does to its machine."""

Outcome = PoweredOff | Rebooted | TimedOut | Paused | Halted
