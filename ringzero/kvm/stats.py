"""Exits by reason: how many, and how long the board took to answer them.

`handled` is host time between KVM_RUN's return and its next call; `inside` is the time KVM_RUN
itself took, which is the guest's own time plus the processor's world switches.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ringzero.kvm.api import ExitReason


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    reason: str
    count: int
    nanoseconds: int

    @property
    def each(self) -> float:
        """Mean microseconds per exit."""
        return self.nanoseconds / self.count / 1000 if self.count else 0.0


@dataclass
class ExitStats:
    """What one vCPU counted; `+` makes the machine's."""

    count: list[int] = field(default_factory=lambda: [0] * 64)
    handled: list[int] = field(default_factory=lambda: [0] * 64)
    where: Counter[str] = field(default_factory=Counter)
    inside: int = 0

    def __add__(self, other: ExitStats) -> ExitStats:
        return ExitStats(
            [a + b for a, b in zip(self.count, other.count, strict=True)],
            [a + b for a, b in zip(self.handled, other.handled, strict=True)],
            self.where + other.where,
            self.inside + other.inside,
        )

    def rows(self) -> list[Row]:
        """The reasons that occurred, most frequent first."""
        rows = [
            Row(reason_name(number), count, self.handled[number])
            for number, count in enumerate(self.count)
            if count
        ]
        return sorted(rows, key=lambda row: -row.count)


def reason_name(number: int) -> str:
    """A KVM exit reason's own name."""
    try:
        return ExitReason(number).name
    except ValueError:
        return f"reason {number}"
