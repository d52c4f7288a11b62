"""The native engines against the reference engine, on random programs: whole states compared."""

from __future__ import annotations

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.reference import ReferenceHarts
from ringzero.guests import build
from ringzero.machines.riscv import Machine
from ringzero.outcome import PoweredOff
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import ENOUGH, Eager, compare, finish, start, state
from tests.limits import HUNG

KINDS = pytest.mark.parametrize("floats", [False, True], ids=["all", "floats"])


@KINDS
@pytest.mark.parametrize("seed", range(12))
def test_interpreter_equals_reference(seed: int, floats: bool) -> None:
    reference, its_memory = start(ReferenceHarts, seed, floats)
    reference.run(3000)
    native, memory = start(Interpreter, seed, floats)
    native.run(3000)
    compare(state(reference, its_memory), state(native, memory))


@pytest.mark.parametrize("seed", range(6))
def test_single_steps_equal_a_free_run(seed: int) -> None:
    free, its_memory = start(Interpreter, seed)
    finish(free)
    stepped, memory = start(Interpreter, seed)
    while not stepped.idle(0) and stepped.elapsed < ENOUGH:
        stepped.step()
    compare(state(free, its_memory), state(stepped, memory))


@KINDS
@pytest.mark.parametrize("seed", range(100, 110))
def test_regions_equal_the_interpreter(seed: int, floats: bool) -> None:
    expected, its_memory = start(Interpreter, seed, floats)
    regions, memory = start(Eager, seed, floats)
    for _ in range(3):
        expected.run(2900)
        regions.run(2900)
        compare(state(expected, its_memory), state(regions, memory))
        regions.compile_here()
    finish(expected)
    finish(regions)
    compare(state(expected, its_memory), state(regions, memory))
    assert regions.installed > 0


@pytest.mark.parametrize("seed", range(200, 212))
def test_regions_over_several_pages(seed: int) -> None:
    """The code lies over the ends of pages, half of the time with instructions on both sides."""
    base = BASE + 4096 - 16 * (seed % 7) - 0x9C - 2 * (seed % 2)
    expected, its_memory = start(Interpreter, seed, base=base)
    regions, memory = start(Eager, seed, base=base)
    for _ in range(4):
        expected.run(2900)
        regions.run(2900)
        compare(state(expected, its_memory), state(regions, memory))
        regions.compile_here()
    finish(expected)
    finish(regions)
    compare(state(expected, its_memory), state(regions, memory))
    assert regions.installed > 0


@pytest.mark.slow
def test_tiers_agree_under_timer_interrupts() -> None:
    """With the instruction clock a whole run is the same, whatever has been compiled meanwhile."""
    counted = []
    for engine in ("interpreter", "regions", "regions"):
        kernel = build("kernel")
        with Machine(kernel=kernel, memory="64M", clock="instructions", engine=engine) as machine:
            assert machine.run(timeout=HUNG) == PoweredOff(0)
            counted.append(machine.counters())
    assert counted[0].interrupts
    assert counted[0] == counted[1] == counted[2]
