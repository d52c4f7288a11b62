"""How a run of a machine ends, and what it counted: the values that the API returns."""

from __future__ import annotations

from dataclasses import dataclass, field


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


Outcome = PoweredOff | Rebooted | TimedOut | Paused | Halted


@dataclass(frozen=True)
class Counters:
    """What all harts did: instructions retired by mode, traps and interrupts by cause.

    `translation` tells what the engine's translation cache cost: its refills, and the page table
    entries read for them, of the hart's own tables (S), of a guest's (VS) and of the G-stage (G).
    The reference engine caches nothing and counts none of it; it is no part of what is equal
    between engines.
    """

    instructions: dict[str, int]
    traps: dict[str, int]
    interrupts: dict[str, int]
    translation: dict[str, int] = field(default_factory=dict, compare=False)
