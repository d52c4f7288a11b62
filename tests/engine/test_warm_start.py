"""The second run of a guest has its regions loaded before the code that needs them runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.bench.bare import program_file
from ringzero.bench.programs import PROGRAMS
from ringzero.engine.regions.keep.preload import Preload
from ringzero.machines.riscv import Machine
from ringzero.outcome import PoweredOff
from tests.engine.side_by_side import Eager, compare, start, state
from tests.limits import HUNG


def test_another_machine_finds_what_one_has_used() -> None:
    first, memory = start(Eager, 301)
    profile = first._preload
    for _ in range(4):
        first.run(2900)
        first.compile_here()
    profile.keep(now=True)
    assert profile.used
    second, its_memory = start(Eager, 301)
    assert second._preload.guest == profile.guest
    second._preload.load(second._compiler.stored, lambda: False)
    loaded = second._compiler.loaded
    assert loaded >= first.installed
    for _ in range(4):
        second.run(2900)
        second._listen()
        second.between()
    assert second.installed > 0
    assert second._compiler.loaded == loaded  # from what was loaded at the start
    compare(state(first, memory), state(second, its_memory))


def test_there_may_be_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = start(Eager, 302)
    first._preload.known = [str(number) for number in range(9)]
    first._preload.load(lambda name: [], lambda: len(first._preload.loaded) == 3)
    assert list(first._preload.loaded) == ["0", "1", "2"]


def test_a_profile_names_the_pages_that_were_used(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles: list[Preload] = []
    keep = Preload.keep

    def kept(profile: Preload, *, now: bool = False) -> None:
        profiles.append(profile)
        keep(profile, now=now)

    monkeypatch.setattr(Preload, "keep", kept)
    program = next(one for one in PROGRAMS if one.name == "quicksort")
    file = Path(program_file(program, 400))
    for _ in range(2):
        with Machine(kernel=file, memory="64M", bios="none", engine="regions") as machine:
            assert machine.run(timeout=HUNG) == PoweredOff(0)
    last = profiles[-1]
    assert last.used
    assert set(last.used) <= set(last.store.profile(last.guest))
    assert last.known
