"""A sample of lockstep with Spike, with a fixed seed; `make lockstep` compares a million steps."""

from __future__ import annotations

import pytest

from tests.lockstep.compare import Difference, Lockstep
from tests.lockstep.generate import Program
from tests.lockstep.layout import SIZE
from tests.lockstep.spike import SpikeMissing
from tests.lockstep.strides import Strides
from tests.lockstep.subjects import SUBJECTS, ReferenceSubject

SEED = 1


def lockstep(engine: str, pair: type[Lockstep] = Lockstep, *, hypervisor: bool = False) -> Lockstep:
    try:
        return pair(SUBJECTS[engine](SIZE), hypervisor=hypervisor)
    except SpikeMissing as error:
        pytest.skip(str(error))


def compared(pair: Lockstep, count: int) -> tuple[int, set[int], set[int]]:
    """Steps, modes and causes of programs that showed no difference."""
    seed, steps = SEED, 0
    modes: set[int] = set()
    causes: set[int] = set()
    while steps < count:
        outcome = pair.run(seed)
        steps, seed = steps + outcome.steps, seed + 1
        modes |= outcome.modes.keys()
        causes |= outcome.traps.keys()
    return steps, modes, causes


def test_the_reference_engine_is_spike_s_equal() -> None:
    _, modes, _ = compared(lockstep("reference"), 1500)
    assert 3 in modes


@pytest.mark.slow
def test_the_reference_engine_over_many_programs() -> None:
    compared(lockstep("reference"), 10_000)


@pytest.mark.slow
def test_the_interpreter_over_a_hundred_thousand_steps() -> None:
    steps, modes, causes = compared(lockstep("interpreter"), 100_000)
    assert steps >= 100_000
    assert modes == {0, 1, 3}
    assert {2, 5, 7, 8, 9, 11, 13, 15} <= causes


@pytest.mark.slow
def test_the_interpreter_running_freely() -> None:
    steps, modes, _ = compared(lockstep("interpreter", Strides), 50_000)
    assert steps >= 50_000
    assert modes == {0, 1, 3}


def test_guests_of_the_reference_engine_are_spike_s_equal() -> None:
    _, modes, causes = compared(lockstep("reference", hypervisor=True), 6000)
    assert {4, 5} <= modes
    assert {10, 22} <= causes


@pytest.mark.slow
def test_guests_of_the_interpreter_over_a_hundred_thousand_steps() -> None:
    _, modes, causes = compared(lockstep("interpreter", hypervisor=True), 100_000)
    assert modes == {0, 1, 3, 4, 5}
    assert {10, 21, 22, 23} <= causes


def test_a_wrong_engine_is_caught() -> None:
    class Wrong(ReferenceSubject):
        """Adds one to x7 at the two hundredth step."""

        count = 0

        def registers(self) -> list[int]:
            self.count += 1
            seen = super().registers()
            seen[8] += self.count == 200
            return seen

    pair = lockstep("reference")
    pair.subject = Wrong(SIZE)
    with pytest.raises(Difference, match="x7 is") as caught:
        pair.run(SEED)
    assert caught.value.step == 200
    assert "Spike says" in str(caught.value)


def test_a_seed_makes_one_program() -> None:
    assert Program(7).image == Program(7).image
    assert Program(7).image != Program(8).image
