"""Snapshots: a machine goes on where another one stopped, also from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.errors import UsageError
from ringzero.kvm.board import layout
from ringzero.kvm.snapshot import Snapshot
from ringzero.machines.kvm import KvmMachine
from tests.kvm.conftest import needs_kvm
from tests.kvm.kernels import BASE, Kernel, elf64, written
from tests.limits import HUNG

pytestmark = needs_kvm


def counting(folder: Path) -> Path:
    """Prints the next letter for each byte it gets; counts in a register and in memory."""
    kernel = Kernel(BASE, 64)
    kernel.mov("rbx", 0x5_0000)
    kernel.mov("r8", ord("a"))
    kernel.say(">")
    kernel.label("wait")
    kernel.mov("edx", layout.SERIAL + 5)
    kernel.op("in al, dx")
    kernel.arithmetic("and", "eax", 1)
    kernel.jump_if("jz", "wait")
    kernel.mov("edx", layout.SERIAL)
    kernel.op("in al, dx")
    kernel.mov("rax", "r8")
    kernel.op("out dx, al")
    kernel.arithmetic("add", "r8", 1)
    kernel.load("eax", "rbx")
    kernel.arithmetic("add", "eax", 1)
    kernel.store("rbx", "eax")
    kernel.jump("wait")
    return written(folder / "kernel", elf64(kernel.link()))


def test_goes_on_in_another_machine(tmp_path: Path) -> None:
    path = counting(tmp_path)
    file = tmp_path / "snapshot"
    with KvmMachine(memory="16M", kernel=path, cpus=2) as first:
        first.expect(b">", timeout=HUNG)
        first.send(b"12")
        first.expect(b"ab", timeout=HUNG)
        first.snapshot().write(file)
        first.send(b"3")
        first.expect(b"c", timeout=HUNG)
    snapshot = Snapshot.read(file)
    for _ in range(2):  # any number of machines may go on from it
        with KvmMachine(memory="16M", kernel=path, cpus=2) as second:
            second.restore(snapshot)
            assert second.memory.read(0x5_0000, 4) == (2).to_bytes(4, "little")
            second.send(b"3")
            assert second.expect(b"[a-z>]", timeout=HUNG) == b"c"
            assert second.memory.read(0x5_0000, 4) == (3).to_bytes(4, "little")


def test_saved_state_is_equal_after_restoring(tmp_path: Path) -> None:
    path = counting(tmp_path)
    with KvmMachine(memory="16M", kernel=path) as machine:
        machine.expect(b">", timeout=HUNG)
        before = machine.snapshot()
        machine.memory.write(0x30_0000, b"later")
        machine.restore(before)
        after = machine.snapshot()
    assert after.pages == before.pages
    assert after.vcpus[0].parts["regs"] == before.vcpus[0].parts["regs"]
    assert after.vcpus[0].parts["sregs"] == before.vcpus[0].parts["sregs"]
    assert after.devices == before.devices


def test_other_machines_and_files_are_refused(tmp_path: Path) -> None:
    path = counting(tmp_path)
    with KvmMachine(memory="16M", kernel=path) as machine:
        snapshot = machine.snapshot()
    with KvmMachine(memory="32M", kernel=path) as larger, pytest.raises(UsageError, match="16 MiB"):
        larger.restore(snapshot)
    with (
        KvmMachine(memory="16M", kernel=path, transport="pci") as other,
        pytest.raises(UsageError, match="other devices"),
    ):
        other.restore(snapshot)
    for content in (b"", b"something else", b"ringzero-kvm-snapshot-1\n" + bytes(20)):
        with pytest.raises(UsageError, match="not a snapshot"):
            Snapshot.read(written(tmp_path / "file", content))
