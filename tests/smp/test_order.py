"""Memory order between harts in compiled regions: fences are needed, and they work."""

from __future__ import annotations

import os
import platform

import pytest

from ringzero import Machine
from ringzero.engine.interpreter import Interpreter
from ringzero.outcome import TimedOut
from tests.smp.buffering import ROUNDS, WEAK, program

PATIENCE = 40  # stretches of a quarter of a second: on a busy host harts seldom run side by side
MANY = 2000  # rounds


class Duel:
    """The program in a machine of two harts, watched stretch by stretch."""

    def __init__(self, fenced: bool) -> None:
        self.machine = Machine(
            kernel=program(fenced), bios="none", memory="128M", cpus=2, engine="regions"
        )

    def stretch(self) -> tuple[int, int, bool]:
        """Rounds and weak ones of a stretch, and whether both harts were in regions, nearly."""
        before = self.read(ROUNDS), self.read(WEAK), self.slices()
        assert self.machine.run(timeout=0.25) == TimedOut()
        spent = [
            (ended - was_ended, inside - was_inside)
            for (ended, inside), (was_ended, was_inside) in zip(
                self.slices(), before[2], strict=True
            )
        ]
        compiled = all(0 < ended * 95 <= inside * 100 for ended, inside in spent)
        return self.read(ROUNDS) - before[0], self.read(WEAK) - before[1], compiled

    def read(self, address: int) -> int:
        return int.from_bytes(self.machine.read_memory(address, 8), "little")

    def slices(self) -> list[tuple[int, int]]:
        harts = self.machine.harts
        assert isinstance(harts, Interpreter)
        return [(int(core.slices), int(core.region_slices)) for core in harts.cores]


def rounds_until(duel: Duel, wanted: str) -> tuple[int, int]:
    """Rounds and weak ones, of stretches in regions, until there are weak ones, or many rounds."""
    rounds = weak = 0
    for _ in range(PATIENCE):
        more, seen, compiled = duel.stretch()
        if compiled:
            rounds, weak = rounds + more, weak + seen
        if weak if wanted == "weak" else rounds >= MANY:
            break
    return rounds, weak


def test_without_fences_both_harts_miss_the_others_store() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("other hosts than x86-64 may show this seldom: their store buffers differ")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("the two harts need two of the host's processors to run side by side")
    duel = Duel(fenced=False)
    with duel.machine:
        rounds, weak = rounds_until(duel, "weak")
    if not weak and rounds < MANY:
        pytest.skip(f"the host is too busy for two harts side by side: {rounds} rounds in regions")
    assert weak, f"{rounds} rounds in regions, none of them weak"


def test_with_fences_they_never_do() -> None:
    duel = Duel(fenced=True)
    with duel.machine:
        rounds, weak = rounds_until(duel, "rounds")
        if not rounds:
            pytest.skip("the host is too busy: no hart had a stretch in regions")
        assert weak == 0, f"{weak} of {rounds} rounds"
        assert duel.read(WEAK) == 0, "nor did they before they were compiled"
