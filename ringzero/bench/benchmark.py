"""A benchmark: a guest, and how to read a figure from a run of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ringzero.bench.process import Run
from ringzero.bench.subjects import BenchError, Guest


@dataclass(frozen=True)
class Benchmark:
    """Something to measure. `read` gives the figure, of which more is better iff `rate`.

    `same` picks the part of the output that must not depend on the machine. A `fresh` benchmark
    gives our machine, in each round, a cache that holds nothing about any guest.
    """

    name: str
    kind: str
    title: str
    unit: str
    guest: Callable[[], Guest]
    read: Callable[[Run], float]
    rate: bool = False
    same: Callable[[Run], str] | None = None
    fresh: bool = False
    timeout: float = 300.0


@dataclass
class Side:
    """The runs of one machine."""

    runs: list[Run] = field(default_factory=list)
    figures: list[float] = field(default_factory=list)
    instructions: int | None = None

    @property
    def median(self) -> float:
        """The figure that stands for all runs."""
        return statistics.median(self.figures)


@dataclass
class Result:
    """A benchmark's runs here, and on the other machine if there was one.

    With `fresh`, the first run here knew nothing of the guest, and the others what it had kept.
    """

    benchmark: Benchmark
    ours: Side = field(default_factory=Side)
    peer: Side | None = None
    fresh: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the other machine ours is."""
        return self._against_peer(self.ours.median)

    def ratio_of_run(self, number: int) -> float | None:
        """The same of one of our runs, counted from 1, against the other machine's median."""
        if number > len(self.ours.figures):
            return None
        return self._against_peer(self.ours.figures[number - 1])

    def _against_peer(self, ours: float) -> float | None:
        if self.peer is None:
            return None
        peer = self.peer.median
        return ours / peer if self.benchmark.rate else peer / ours

    @property
    def spread(self) -> float | None:
        """Slowest ÷ fastest of our runs, without a first one that knew nothing of the guest."""
        figures = self.ours.figures[1:] if self.fresh else self.ours.figures
        return max(figures) / min(figures) if len(figures) > 1 else None

    @property
    def mips(self) -> float | None:
        """Million instructions per second of the whole process, of the median run."""
        if self.ours.instructions is None:
            return None
        seconds = statistics.median(run.seconds for run in self.ours.runs)
        return self.ours.instructions / seconds / 1e6


def geometric_mean(values: Sequence[float]) -> float:
    """The mean of ratios."""
    return statistics.geometric_mean(values)


def found(value: object, benchmark: str, output: str) -> None:
    """Refuse an output in which the figure is missing."""
    if value is None:
        tail = " / ".join(output.splitlines()[-3:])
        raise BenchError(f"{benchmark} printed no result; its last lines: {tail[-300:]}")
