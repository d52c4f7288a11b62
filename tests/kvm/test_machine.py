"""KvmMachine: boot protocols, consoles, endings, pauses, limits, and nothing left behind."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ringzero.errors import NotFound, UsageError
from ringzero.kvm import api
from ringzero.kvm.api import Capability
from ringzero.kvm.board import layout
from ringzero.kvm.board.exits import Server
from ringzero.kvm.board.ram import guest_memory, ram_ranges
from ringzero.kvm.board.wiring import Board
from ringzero.kvm.errors import KvmError
from ringzero.kvm.vcpu import Vcpu
from ringzero.kvm.vm import Vm
from ringzero.machine.device import Device
from ringzero.machine.memory import GuestMemory
from ringzero.machines.kvm import KvmMachine
from ringzero.outcome import Paused, PoweredOff, Rebooted, TimedOut
from tests.kvm.conftest import needs_kvm
from tests.kvm.kernels import BASE, Kernel, bzimage, elf64, written
from tests.limits import HUNG

pytestmark = needs_kvm
MEMORY = "16M"


def hello(text: str = "hello", code: int = 3, origin: int = BASE, bits: int = 64) -> Kernel:
    kernel = Kernel(origin, bits)
    kernel.say(text)
    kernel.exit(code)
    return kernel


def looping(tmp_path: Path) -> Path:
    kernel = Kernel(BASE, 64)
    kernel.say("up")
    kernel.label("again")
    kernel.jump("again")
    return written(tmp_path / "loop", elf64(kernel.link()))


def test_elf_in_long_mode_says_hello_and_exits(tmp_path: Path) -> None:
    path = written(tmp_path / "kernel", elf64(hello().link()))
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(3)
        assert bytes(machine.recorder.data) == b"hello"
        stats = machine.stats()
    assert stats.where["serial"] == 5
    assert stats.where["exit"] == 1


def test_bzimage_finds_its_command_line(tmp_path: Path) -> None:
    kernel = Kernel(2 * BASE + 0x200, 64)
    kernel.emit("8b 9e 28 02 00 00")  # mov ebx, [rsi+0x228]: cmd_line_ptr
    for offset in range(4):
        kernel.emit(f"8a 43 {offset:02x}")  # mov al, [rbx+offset]
        kernel.say_byte()
    kernel.emit("8a 86 e8 01 00 00")  # mov al, [rsi+0x1e8]: e820_entries
    kernel.mov("edx", layout.EXIT)
    kernel.op("out dx, al")
    kernel.label("end")
    kernel.jump("end")
    path = written(tmp_path / "bzImage", bzimage(kernel.link()))
    with KvmMachine(memory=MEMORY, kernel=path, append="word and more") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(4)  # two pieces of RAM, a hole, and PCI's
        assert bytes(machine.recorder.data) == b"word"


def test_pvh_entry_gets_its_start_info(tmp_path: Path) -> None:
    kernel = Kernel(BASE, 32)
    kernel.emit("8a 03")  # mov al, [ebx]: lowest byte of the magic
    kernel.say_byte()
    kernel.exit(0)
    path = written(tmp_path / "vmlinux", elf64(kernel.link(), note=BASE))
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        assert bytes(machine.recorder.data) == b"\x78"


@pytest.mark.parametrize(
    ("port", "value", "outcome"),
    [
        (layout.I8042_COMMAND, 0xFE, Rebooted()),
        (layout.RESET, 6, Rebooted()),
        (layout.PM_CONTROL, 1 << 13 | layout.SLEEP_TYPE << 10, PoweredOff(0)),
        (layout.EXIT, 42, PoweredOff(42)),
    ],
)
def test_endings(tmp_path: Path, port: int, value: int, outcome: object) -> None:
    kernel = Kernel(BASE, 64)
    kernel.mov("edx", port)
    kernel.mov("eax", value)
    kernel.emit("66 ef" if value > 255 else "ee")  # out dx, ax | al
    kernel.label("end")
    kernel.jump("end")
    path = written(tmp_path / "kernel", elf64(kernel.link()))
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        assert machine.run(timeout=HUNG) == outcome


def test_test_finisher_carries_a_code(tmp_path: Path) -> None:
    kernel = Kernel(BASE, 64)
    kernel.mov("rdi", layout.FINISHER)
    kernel.mov("eax", 7 << 16 | 0x3333)
    kernel.store("rdi", "eax")
    kernel.label("end")
    kernel.jump("end")
    path = written(tmp_path / "kernel", elf64(kernel.link()))
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(7)


def test_triple_fault_is_a_reboot(tmp_path: Path) -> None:
    path = written(tmp_path / "kernel", elf64(bytes.fromhex("0f 0b")))  # ud2 without an IDT
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        assert machine.run(timeout=HUNG) == Rebooted()


def test_denied_msrs_raise_general_protection(tmp_path: Path) -> None:
    kernel = Kernel(BASE, 64)
    kernel.mov("ecx", 0x186)
    kernel.op("rdmsr")
    kernel.exit(0)
    path = written(tmp_path / "kernel", elf64(kernel.link()))
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        if not machine.kvm.capability(Capability.X86_MSR_FILTER):
            pytest.skip("this host's KVM has no MSR filter")
        assert machine.run(timeout=HUNG) == Rebooted()  # without an IDT a fault is the third one
        assert machine.stats().where["rdmsr 0x186"] == 1


def above_the_bare_exit(server: Server, vcpu: Vcpu, rounds: int = 500) -> float:
    """Seconds of processor time that an answered port access takes beyond its exit."""
    started = time.thread_time()
    for _ in range(rounds):
        fcntl.ioctl(vcpu.fd, api.RUN.code, 0)
    bare = time.thread_time() - started
    started = time.thread_time()
    for _ in range(rounds):
        server.answers[vcpu.enter()]()
        vcpu.answered(api.ExitReason.IO)
    return (time.thread_time() - started - bare) / rounds


def test_answering_a_port_access_is_cheap(tmp_path: Path) -> None:
    """At most 15 µs of processor time above the bare exit, at the best: hosts are busy."""
    kernel = Kernel(BASE, 64)
    kernel.mov("edx", layout.SERIAL + 5)
    kernel.label("again")
    kernel.op("in al, dx")
    kernel.jump("again")
    path = written(tmp_path / "kernel", elf64(kernel.link()))
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        vcpu = machine.vm.vcpus[0]
        server = Server(machine.board, vcpu)
        vcpu.adopt()
        for _ in range(100):
            vcpu.enter()
        above = min(above_the_bare_exit(server, vcpu) for _ in range(10))
        vcpu.abandon()
    print(f"a port access above the bare exit: {above * 1e6:.1f} µs")  # shown by -rP
    assert above < 15e-6


def test_timeout_pause_and_going_on(tmp_path: Path) -> None:
    with KvmMachine(memory=MEMORY, kernel=looping(tmp_path), cpus=2) as machine:
        assert machine.run(timeout=0.2) == TimedOut()
        assert bytes(machine.recorder.data) == b"up"
        threading.Timer(0.1, machine.pause).start()
        assert machine.run(timeout=HUNG) == Paused()
        assert machine.run(timeout=0.1) == TimedOut()
        assert "long mode" in machine.describe()


def test_runs_from_any_thread(tmp_path: Path) -> None:
    path = written(tmp_path / "kernel", elf64(hello().link()))
    outcomes: list[object] = []

    def boot() -> None:
        with KvmMachine(memory=MEMORY, kernel=path) as machine:
            outcomes.append(machine.run(timeout=HUNG))

    thread = threading.Thread(target=boot)
    thread.start()
    thread.join(30)
    assert outcomes == [PoweredOff(3)]


def test_input_reaches_the_serial_port(tmp_path: Path) -> None:
    kernel = Kernel(BASE, 64)
    kernel.say("?")
    kernel.label("wait")
    kernel.mov("edx", layout.SERIAL + 5)
    kernel.op("in al, dx")
    kernel.arithmetic("and", "eax", 1)
    kernel.jump_if("jz", "wait")
    kernel.mov("edx", layout.SERIAL)
    kernel.op("in al, dx")
    kernel.mov("edx", layout.EXIT)
    kernel.op("out dx, al")
    kernel.label("end")
    kernel.jump("end")
    path = written(tmp_path / "kernel", elf64(kernel.link()))
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        machine.expect(rb"\?", timeout=HUNG)
        machine.send(b"A")
        assert machine.run(timeout=HUNG) == PoweredOff(ord("A"))


class Crooked(Device):
    """A device with a defect."""

    name = "crooked"
    size = 1

    def write(self, offset: int, size: int, value: int) -> None:
        raise ZeroDivisionError("division by zero")


def test_a_defect_of_a_device_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    kernel = Kernel(BASE, 64)
    kernel.mov("edx", 0x900)
    kernel.op("out dx, al")
    kernel.exit(0)
    path = written(tmp_path / "kernel", elf64(kernel.link()))
    with KvmMachine(memory=MEMORY, kernel=path) as machine:
        machine.board.attach_ports(0x900, Crooked(), 1)
        with pytest.raises(KvmError, match="ZeroDivisionError"):
            machine.run(timeout=HUNG)


def test_what_cannot_be_booted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        KvmMachine(memory=MEMORY, kernel=tmp_path / "nothing")
    for content, words in (
        (b"", "is empty"),
        (b"MZ what is this" * 100, "neither a Linux bzImage nor an ELF"),
        (elf64(b"\xf4")[:60], "cut off"),
        (elf64(b"\xf4").replace(b"\x3e\x00", b"\xf3\x00", 1), "another architecture"),
    ):
        with pytest.raises(UsageError, match=words):
            KvmMachine(memory=MEMORY, kernel=written(tmp_path / "kernel", content))
    big = written(tmp_path / "big", bzimage(b"\xf4", address=64 << 20))
    with pytest.raises(UsageError, match="give it more memory"):
        KvmMachine(memory=MEMORY, kernel=big)
    with pytest.raises(UsageError, match="command line is 300 bytes"):
        KvmMachine(
            memory=MEMORY, kernel=written(tmp_path / "b", bzimage(b"\xf4")), append="x" * 300
        )
    with pytest.raises(UsageError, match="0 CPUs"):
        KvmMachine(memory=MEMORY, kernel=looping(tmp_path), cpus=0)


def test_memory_beyond_the_device_hole_continues_at_4_gib(vm: Vm, memory: GuestMemory) -> None:
    assert ram_ranges(4 << 30) == [(0, 3 << 30), (4 << 30, 1 << 30)]
    large = guest_memory(4 << 30)
    vm.map(0, 0, 0, 0)
    board = Board(vm, large)
    assert [slot.guest_phys_addr for slot in vm.slots.values()] == [0, 4 << 30]
    board.close()
    vm.close()
    large.close()


def test_guest_above_4_gib_is_memory(tmp_path: Path) -> None:
    with KvmMachine(memory="3200M", kernel=looping(tmp_path)) as machine:
        machine.memory.write(1 << 32, b"high")
        assert machine.memory.read(1 << 32, 4) == b"high"


def test_killing_the_process_leaves_nothing(tmp_path: Path) -> None:
    path = looping(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = (
        "from ringzero.machines.kvm import KvmMachine\n"
        "import sys\n"
        "class Console:\n"
        "    def write(self, data):\n"
        "        print(data.decode(), end='', flush=True)\n"
        f"KvmMachine(memory='{MEMORY}', cpus=2, kernel={str(path)!r}, console=Console()).run()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=scratch,
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert process.stdout is not None
    before = set(os.listdir("/dev/shm"))
    assert process.stdout.read(2) == b"up"
    process.send_signal(signal.SIGKILL)
    assert process.wait(HUNG) == -signal.SIGKILL
    assert list(scratch.iterdir()) == []
    assert set(os.listdir("/dev/shm")) <= before


def test_starts_quickly_and_is_small(tmp_path: Path) -> None:
    """Our own time to the first serial byte: 150 ms; 40 MB beyond the guest's memory and Python."""
    kernel = hello(origin=2 * BASE + 0x200).link()
    path = written(tmp_path / "bzImage", bzimage(kernel + bytes(14 << 20)))
    code = (
        "import time\n"
        "def most():\n"  # ru_maxrss would begin with what this process had before exec
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(l.split()[1]) for l in lines if l.startswith('VmHWM'))\n"
        "bare = most()\n"
        "began = time.process_time()\n"
        "from ringzero.machines.kvm import KvmMachine\n"
        "class Console:\n"
        "    used = None\n"
        "    def write(self, data):\n"
        "        self.used = self.used or time.process_time() - began\n"
        "console = Console()\n"
        f"with KvmMachine(memory='64M', kernel={str(path)!r}, console=console) as machine:\n"
        "    machine.run(timeout=20)\n"
        "    resident = most() - bare\n"
        "print(console.used, resident)\n"
    )
    tries = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    used, resident = zip(*(map(float, told.stdout.split()) for told in tries), strict=True)
    beyond = min(resident) / 1024 - 14  # MB; the kernel's pages are the guest's
    print(f"own time to the first byte: {min(used) * 1000:.0f} ms; resident: {beyond:.1f} MB")
    assert min(used) < 0.150
    assert beyond < 40


def test_needs_no_code_generator() -> None:
    code = (
        "import sys, ringzero.machines.kvm, ringzero.kvm.walk.measure\n"
        "print(sorted(m for m in sys.modules if 'llvm' in m or m == 'ringzero.lang.compiler'))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
