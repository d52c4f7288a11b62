"""The host process survives whatever order a machine is used in: each mistake is an exception.

Here: running, closing, and what of the guest's time passes in between.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ringzero import Machine, Paused, PoweredOff, TimedOut
from ringzero.errors import UsageError
from tests.limits import HUNG
from tests.machines.guests import CODE, start, start_bare
from tests.machines.scripts import ENGINES, Calls, kinds, script


@kinds
@pytest.mark.parametrize("guest", ["talk", "spin"])
def test_close_from_another_thread_while_it_runs_is_refused(
    kind: str, guest: str, tmp_path: Path
) -> None:
    with start(kind, tmp_path, guest) as machine:
        machine.expect(b"up")
        outcomes: list[object] = []
        thread = threading.Thread(target=lambda: outcomes.append(machine.run(timeout=HUNG)))
        thread.start()
        while not machine.running:
            time.sleep(0.001)
        with pytest.raises(UsageError, match=r"The machine is running: `close`.*`pause` it"):
            machine.close()
        machine.pause()
        thread.join(60)
        assert outcomes == [Paused()]
        machine.close()
        machine.close()


@kinds
@pytest.mark.parametrize("what", ["close", "abandon", "run"])
def test_what_needs_a_machine_at_rest_raises_inside_the_consoles_write(
    kind: str, what: str, tmp_path: Path
) -> None:
    console = Calls(what)
    with start(kind, tmp_path, console=console) as machine:
        console.machine = machine
        with pytest.raises(UsageError, match="The machine is running"):
            machine.run(timeout=HUNG)
        console.machine = None
        machine.send(b"q")
        assert machine.run(timeout=HUNG) == PoweredOff(CODE)


@kinds
def test_a_second_run_at_the_same_time_is_refused(kind: str, tmp_path: Path) -> None:
    with start(kind, tmp_path) as machine:
        machine.expect(b"up")
        thread = threading.Thread(target=machine.run, kwargs={"timeout": 60})
        thread.start()
        while not machine.running:
            time.sleep(0.001)
        for again in (machine.run, lambda: machine.expect(b"never")):
            with pytest.raises(UsageError, match="running already"):
                again()
        machine.send(b"q")
        thread.join(60)
        assert machine.run(timeout=HUNG) == PoweredOff(CODE)


def test_a_run_during_a_step_is_refused_and_a_step_during_a_run(tmp_path: Path) -> None:
    with start_bare(tmp_path, "spin") as machine:
        machine.expect(b"up")
        thread = threading.Thread(target=machine.step, args=(10**9,))
        thread.start()
        while not machine.running:
            time.sleep(0.001)
        for use in (machine.run, machine.close, lambda: machine.write_register("s1", 1)):
            with pytest.raises(UsageError, match="The machine is running"):
                use()
    thread.join(60)
    assert not thread.is_alive()
    assert machine.closed


@kinds
def test_leaving_the_with_block_ends_a_run_of_another_thread(kind: str, tmp_path: Path) -> None:
    outcomes: list[object] = []

    def run() -> None:
        try:
            while True:
                outcomes.append(machine.run(timeout=HUNG))
        except UsageError as error:
            outcomes.append(str(error))

    with start(kind, tmp_path, "spin") as machine:
        machine.expect(b"up")
        thread = threading.Thread(target=run)
        thread.start()
        while not machine.running:
            time.sleep(0.001)
    thread.join(60)
    assert not thread.is_alive()
    assert "closed" in str(outcomes[-1])


@kinds
def test_a_closed_machine_says_so_whatever_is_asked(kind: str, tmp_path: Path) -> None:
    with start(kind, tmp_path) as machine:
        machine.expect(b"up")
    asked = {
        "run": (), "pause": (), "send": (b"x",), "expect": (b"x",), "describe": (),
        "read_register": ("pc",), "write_register": ("pc", 0), "counters": (),
        "read_memory": (machine.memory.base, 4), "write_memory": (machine.memory.base, b"x"),
        **({"snapshot": (), "restore": (None,), "stats": ()} if kind == "kvm" else
           {"step": (), "read_csr": ("mstatus",), "write_csr": ("mstatus", 0), "profile": ()}),
        **({"vms": (), "sites": (0,), "order": (0, "kill")} if kind == "virtual" else {}),
    }  # fmt: skip
    for name, arguments in asked.items():
        with pytest.raises(UsageError, match="The machine is closed"):
            getattr(machine, name)(*arguments)
    with pytest.raises(UsageError, match="The machine is closed"):
        assert machine.pc
    with pytest.raises(UsageError, match="The machine is closed"):
        machine.pc = 0
    assert machine.closed


@pytest.mark.parametrize("engine", ENGINES)
def test_registers_kept_after_the_machine_is_gone_are_no_crash(engine: str, tmp_path: Path) -> None:
    script(
        "import gc\n"
        "machine = start_bare(folder, 'talk', engine=arguments[0])\n"
        "machine.expect(b'up')\n"
        "x, state, view = machine.x, machine.harts.hart(0), machine.memory.view(1 << 31, 4096)\n"
        "harts, parts = machine.harts, machine.parts\n"
        "machine.close()\n"
        "del machine\n"
        "gc.collect()\n"
        "filler = [bytearray(1 << 20) for _ in range(64)]\n"
        "assert 0 <= int(state.pc) < 1 << 64\n"
        "assert len(bytes(view)) == 4096\n"
        "for use in (lambda: x[5], lambda: x.__setitem__(5, 1)):\n"
        "    try:\n"
        "        use()\n"
        "    except Exception as error:\n"
        "        print(error)\n"
        "for use in (harts.run, harts.step, lambda: parts.memory.write(1 << 31, b'x')):\n"
        "    try:\n"
        "        use() if arguments[0] != 'reference' else None\n"
        "    except Exception as error:\n"
        "        print(error)\n",
        tmp_path, "machine", engine,
    )  # fmt: skip


@pytest.mark.parametrize(("clock", "passes"), [("host", False), ("realtime", True)])
def test_guest_time_stands_still_between_runs_unless_asked_otherwise(
    clock: str, passes: bool, tmp_path: Path
) -> None:
    with start("machine", tmp_path, "spin", clock=clock) as machine:
        assert isinstance(machine, Machine)
        machine.expect(b"up")
        before = machine.read_csr("time")
        time.sleep(0.3)
        assert (machine.read_csr("time") > before) is passes
        machine.step(2)
        assert (machine.read_csr("time") - before > 2_000_000) is passes


@pytest.mark.needs_kvm
@pytest.mark.parametrize(("clock", "passes"), [("host", False), ("realtime", True)])
def test_the_clocks_of_the_hosts_processor_stand_still_between_runs(
    clock: str, passes: bool, tmp_path: Path
) -> None:
    from ringzero import KvmMachine
    from ringzero.kvm import api

    def kvmclock() -> int:
        assert isinstance(machine, KvmMachine)
        data = api.ClockData()
        machine.vm.request(api.GET_CLOCK, data)
        return int(data.clock)

    with start("kvm", tmp_path, "spin", clock=clock) as machine:
        assert isinstance(machine, KvmMachine)
        machine.expect(b"up")
        before, board = kvmclock(), machine.board.now_ns()
        time.sleep(2)
        assert (machine.board.now_ns() > board) is passes
        assert machine.run(timeout=0) == TimedOut()
        assert (kvmclock() - before > 2_000_000_000) is passes
