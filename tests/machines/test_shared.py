"""What `Machine`, `VirtualMachines` and `KvmMachine` have in common, tested on each of them."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from ringzero import Paused, PoweredOff, Rebooted, Recorder, TimedOut
from ringzero.errors import UsageError
from ringzero.machines.base import BaseMachine
from tests.limits import HUNG
from tests.machines.guests import CODE, KINDS, start

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_it_runs_to_its_end_and_stays_there(kind: str, tmp_path: Path) -> None:
    with start(kind, tmp_path) as machine:
        assert machine.expect(rb"up\n", timeout=HUNG) == b"up\n"
        machine.send(b"q")
        assert machine.run(timeout=HUNG) == PoweredOff(CODE)
        assert machine.run(timeout=HUNG) == PoweredOff(CODE)


@kinds
def test_a_reboot_is_an_outcome(kind: str, tmp_path: Path) -> None:
    with start(kind, tmp_path) as machine:
        machine.expect(rb"up\n", timeout=HUNG)
        machine.send(b"r")
        assert machine.run(timeout=HUNG) == Rebooted()


@kinds
def test_expect_takes_what_it_matched_and_leaves_the_rest(kind: str, tmp_path: Path) -> None:
    with start(kind, tmp_path) as machine:
        machine.expect(b"up")
        machine.send(b"abc-def.")
        assert machine.expect(re.compile(rb"b.")) == b"\nabc"
        assert machine.expect(rb"d") == b"-d"
        assert machine.expect(rb"\.") == b"ef."


@kinds
def test_expect_says_what_came_instead(kind: str, tmp_path: Path) -> None:
    with start(kind, tmp_path) as machine:
        with pytest.raises(UsageError, match=r"TimedOut.*the last output: up"):
            machine.expect(b"down", timeout=0.5)
        machine.send(b"q")
        with pytest.raises(UsageError, match="PoweredOff"):
            machine.expect(b"down", timeout=HUNG)


@kinds
def test_expect_needs_a_recorder(kind: str, tmp_path: Path) -> None:
    class Console:
        def write(self, data: bytes) -> None:
            """Keep nothing."""

    with (
        start(kind, tmp_path, console=Console()) as machine,
        pytest.raises(UsageError, match="Recorder"),
    ):
        machine.expect(b"up")
    recorder = Recorder()
    with start(kind, tmp_path, console=recorder) as machine:
        machine.expect(b"up")
        assert machine.recorder is recorder


@kinds
@pytest.mark.parametrize("guest", ["talk", "spin"])
def test_time_is_up_and_a_pause_is_kept_for_the_next_run(
    kind: str, guest: str, tmp_path: Path
) -> None:
    with start(kind, tmp_path, guest) as machine:
        machine.expect(b"up")
        assert machine.run(timeout=0) == TimedOut()
        assert machine.run(timeout=0.1) == TimedOut()
        machine.pause()
        assert machine.run(timeout=HUNG) == Paused()
        timer = threading.Timer(0.1, machine.pause)
        timer.start()
        assert machine.run(timeout=HUNG) == Paused()
        timer.join()
        assert machine.run(timeout=0.1) == TimedOut()


@kinds
def test_the_console_may_pause_send_and_look(kind: str, tmp_path: Path) -> None:
    class Console:
        machine: BaseMachine | None = None
        data = b""

        def write(self, data: bytes) -> None:
            self.data += data
            if self.machine is not None and self.data.endswith(b"up\n"):
                self.machine.read_memory(self.machine.memory.base, 4)
                self.machine.write_memory(self.machine.memory.end - 4, b"done")
                self.machine.send(b"x")
                self.machine.pause()

    console = Console()
    with start(kind, tmp_path, console=console) as machine:
        console.machine = machine
        assert machine.run(timeout=HUNG) == Paused()
        assert machine.read_memory(machine.memory.end - 4, 4) == b"done"
        machine.send(b"q")
        assert machine.run(timeout=HUNG) == PoweredOff(CODE)
        assert console.data == b"up\nx"


@kinds
def test_registers_and_memory_by_name_and_address(kind: str, tmp_path: Path) -> None:
    name = "rbx" if kind == "kvm" else "s1"
    with start(kind, tmp_path, "spin") as machine:
        machine.expect(b"up")
        machine.write_register(name, -2)
        assert machine.read_register(name) == 2**64 - 2
        assert machine.read_register("pc") == machine.pc
        machine.pc = machine.pc
        address = machine.memory.end - 64
        machine.write_memory(address, b"kept")
        assert machine.run(timeout=0.05) == TimedOut()
        assert machine.read_memory(address, 5) == b"kept\0"
        with pytest.raises(UsageError, match="There is no register"):
            machine.read_register("ax1")
        with pytest.raises(UsageError, match="hart"):
            machine.read_register(name, hart=9)
        assert f"{machine.pc:x}" in machine.describe()


@kinds
def test_counters_tell_either_instructions_or_exits(kind: str, tmp_path: Path) -> None:
    with start(kind, tmp_path) as machine:
        machine.expect(b"up")
        counters = machine.counters()
    if kind == "kvm":
        assert counters.exits["IO"].count > 0
        assert counters.where["serial"] >= 3
        assert not counters.instructions
    else:
        assert counters.instructions["M"] > 0
        assert not counters.exits


@kinds
def test_it_runs_on_any_thread(kind: str, tmp_path: Path) -> None:
    outcomes: list[object] = []
    with start(kind, tmp_path) as machine:
        machine.expect(b"up\n")
        machine.send(b"q")
        thread = threading.Thread(target=lambda: outcomes.append(machine.run(timeout=HUNG)))
        thread.start()
        thread.join(60)
    assert outcomes == [PoweredOff(CODE)]


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]])  # guests of the hypervisor have no disks
def test_disks_and_folders_are_plugged(kind: str, tmp_path: Path) -> None:
    from ringzero import DiskImage, Mount

    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4096))
    other = tmp_path / "other.img"
    other.write_bytes(bytes(512))
    third = tmp_path / "third.img"
    third.write_bytes(bytes(512))
    (tmp_path / "folder").mkdir()
    disks = [str(image), other, DiskImage(third, readonly=True)]
    mounts = [("a", tmp_path / "folder", True), Mount("b", str(tmp_path / "folder"))]
    with start(kind, tmp_path, disks=disks, mounts=mounts) as machine:
        machine.expect(b"up")
        started = time.monotonic()
    assert time.monotonic() - started < HUNG
