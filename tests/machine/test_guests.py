"""Drivers that others wrote against our devices: U-Boot's and Linux's."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest

from ringzero import Machine
from ringzero.machine.disk import OverlayDisk, RawDisk
from ringzero.machine.virtio.block import BlockDevice
from tests.conftest import OPENSBI, UBOOT

pytestmark = pytest.mark.slow


@pytest.mark.needs_opensbi
@pytest.mark.needs_uboot
def test_uboot_reads_and_writes_disks_over_both_transports(tmp_path: Path) -> None:
    content = random.Random(5).randbytes(1 << 20)
    for name in ("pci", "mmio"):
        (tmp_path / name).write_bytes(content)
    kernel, bios = UBOOT / "uboot.elf", OPENSBI / "fw_jump.elf"
    with Machine(memory="128M", kernel=kernel, bios=bios) as machine:
        machine.board.add_virtio(BlockDevice(RawDisk(tmp_path / "pci")), "pci")
        overlay = OverlayDisk(RawDisk(tmp_path / "mmio", read_only=True))
        machine.board.add_virtio(BlockDevice(overlay), "mmio")

        def command(text: str, answer: bytes) -> bytes:
            machine.send(text.encode() + b"\n")
            return machine.expect(answer, timeout=60)

        machine.expect(rb"Hit any key", timeout=120)
        command("", rb"=> ")
        assert b"Couldn" not in command("virtio scan", rb"=> ")
        found = command("virtio info", rb"(?s)Device 1:.*?=> ")
        assert found.count(b"Capacity: 1.0 MB") == 2
        seen = b""
        for device in (0, 1):
            command(f"virtio dev {device}", rb"current device")
            command("virtio read 0x84000000 0x0 0x800", rb"2048 blocks read: OK")
            seen += machine.memory.read(0x8400_0000, len(content))
            command("mw.b 0x84000000 0x5a 0x400", rb"=> ")
            command("virtio write 0x84000000 0x10 0x2", rb"2 blocks written: OK")
            command("virtio read 0x85000000 0x10 0x3", rb"3 blocks read: OK")
            after = machine.memory.read(0x8500_0000, 3 * 512)
            assert after == b"Z" * 1024 + content[18 * 512 : 19 * 512]
        assert seen == content * 2
        changed = content[: 16 * 512] + b"Z" * 1024 + content[18 * 512 :]
        assert sorted([(tmp_path / name).read_bytes() for name in ("pci", "mmio")]) == sorted(
            [changed, content]
        )


@pytest.mark.needs_debian
def test_linux_binds_its_drivers_and_talks_over_the_virtio_console(debian_image: object) -> None:
    kernel: Path = debian_image.kernel  # type: ignore[attr-defined]
    initrd: Path = debian_image.initrd  # type: ignore[attr-defined]
    with Machine(kernel=kernel, initrd=initrd, append="console=hvc0 quiet") as machine:
        machine.expect(rb"~ # ", timeout=240)
        uart = machine.board.uart
        assert not uart.received

        def command(text: str) -> str:
            machine.send(text.encode() + b"; echo e''nd\n")
            return machine.expect(rb"\nend\r", timeout=60).decode(errors="replace")

        interrupts = command("cat /proc/interrupts")
        line = re.compile(r":\s+(\d+)\s+(?:SiFive PLIC|RISC-V INTC).*\s(\S+)")
        counts = {name: int(count) for count, name in line.findall(interrupts)}
        assert counts["virtio0"] > 0
        assert counts["riscv-timer"] > 0
        assert "ttyS0 at MMIO 0x10000000" in command("dmesg | grep ttyS0")
        assert "virtio-pci" in command("readlink /sys/bus/pci/devices/0000:00:01.0/driver")
        epoch = int(re.findall(r"\n(\d{9,})\r", command("date +%s"))[0])
        assert abs(epoch - time.time()) < 120
        machine.send(b"x" * 3000 + b"\x03")  # far more than the queue holds at once
        assert "alive" in command("echo al''ive")
