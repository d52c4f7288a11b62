"""Compiled code is bounded: it is given back while the guest runs; what is hot comes back."""

from __future__ import annotations

import pytest

from ringzero.bench.bare import program_file
from ringzero.bench.programs import PROGRAMS
from ringzero.engine.interpreter import Interpreter
from ringzero.engine.interpreter.threads import HartThreads
from ringzero.engine.regions import Regions
from ringzero.engine.regions.keep.generations import Generations
from ringzero.errors import UsageError
from ringzero.guests import build
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from ringzero.machines.riscv import Machine
from ringzero.outcome import PoweredOff
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import Eager, compare, finish, start, state
from tests.limits import HUNG


@pytest.mark.parametrize("seed", range(300, 304))
def test_a_run_goes_on_as_before_without_its_regions(seed: int) -> None:
    expected, its_memory = start(Interpreter, seed)
    regions, memory = start(Eager, seed)
    for turn in range(3):
        expected.run(2900)
        regions.run(2900)
        regions.compile_here()
        if turn == 1:
            had, oldest = regions.installed, regions._compiler.code.newest
            assert oldest.bytes > 0
            regions._installer.leaving = oldest
            regions.between()
            assert regions._installer.leaving is None  # no hart runs: none is in it
            regions._forget(oldest)
            assert regions._compiler.code.bytes == 0
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
    stopped: list[HartThreads] = []
    halt = HartThreads._halt

    def counted(threads: HartThreads) -> None:
        halt(threads)
        stopped.append(threads)

    monkeypatch.setattr(HartThreads, "_halt", counted)
    program = next(one for one in PROGRAMS if one.name == "quicksort")
    file = str(program_file(program, 40))
    with Machine(kernel=file, memory="64M", bios="none", cpus=cpus, engine="regions") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        assert machine.profile().evicted > 0
    assert len(stopped) <= 1  # at the end of the run


def test_a_kernel_counts_the_same_with_hardly_any_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGZERO_CODE_LIMIT", "4K")
    counted = []
    for engine in ("interpreter", "auto"):
        kernel = build("kernel")
        with Machine(kernel=kernel, memory="64M", clock="instructions", engine=engine) as machine:
            assert machine.run(timeout=HUNG) == PoweredOff(0)
            counted.append(machine.counters())
    assert counted[0] == counted[1]


def test_the_oldest_generation_goes_first() -> None:
    code, room = Generations(), 8000
    for _ in range(8):
        code.newest.bytes = 1001
        leaves = code.surplus(room)
    assert leaves is code.living[0]
    assert [one.number for one in code.living] == list(range(8))
    taken = {one.first_link for one in code.living}
    assert len(taken) == 8
    code.free(leaves)
    assert code.surplus(room) is None
    assert code.newest.number == 8
    assert code.newest.first_link == leaves.first_link


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
    assert not any(regions._pages.holds_regions(a) for a in range(regions.shared.decoded_used))
    regions._look_up(0)
    regions.between()
    assert regions.installed > had + 1
    assert regions._compiler.compiled == compiled
