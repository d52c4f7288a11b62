"""Lockstep in strides: the engine runs freely for some instructions, and Spike follows.

Single steps go around an engine's fast path: its decoded pages, its jumps, its slices. Here it runs
as it always does, and is compared whenever it comes back.
"""

from __future__ import annotations

import random
from typing import Protocol

from tests.lockstep.compare import Lockstep
from tests.lockstep.generate import Program
from tests.lockstep.subjects import Subject

LONGEST = 30  # with what an engine runs beyond it under 100, where the clock's first tick is
PATIENCE = 4000  # steps of Spike for one stride


class Runner(Subject, Protocol):
    """A subject that can also run freely."""

    def run(self, instructions: int) -> int:
        """Run so many instructions, or a few more; how many retired."""


class Strides(Lockstep):
    """Spike and a subject that runs."""

    def __init__(self, subject: Runner, *, hypervisor: bool = False) -> None:
        super().__init__(subject, hypervisor=hypervisor)
        self.runner = subject

    def program(self, seed: int) -> Program:
        """Without interrupts from devices: an engine sees those when it looks, not at once."""
        self.chance = random.Random(seed)
        return Program(seed, lines=False, hypervisor=self.hypervisor)

    def _step(self) -> bool:
        retired = self.runner.run(self.chance.choice((1, 2, 7, 30, LONGEST)))
        following, last = 0, self.spike.words[0]
        for _ in range(PATIENCE):
            if following == retired:
                break
            last, mode = self.spike.words[0], self.spike.registers()[65]
            self.spike.step()
            self.trail.append((last, mode))
            cause = self._trap(last, self.spike.registers())
            following += cause is None
            self.outcome.steps += 1
            self._count(mode, cause)
        golden = self._compare_registers(last)
        self._compare_memory()
        self.started = self.started or golden[65] != 3
        if self.started:
            self._compare_csrs(self.after_system)
        return retired > 0
