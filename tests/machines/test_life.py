"""The host process survives whatever order a machine is used in: each mistake is an exception.

What could end the process by a signal runs in a process of its own, whose end is looked at.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from ringzero import Machine, Paused, PoweredOff, TimedOut
from ringzero.errors import NotFound, RingzeroError, UsageError
from ringzero.machines.base import BaseMachine
from tests.machines.guests import CODE, KINDS, start, start_bare

ENGINES = ("reference", "interpreter", "compiler", "regions", "auto")
ROOT = Path(__file__).parents[2]
kinds = pytest.mark.parametrize("kind", KINDS)


def script(text: str, folder: Path, kind: str = "machine", *arguments: str) -> str:
    """What a Python program prints that has `start`, `kind` and `folder`; it must end with 0."""
    preamble = (
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "from tests.machines.guests import start, start_bare\n"
        "kind, folder, arguments = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]\n"
    )
    command = [sys.executable, "-X", "faulthandler", "-c", preamble + text]
    done = subprocess.run(
        [*command, kind, str(folder), *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


class Calls:
    """A console that does something once the guest is up; that it failed is noted."""

    def __init__(self, what: str) -> None:
        self.what, self.machine, self.data = what, None, b""
        self.error: BaseException | None = None

    machine: BaseMachine | None

    def write(self, data: bytes) -> None:
        """From the guest."""
        self.data += data
        if self.machine is not None and self.data.endswith(b"up\n"):
            getattr(self.machine, self.what)()


# ---- close, at any time and from anywhere


@kinds
@pytest.mark.parametrize("guest", ["talk", "spin"])
def test_close_from_another_thread_while_it_runs_is_refused(
    kind: str, guest: str, tmp_path: Path
) -> None:
    with start(kind, tmp_path, guest) as machine:
        machine.expect(b"up")
        outcomes: list[object] = []
        thread = threading.Thread(target=lambda: outcomes.append(machine.run(timeout=60)))
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
            machine.run(timeout=60)
        console.machine = None
        machine.send(b"q")
        assert machine.run(timeout=60) == PoweredOff(CODE)


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
        assert machine.run(timeout=60) == PoweredOff(CODE)


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
                outcomes.append(machine.run(timeout=60))
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


# ---- fork


@kinds
def test_a_forked_process_refuses_the_machine_and_cannot_change_its_memory(
    kind: str, tmp_path: Path
) -> None:
    told = script(
        "with start(kind, folder) as machine:\n"
        "    machine.expect(b'up')\n"
        "    address = machine.memory.base + machine.memory.size - 64\n"
        "    machine.write_memory(address, b'ours')\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        try:\n"
        "            machine.run(timeout=1)\n"
        "        except Exception as error:\n"
        "            print(error, flush=True)\n"
        "        machine.memory.view(address, 4)[:] = b'mine'\n"
        "        assert bytes(machine.memory.view(address, 4)) == b'mine'\n"
        "        machine.close()\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    assert machine.read_memory(address, 4) == b'ours'\n"
        "    machine.send(b'q')\n"
        "    print(machine.run(timeout=60))\n",
        tmp_path, kind,
    )  # fmt: skip
    refused, outcome = told.splitlines()
    assert "forked" in refused
    assert outcome == f"PoweredOff(code={CODE})"


@kinds
@pytest.mark.parametrize("what", ["run", "describe", "step", "close", "__exit__", "expect"])
def test_a_process_forked_while_the_machine_is_in_use_waits_for_no_lock(
    kind: str, what: str, tmp_path: Path
) -> None:
    """What another thread holds at the fork is held in the child for ever."""
    told = script(
        "with start(kind, folder) as machine:\n"
        "    machine.expect(b'up')\n"
        "    name = arguments[0]\n"
        "    use = getattr(machine, name, machine.describe)\n"
        "    given = {'__exit__': (None,) * 3, 'expect': (b'x',)}.get(name, ())\n"
        "    with machine._life._lock:\n"
        "        machine._life._held = 'step'\n"
        "        child = os.fork()\n"
        "        if child == 0:\n"
        "            signal.alarm(60)\n"
        "            try:\n"
        "                use(*given)\n"
        "            except Exception as error:\n"
        "                print(error, flush=True)\n"
        "            os._exit(0)\n"
        "        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "        machine._life._held = ''\n",
        tmp_path, kind, what,
    )  # fmt: skip
    assert told.splitlines()[-1] == "0"
    assert ("forked" in told) is (what not in ("close", "__exit__"))


def test_a_process_forked_while_code_is_compiled_can_drop_what_the_compiler_made(
    tmp_path: Path,
) -> None:
    script(
        "from ringzero.lang.binding import llvm\n"
        "binding, held = llvm(), threading.Event()\n"
        "module = binding.parse_assembly('')\n"
        "def compile():\n"
        "    with binding.ffi.lib._lock:\n"
        "        held.set()\n"
        "        time.sleep(0.5)\n"
        "threading.Thread(target=compile).start()\n"
        "held.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.alarm(60)\n"
        "    module.close()\n"
        "    os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "module.close()\n",
        tmp_path,
    )  # fmt: skip


@kinds
def test_a_fork_in_the_consoles_write_does_not_come_back_into_the_guest(
    kind: str, tmp_path: Path
) -> None:
    told = script(
        "class Console:\n"
        "    def write(self, data):\n"
        "        if data == b'p':\n"
        "            child = os.fork()\n"
        "            if child:\n"
        "                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "with start(kind, folder, console=Console()) as machine:\n"
        "    machine.run(timeout=1)\n",
        tmp_path, kind,
    )  # fmt: skip
    assert told.strip() == "125"


# ---- signals and exceptions

INTERRUPTS = """
took = []
guest, *engine = arguments
make = (lambda: start_bare(folder, guest, engine=engine[0])) if engine else (
    lambda: start(kind, folder, guest))
