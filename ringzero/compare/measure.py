"""Runs a guest under a technique and takes samples where its console says that it is at.

The bundled kernel prints a line after each nanobenchmark. It runs twice, with few and with more
iterations; the difference of both runs is free of everything that is done once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ringzero.compare.techniques import WORLDS, Sample, Task, Technique
from ringzero.errors import RingzeroError
from ringzero.outcome import PoweredOff

FEW, MORE = 64, 512
MARK = b"bench "
REFILLS = "refills"


class CompareError(RingzeroError):
    """A guest that did not do what it was to be measured by."""


@dataclass(frozen=True)
class Cost:
    """One operation under one technique, each time that it is done."""

    operation: str
    worlds: dict[str, float]
    exits: dict[str, float]
    once: float = 0.0
    """Instructions of the shorter run beyond what its operations cost each."""
    translation: dict[str, float] = field(default_factory=dict)
    """Refills of the machine's translation cache, and table entries read for them by stage."""

    @property
    def entries(self) -> float:
        """Page table entries read, of all stages."""
        return sum(number for name, number in self.translation.items() if name != REFILLS)

    @property
    def total(self) -> float:
        """Instructions of all worlds."""
        return sum(self.worlds.values())


@dataclass(frozen=True)
class Workload:
    """A whole run."""

    name: str
    worlds: dict[str, int]
    exits: dict[str, int]
    seconds: float
    translation: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Instructions of all worlds."""
        return sum(self.worlds.values())


class Watch:
    """A console that takes a sample where a line begins, and where one ends."""

    def __init__(self, technique: Technique) -> None:
        self.technique = technique
        self.machine: Any = None
        self.line = bytearray()
        self.began = self.ended = Sample()
        self.found: dict[str, tuple[int, Sample]] = {}
        self.output = bytearray()

    def write(self, data: bytes) -> None:
        """From the guest, on the harts' thread: between two of its instructions."""
        self.output += data
        for byte in data:
            if not self.line:
                self.began = self.technique.sample(self.machine)
            self.line.append(byte)
            if byte == 10:
                self._line(bytes(self.line))
                self.line.clear()
                self.ended = self.technique.sample(self.machine)

    def _line(self, line: bytes) -> None:
        words = line.split()
        if line.startswith(MARK) and len(words) == 5:
            self.found[words[1].decode()] = int(words[2]), self.began.since(self.ended)


def _watched(technique: Technique, task: Task, engine: str) -> dict[str, tuple[int, Sample]]:
    watch = Watch(technique)
    with technique.start(task, watch, engine) as machine:
        watch.machine = machine
        outcome = machine.run()
    if not isinstance(outcome, PoweredOff) or outcome.code or not watch.found:
        last = watch.output[-200:].decode("utf-8", "replace")
        raise CompareError(
            f"{task.name} did not measure anything under {technique.name} ({outcome}): its last "
            f"output is {last!r}."
        )
    return watch.found


def operations(
    technique: Technique, kernel: Any, engine: str = "interpreter", counts: Iterable[int] = ()
) -> dict[str, Cost]:
    """What each operation of the bundled kernel's nanobenchmarks costs."""
    few, more = tuple(counts) or (FEW, MORE)
    runs = [
        _watched(technique, Task("the bundled kernel", kernel, append=_arguments(count)), engine)
        for count in (few, more)
    ]
    return {
        name: _cost(name, count - runs[0][name][0], sample.since(runs[0][name][1]), runs[0][name])
        for name, (count, sample) in runs[1].items()
    }


def _arguments(count: int) -> str:
    return f"mode=bench iterations={count}"


def _cost(name: str, count: int, spent: Sample, short: tuple[int, Sample]) -> Cost:
    each = {world: spent.worlds[world] / count for world in WORLDS}
    once = sum(short[1].worlds[world] - short[0] * each[world] for world in WORLDS)
    exits = {cause: number / count for cause, number in spent.exits.most_common() if number > 0}
    translation = {what: number / count for what, number in spent.translation.items()}
    return Cost(name, each, exits, once, translation)


def workload(technique: Technique, task: Task, engine: str = "auto") -> Workload:
    """A whole run: what was executed, and how long it took here."""
    with technique.start(task, None, engine) as machine:
        began = time.monotonic()
        outcome = machine.run()
        seconds = time.monotonic() - began
        sample: Sample = technique.sample(machine)
        last = machine.recorder.data[-200:].decode("utf-8", "replace")
    if not isinstance(outcome, PoweredOff) or outcome.code:
        raise CompareError(
            f"{task.name} did not end well under {technique.name} ({outcome}): its last output is "
            f"{last!r}."
        )
    exits = Counter({cause: number for cause, number in sample.exits.items() if number})
    return Workload(
        task.name,
        {world: sample.worlds[world] for world in WORLDS},
        dict(exits.most_common()),
        round(seconds, 3),
        dict(sample.translation),
    )
