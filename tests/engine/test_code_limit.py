"""Compiled code is bounded: it is given back while the guest runs; what is hot comes back."""

from __future__ import annotations

import pytest

from ringzero.api import Machine
from ringzero.bench.bare import program_file
from ringzero.bench.programs import PROGRAMS
from ringzero.engine.interpreter import Interpreter
from ringzero.engine.regions import Regions
from ringzero.errors import UsageError
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from ringzero.outcome import PoweredOff
from tests.engine.random_programs import BASE
from tests.engine.test_engines_agree import Eager, compare, finish, start, state


@pytest.mark.parametrize("seed", range(300, 304))
def test_a_run_goes_on_as_before_without_its_regions(seed: int) -> None:
    expected, its_memory = start(Interpreter, seed)
    regions, memory = start(Eager, seed)
    for turn in range(3):
        expected.run(2900)
        regions.run(2900)
        regions.compile_here()
        if turn == 1:
            had = regions.installed
            assert regions._compiler.bytes > 0
            regions._drop_all()
            regions._made.clear()
            regions._given.clear()
            regions._compiler.forget()
            assert regions._compiler.bytes == 0
            regions.compile_here()
            assert regions.installed > had  # from disk, or compiled again
        compare(state(expected, its_memory), state(regions, memory))
    finish(expected)
    finish(regions)
    compare(state(expected, its_memory), state(regions, memory))


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_guest_runs_with_hardly_any_room_for_code(
    cpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGZERO_CODE_LIMIT", "1K")
    dropped, drop = [], Regions._drop_all
    monkeypatch.setattr(Regions, "_drop_all", lambda engine: dropped.append(drop(engine)))
    program = next(one for one in PROGRAMS if one.name == "quicksort")
    file = str(program_file(program, 30))
    with Machine(kernel=file, memory="64M", bios="none", cpus=cpus, engine="regions") as machine:
        assert machine.run(timeout=200) == PoweredOff(0)
    assert dropped


def test_the_limit_is_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGZERO_CODE_LIMIT", "a lot")
    with pytest.raises(UsageError, match="RINGZERO_CODE_LIMIT"):
        Regions(GuestMemory(4 << 20), Bus(), 1)


def test_regions_that_a_store_dropped_come_back_together() -> None:
    regions, memory = start(Eager, 300)
    for _ in range(4):
        regions.run(2900)
        regions.compile_here()
    had, compiled = regions.installed, regions._compiler.compiled
    assert had > 1
    memory.write(BASE, memory.read(BASE, 8192))  # as before, but code was stored to
    assert not any(regions._pages.holds_regions(a) for a in range(regions.shared.slot_used))
    regions._look_up(0)
    regions._install()
    assert regions.installed > had + 1
    assert regions._compiler.compiled == compiled
