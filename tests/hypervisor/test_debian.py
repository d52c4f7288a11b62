"""Debian's unmodified kernel and initramfs under the hypervisor, on QEMU."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ringzero.hypervisor.host.build import Built, Guest, build
from tests.hypervisor.carriers import MEGABYTE, on_qemu, qemu
from tests.limits import HUNG

pytestmark = [pytest.mark.slow, pytest.mark.needs_qemu, pytest.mark.needs_debian]


def debian(image: Any, memory: int, append: str, technique: str = "trap") -> Guest:
    kernel, initrd = Path(image.kernel), Path(image.initrd)
    return Guest(kernel, initrd, f"console=ttyS0 {append}", memory, technique=technique)


def exit_table(output: str) -> dict[str, tuple[int, int]]:
    """What the hypervisor prints at the end: exits by name, and instructions for each."""
    rows = re.findall(r"^  (.+?) *: (\d+) exits, (\d+) instructions each", output, re.M)
    return {name: (int(count), int(each)) for name, count, each in rows}


def kernel_instructions(output: str) -> int:
    return int(re.search(r"kernel instructions (\d+)", output)[1])  # type: ignore[index]


def test_boot_and_power_off(debian_image: Any, tmp_path: Path) -> None:
    append = 'earlycon=sbi ringzero.run="uname -m; cat /proc/interrupts"'
    built = build([debian(debian_image, 512 * MEGABYTE, append)], report=True)
    ended = on_qemu(built, tmp_path, "-icount", "shift=0", timeout=600)
    assert ended.code == 0
    assert "riscv64" in ended.output
    assert "riscv-timer" in ended.output
    assert "reboot: Power down" in ended.output
    # the exit table at the end, with instructions counted exactly
    table = exit_table(ended.output)
    count, each = table["csr 0x100"]
    assert 200_000 < count < 400_000
    assert each < 200
    spent = sum(count * each for count, each in table.values())
    assert spent < 0.12 * kernel_instructions(ended.output)


def test_boot_in_vs_mode(debian_image: Any, tmp_path: Path) -> None:
    """The same kernel under `hardware`: exits for devices and first touches of memory only."""
    append = 'earlycon=sbi ringzero.run="uname -m; cat /proc/interrupts"'
    built = build([debian(debian_image, 512 * MEGABYTE, append, "hardware")], report=True)
    ended = on_qemu(built, tmp_path, "-icount", "shift=0", timeout=600)
    assert ended.code == 0
    assert "riscv-timer" in ended.output
    assert "reboot: Power down" in ended.output
    table = exit_table(ended.output)
    assert sum(count for count, _ in table.values()) < 20_000
    spent = sum(count * each for count, each in table.values())
    assert spent < 0.01 * kernel_instructions(ended.output)


class Console:
    """A running QEMU whose console is read and written."""

    def __init__(self, built: Built, folder: Path) -> None:
        self.process = subprocess.Popen(
            [*qemu(built, folder), "-display", "none", "-serial", "stdio", "-monitor", "none"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.output = b""

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()
        time.sleep(0.3)

    def wait(self, text: bytes, times: int = 1, seconds: float = 600) -> None:
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        while self.output.count(text) < times:
            assert time.monotonic() < end, f"{text!r} is not in {self.output[-3000:]!r}"
            time.sleep(0.1)
            self.output += self.process.stdout.read() or b""


@pytest.mark.parametrize(
    "techniques", [["trap"] * 2, ["trap"] * 4, ["hardware"] * 2, ["hardware", "trap"]]
)
def test_several_at_once(techniques: list[str], debian_image: Any, tmp_path: Path) -> None:
    """Type into either of them; kill one: the others go on; the machine ends with the last."""
    count = len(techniques)
    guests = [debian(debian_image, 128 * MEGABYTE, "quiet", one) for one in techniques]
    console = Console(build(guests), tmp_path)
    try:
        console.wait(b"~ # ", times=count)
        for i in range(count):
            console.send(b"\x1d%d" % i)
            console.send(b"echo guest$((%d+40))\n" % i)
            console.wait(b"[vm%d] guest%d" % (i, i + 40))
        console.send(b"\x1d1")
        console.send(b"\x1dk")
        console.send(b"\x1d0")
        console.send(b"echo alive$((40+2))\n")
        console.wait(b"[vm0] alive42")
        for i in range(2, count):
            console.send(b"\x1d%d" % i)
            console.send(b"exit\n")
        console.send(b"\x1d0")
        console.send(b"exit\n")
        assert console.process.wait(HUNG) == 137  # of the one that was killed
    finally:
        console.process.kill()
        console.process.wait()