with make() as machine:
    machine.expect(b"up", timeout=200)
    for _ in range(5):
        sent = []
        def send():
            while not machine.running:
                time.sleep(0.001)
            time.sleep(0.1)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        thread = threading.Thread(target=send)
        thread.start()
        try:
            machine.run(timeout=120)
        except KeyboardInterrupt:
            took.append(time.monotonic() - sent[0])
        thread.join()
        assert not machine.running
    machine.run(timeout=0.01)  # and it goes on
print(len(took), min(took))
"""


@pytest.mark.parametrize("guest", ["talk", "spin"])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_is_raised_soon_on_every_engine_also_while_a_device_is_polled(
    engine: str, guest: str, tmp_path: Path
) -> None:
    count, least = script(INTERRUPTS, tmp_path, "machine", guest, engine).split()
    assert count == "5"
    assert float(least) < 0.2  # the least of some tries, as hosts are busy


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("guest", ["talk", "spin"])
def test_an_interrupt_is_raised_soon_on_the_other_machines(
    kind: str, guest: str, tmp_path: Path
) -> None:
    count, least = script(INTERRUPTS, tmp_path, kind, guest).split()
    assert count == "5"
    assert float(least) < 0.2


@kinds
def test_an_exception_of_the_console_reaches_the_caller_and_the_machine_goes_on(
    kind: str, tmp_path: Path
) -> None:
    class Console:
        data, angry = b"", True

        def write(self, data: bytes) -> None:
            self.data += data
            if self.angry and self.data.endswith(b"up\n"):
                raise LookupError("nobody listens")

    console = Console()
    with start(kind, tmp_path, console=console) as machine:
        with pytest.raises(LookupError, match="nobody listens"):
            machine.run(timeout=60)
        console.angry = False
        machine.send(b"yes.q")
        assert machine.run(timeout=60) == PoweredOff(CODE)
        assert console.data == b"up\nyes."


@pytest.mark.parametrize("guest", ["talk", "spin"])
def test_harts_in_threads_are_interrupted_and_raise_like_one(guest: str, tmp_path: Path) -> None:
    told = script(
        "class Console:\n"
        "    def write(self, data):\n"
        "        raise LookupError('nobody listens')\n"
        "try:\n"
        "    with start_bare(folder, arguments[0], cpus=3, console=Console()) as machine:\n"
        "        machine.run(timeout=60)\n"
        "except LookupError as error:\n"
        "    print(error)\n"
        "def interrupt():\n"
        "    time.sleep(0.2)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "with start_bare(folder, arguments[0], cpus=3) as machine:\n"
        "    machine.expect(b'up')\n"
        "    threading.Thread(target=interrupt).start()\n"
        "    try:\n"
        "        machine.run(timeout=60)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', machine.run(timeout=0.1))\n",
        tmp_path, "machine", guest,
    )  # fmt: skip
    assert told.splitlines() == ["nobody listens", "interrupted TimedOut()"]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exception_of_the_console_is_raised_by_step_too(engine: str, tmp_path: Path) -> None:
    class Console:
        def write(self, data: bytes) -> None:
            raise LookupError("nobody listens")

    with (
        start_bare(tmp_path, "talk", engine=engine, console=Console()) as machine,
        pytest.raises(LookupError, match="nobody listens"),
    ):
        machine.step(100)


# ---- nothing is left behind


def left() -> tuple[set[str], set[str]]:
    """Descriptors of this process, by what they are, and threads."""
    gc.collect()
    files = {f"{fd}: {os.readlink(f'/proc/self/fd/{fd}')}" for fd in os.listdir("/proc/self/fd")
             if os.path.exists(f"/proc/self/fd/{fd}")}  # fmt: skip
    return files, {thread.name for thread in threading.enumerate()}


@kinds
def test_a_machine_dropped_without_close_leaves_nothing_and_warns(
    kind: str, tmp_path: Path
) -> None:
    start(kind, tmp_path).close()
    before = left()
    for used in (False, True):
        machine = start(kind, tmp_path)
        if used:
            machine.expect(b"up")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            del machine
            gc.collect()
        assert [one.category for one in seen] == [ResourceWarning]
        assert left() == before


def test_harts_in_threads_and_their_files_end_with_a_dropped_machine(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096))
    (tmp_path / "folder").mkdir()
    options = {"disks": [tmp_path / "disk"], "mounts": [("t", tmp_path / "folder", False)]}
    start("machine", tmp_path).close()
    before = left()
    machine = start("machine", tmp_path, cpus=3, **options)
    machine.expect(b"up")
    assert {"hart 0", "hart 1", "hart 2"} <= left()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del machine
        gc.collect()
    assert left() == before


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]])  # the third is built by the first's text
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"disks": ["here.img", "nothing.img"]}, NotFound),
        ({"mounts": [("a", ".", True), ("b", "nowhere", True)]}, NotFound),
        ({"initrd": "nothing"}, NotFound),
        ({"memory": "64K"}, RingzeroError),
        ({"memory": 1 << 61}, UsageError),
        ({"cpus": 100_000}, UsageError),
        ({"console": "a str"}, UsageError),
    ],
)
def test_a_constructor_that_fails_leaves_nothing(
    kind: str, options: dict[str, object], error: type[Exception], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.img").write_bytes(bytes(512))
    start(kind, tmp_path).close()
    before = left()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            start(kind, tmp_path, **options)
        assert left() == before


@kinds
def test_the_interpreter_ends_while_a_daemon_thread_runs_the_machine(
    kind: str, tmp_path: Path
) -> None:
    script(
        "machine = start(kind, folder, 'spin')\n"
        "machine.expect(b'up')\n"
        "threading.Thread(target=machine.run, daemon=True).start()\n"
        "while not machine.running:\n"
        "    time.sleep(0.001)\n",
        tmp_path, kind,
    )  # fmt: skip


# ---- time


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
