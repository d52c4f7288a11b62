"""The native engines against the reference engine, on random programs: whole states compared."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.ports import Why
from ringzero.engine.reference import ReferenceHarts
from ringzero.engine.regions import Regions
from ringzero.engine.regions.find.pages import CodePages
from ringzero.guests import build
from ringzero.isa.hart import Hart
from ringzero.lang import Array
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from ringzero.machines.riscv import Machine
from ringzero.outcome import PoweredOff
from tests.engine.machines import begin, give_numbers
from tests.engine.random_programs import BASE, DATA, program, registers

STATE = [
    name
    for name in Hart.fields
    if name not in ("x", "changes", "cause", "tval", "reservation", "reservation_value")
]
ENOUGH = 400_000


def start(make: Any, seed: int, floats: bool = False, base: int = BASE) -> tuple[Any, GuestMemory]:
    """A machine of one hart with a random program."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(base, program(seed, floats=floats, base=base))
    memory.write(DATA - 4096, bytes(range(256)) * 32)
    hart = begin(harts, base)
    give_numbers(hart, registers(seed))
    return harts, memory


def state(harts: Any, memory: GuestMemory) -> dict[str, Any]:
    """Everything that programs can see."""
    hart = harts.hart(0)
    found: dict[str, Any] = {"x": [int(hart.x[i]) for i in range(32)]}
    for name in STATE:
        value = getattr(hart, name)
        if issubclass(Hart.fields[name], Array):
            found[name] = [int(v) for v in value]
        else:
            found[name] = int(value)
    found["memory"] = memory.read(BASE, 4 << 20)
    counts = harts.counts(0)
    found["traps"], found["retired_in"] = dict(counts.traps), dict(counts.retired)
    return found


def compare(left: dict[str, Any], right: dict[str, Any]) -> None:
    differing = [name for name in left if left[name] != right[name]]
    assert not differing, {
        name: (left[name], right[name]) for name in differing if name != "memory"
    }


def finish(harts: Any) -> None:
    stop = harts.run(ENOUGH)
    assert stop.why in (Why.WAITING, Why.LIMIT, Why.FAULT)


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


class AllCode(CodePages):
    """Takes everything for code, even where it never ran."""

    def ran(self, array: int, offset: int) -> bool:
        """See CodePages."""
        return True


class Eager(Regions):
    """Compiles a region wherever it is told to, at once, in this thread."""

    @functools.cached_property
    def _pages(self) -> CodePages:
        return AllCode(self.shared, self.cores, self.memory)

    def _work(self) -> None:
        return

    def compile_here(self) -> None:
        """A region from where the hart is."""
        pc = int(self.hart(0).pc)
        for array in range(int(self.shared.decoded_used)):
            if self._pages._context(pc & -4096, array) is not None:
                self._make(array, pc % 4096, pc)
                self.between()


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
            assert machine.run(timeout=120) == PoweredOff(0)
            counted.append(machine.counters())
    assert counted[0].interrupts
    assert counted[0] == counted[1] == counted[2]
