"""Harts in parallel threads: what a guest sees of it, and what the machine around them does."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ringzero import Machine
from ringzero.engine.interpreter import Interpreter, machine_state
from ringzero.errors import UsageError
from ringzero.machine.devices.clint import Clint
from ringzero.outcome import Halted, Outcome, Paused, PoweredOff, TimedOut
from tests.limits import HUNG
from tests.smp.frame import HARTS, ROUNDS
from tests.smp.guest import program

COUNTED = HARTS * ROUNDS
WAIT = 0x1050_0073  # wfi
HERE = 0x0000_006F  # j .


def check(output: str, *flaws: str) -> None:
    """What the program must say, whoever runs it; `flaws` are known ones of another machine."""
    lines = [line.split() for line in output.splitlines()]
    counted = [int(number) for name, number in lines if name == "counted"]
    assert counted == [COUNTED] * 5
    said = {name: int(number) for name, number in lines if name != "counted"}
    assert said.pop("rounds") > 0
    assert said.pop("rings") == 200
    said.pop("seen-without-fences")
    assert set(said) == {
        "torn", "coherence", "store-buffering", "message-passing", "load-buffering",
        "independent-reads", "stale-code", "mixed-code", "lost-bits",
    }  # fmt: skip
    assert not any(said[name] for name in set(said) - set(flaws)), output


def run(engine: str, **options: Any) -> str:
    with Machine(
        kernel=program(), bios="none", memory="128M", cpus=HARTS, engine=engine, **options
    ) as machine:
        outcome = machine.run(timeout=HUNG)
        assert outcome == PoweredOff(0), outcome
        return machine.recorder.data.decode()


@pytest.mark.parametrize("engine", ["interpreter", "auto"])
def test_harts_share_memory_as_the_architecture_says(engine: str) -> None:
    check(run(engine))


def test_the_same_in_turns() -> None:
    check(run("interpreter", parallel=False))


@pytest.mark.needs_qemu
def test_the_program_holds_on_qemu_too(tmp_path: Path) -> None:
    (tmp_path / "smp.elf").write_bytes(program().elf)
    command = ["qemu-system-riscv64", "-M", "virt", "-accel", "tcg,thread=multi", "-nographic"]
    command += ["-smp", str(HARTS), "-m", "128M", "-bios", "none", "-kernel", "smp.elf"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=HUNG, check=False
    )
    check(done.stdout, "mixed-code")  # it fetches an instruction's halves one after the other


def test_interrupts_between_harts_need_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's harts wake each other hundreds of times; the device hears of none."""
    asked: list[int] = []
    for name in ("read", "write"):
        monkeypatch.setattr(Clint, name, lambda self, offset, *words: asked.append(offset))
    check(run("interpreter"))
    assert not asked


def test_decoded_pages_are_used_anew_while_harts_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's code lies in more pages than can be decoded at a time."""
    monkeypatch.setattr(machine_state, "DECODED_PAGES", 6)
    check(run("interpreter"))


# ---- the machine around the harts


def bare(*words: int, harts: int = 2, **options: Any) -> Machine:
    """A machine whose harts all execute the same few words."""
    machine = Machine(kernel=program(), bios="none", memory="128M", cpus=harts, **options)
    machine.write_memory(machine.pc, b"".join(word.to_bytes(4, "little") for word in words))
    return machine


def run_all(machine: Machine) -> None:
    """Until each hart has run a little; on a busy host that takes a while."""
    before = [int(machine.harts.hart(i).retired) for i in range(machine.cpus)]
    for _ in range(HUNG * 10):
        assert machine.run(timeout=0.1) == TimedOut()
        if all(int(machine.harts.hart(i).retired) > n for i, n in enumerate(before)):
            return
    raise AssertionError("a hart did not run")


def test_a_timeout_brings_all_harts_to_rest() -> None:
    with bare(HERE, harts=3, engine="interpreter") as machine:
        run_all(machine)
        before = [int(machine.harts.hart(i).retired) for i in range(3)]
        time.sleep(0.05)
        assert before == [int(machine.harts.hart(i).retired) for i in range(3)]
        assert all(before)
        assert machine.counters().instructions["M"] == sum(before)
        assert machine.harts.elapsed == sum(before)
        run_all(machine)
        assert all(int(machine.harts.hart(i).retired) > before[i] for i in range(3))


def test_pause_from_another_thread() -> None:
    with bare(HERE, engine="interpreter") as machine:
        timer = threading.Timer(0.1, machine.pause)
        timer.start()
        assert machine.run(timeout=HUNG) == Paused()


def test_an_exact_number_of_instructions_runs_in_turns() -> None:
    with bare(HERE, engine="interpreter") as machine:
        run_all(machine)
        before = machine.harts.elapsed
        assert machine.run(instructions=200_000) == TimedOut()
        assert 200_000 <= machine.harts.elapsed - before < 300_000
        machine.step(5, hart=1)


def test_an_error_in_one_thread_ends_the_run_with_it() -> None:
    store = (0x1000_02B7, 0x0002_8023)  # lui t0, 0x10000; sb zero, 0(t0): the UART
    with bare(*store, HERE, engine="interpreter") as machine:

        def broken(data: bytes) -> None:
            raise RuntimeError("no paper")

        machine.board.uart.output = broken
        with pytest.raises(RuntimeError, match="no paper"):
            machine.run(timeout=HUNG)
        machine.board.uart.output = lambda data: None
        assert machine.run(timeout=0.02) == TimedOut()  # and it can go on


def test_a_hart_that_only_traps_ends_the_run() -> None:
    with bare(0, engine="interpreter") as machine:
        outcome: Outcome = machine.run(timeout=HUNG)
        assert isinstance(outcome, Halted)
        assert "traps" in outcome.reason


def test_waiting_harts_need_no_processor() -> None:
    with bare(WAIT, HERE, harts=4, engine="interpreter") as machine:
        run_all(machine)
        before = time.process_time()
        assert machine.run(timeout=0.6) == TimedOut()
        assert time.process_time() - before < 0.2
        assert all(machine.harts.idle(i) for i in range(4))


def test_threads_end_with_the_machine() -> None:
    before = threading.active_count()
    with bare(HERE, harts=4, engine="interpreter") as machine:
        run_all(machine)
        assert threading.active_count() == before + 4
    assert threading.active_count() == before


def threads(machine: Machine) -> Any:
    """The threads of a machine's harts, or None."""
    assert isinstance(machine.harts, Interpreter)
    return machine.harts.threads


def test_who_runs_in_parallel() -> None:
    with bare(HERE, harts=1, engine="interpreter") as machine:
        assert threads(machine) is None
    with bare(HERE, clock="instructions", engine="interpreter") as machine:
        assert threads(machine) is None
    with bare(HERE, parallel=False, engine="interpreter") as machine:
        assert threads(machine) is None
    wrongs: list[dict[str, Any]] = [{"clock": "instructions"}, {"engine": "reference"}]
    for wrong in wrongs:
        with pytest.raises(UsageError, match="in parallel"):
            bare(HERE, parallel=True, **wrong)
