"""Drivers that others wrote against our devices: U-Boot's and Linux's."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import Any

import pytest

from ringzero import Machine
from ringzero.machine.disk.overlay import OverlayDisk
from ringzero.machine.disk.raw import RawDisk
from ringzero.machine.virtio.block import BlockDevice
from ringzero.outcome import PoweredOff
from tests.conftest import OPENSBI, UBOOT
from tests.limits import HUNG

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
            return machine.expect(answer, timeout=HUNG)

        machine.expect(rb"Hit any key", timeout=HUNG)
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
        machine.expect(rb"~ # ", timeout=HUNG)
        uart = machine.board.uart
        assert not uart.registers["used"]

        def command(text: str) -> str:
            machine.send(text.encode() + b"; echo e''nd\n")
            return machine.expect(rb"\nend\r", timeout=HUNG).decode(errors="replace")

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


@pytest.mark.needs_opensbi
@pytest.mark.needs_uboot
@pytest.mark.needs_debian
def test_uboot_boots_debian(debian_image: Any, tmp_path: Path) -> None:
    """OpenSBI starts U-Boot, which reads kernel and initrd from disks and starts Linux."""
    sizes = {}
    for name in ("kernel", "initrd"):
        data = Path(getattr(debian_image, name)).read_bytes()
        sizes[name] = len(data)
        (tmp_path / name).write_bytes(data + bytes(-len(data) % 512))
    bios = OPENSBI / "fw_jump.elf"
    with Machine(memory="512M", kernel=UBOOT / "uboot.elf", bios=bios) as machine:
        for name in sizes:
            machine.board.add_virtio(BlockDevice(RawDisk(tmp_path / name, read_only=True)), "pci")

        def command(text: str, answer: bytes = rb"=> ") -> None:
            machine.send(text.encode() + b"\n")
            machine.expect(answer, timeout=HUNG)

        machine.expect(rb"Hit any key", timeout=HUNG)
        command("")
        command("virtio scan")
        blocks = {name: -(-size // 512) for name, size in sizes.items()}
        command("virtio dev 0")
        command("virtio read 0x84000000 0 1", rb"read: OK")
        first = machine.memory.read(0x8400_0038, 4) == b"RSC\x05"
        for number, name in enumerate(("kernel", "initrd") if first else ("initrd", "kernel")):
            address = {"kernel": 0x8400_0000, "initrd": 0x8A00_0000}[name]
            command(f"virtio dev {number}")
            command(f"virtio read {address:#x} 0 {blocks[name]:#x}", rb"read: OK")
        command("setenv bootargs console=ttyS0 ringzero.run=true")
        machine.send(
            f"booti 0x84000000 0x8a000000:{sizes['initrd']:#x} ${{fdtcontroladdr}}\n".encode()
        )
        machine.expect(rb"Linux version 6\.", timeout=HUNG)
        assert machine.run(timeout=HUNG) == PoweredOff(0)
