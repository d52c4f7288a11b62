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

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {
            "exits": {
                row.reason: {"count": row.count, "handled_ns": row.nanoseconds}
                for row in self.rows()
            },
            "where": dict(self.where.most_common()),
            "inside_ns": self.inside,
        }

    def table(self) -> str:
        """For --stats: a table of exits and the places they went to."""
        lines = [f"{'exit':<18}{'count':>10}{'total ms':>12}{'each us':>10}"]
        for row in self.rows():
            lines.append(
                f"{row.reason:<18}{row.count:>10}{row.nanoseconds / 1e6:>12.2f}{row.each:>10.2f}"
            )
        lines.append(f"{'in the guest':<18}{'':>10}{self.inside / 1e6:>12.2f}")
        if self.where:
            lines += ["", f"{'device':<28}{'accesses':>10}"]
            lines += [f"{name:<28}{count:>10}" for name, count in self.where.most_common(20)]
        return "\n".join(lines)


def reason_name(number: int) -> str:
    """A KVM exit reason's own name."""
    try:
        return ExitReason(number).name
    except ValueError:
        return f"reason {number}"
