"""Programs for M-mode, on Spike and on this project's machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ringzero import Machine, guests
from ringzero.guests.workloads import WORKLOADS
from ringzero.lang import u64
from ringzero.lang.host import HostLibrary
from ringzero.outcome import PoweredOff
from tests.limits import HUNG

SPIKE = Path(sys.executable).parent / "spike"


def on_spike(name: str, folder: Path) -> tuple[str, int]:
    file = folder / f"{name}.elf"
    file.write_bytes(guests.build(name).elf)
    command = [str(SPIKE), "--isa=rv64gc_zicntr", "-m128", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HUNG, check=False)
    return done.stdout, done.returncode


def on_ours(name: str, engine: str = "auto") -> tuple[str, int]:
    with Machine(kernel=guests.build(name), memory="128M", engine=engine) as machine:
        outcome = machine.run(timeout=HUNG)
        assert isinstance(outcome, PoweredOff), outcome
        return machine.recorder.data.decode(), outcome.code


@pytest.mark.needs_spike
@pytest.mark.skipif(not SPIKE.exists(), reason="the command spike is not installed")
@pytest.mark.parametrize("name", ["hello", "workloads", "machine-tests"])
def test_same_on_spike_and_here(name: str, tmp_path: Path) -> None:
    """Word for word, with Spike's counts of instructions and cycles."""
    assert on_ours(name) == on_spike(name, tmp_path)


def test_machine_mode() -> None:
    output, code = on_ours("machine-tests")
    results = [line for line in output.splitlines() if line.startswith("test ")]
    assert not [line for line in results if not line.endswith(" ok")], output
    assert len(results) > 50
    assert code == 0


def test_hello_on_the_reference_engine() -> None:
    assert on_ours("hello", "reference") == ("hello from machine mode\n", 0)


def test_workloads_have_one_result_in_every_life() -> None:
    output, code = on_ours("workloads")
    assert code == 0
    found = {line.split()[1]: int(line.split()[2], 16) for line in output.splitlines()}
    library = HostLibrary([work for _, work, _ in WORKLOADS])
    assert found == {name: library.call[work.name](rounds) for name, work, rounds in WORKLOADS}
    for name, work, _ in WORKLOADS:  # a smaller run for CPython
        rounds = 1 if name != "division" else 0
        assert int(work(u64(rounds))) == library.call[work.name](rounds), name
