"""Drivers from before virtio 1.0: without VERSION_1, or with the old registers of virtio-mmio."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ringzero.board import addresses as at
from ringzero.machine.disk.raw import RawDisk
from ringzero.machine.virtio.block import BlockDevice
from ringzero.machine.virtio.console import ConsoleDevice
from tests.machine.driver import (
    RAM,
    VERSION_1,
    WRITE,
    Bench,
    LegacyDriver,
    MmioDriver,
    PciDriver,
    bring_up,
)

SLOT = at.VIRTIO_BASE
HEADER, DATA, STATUS = RAM + 0x8000, RAM + 0x9000, RAM + 0xA000
MAGIC, VENDOR = 0x7472_6976, 0x554D_4551


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"".join(struct.pack("<I", sector) * 128 for sector in range(64)))
    return path


def sector(driver: MmioDriver | PciDriver, number: int) -> bytes:
    """Read one sector as a legacy driver does: header, data and status in a segment each."""
    memory = driver.bench.memory
    (ring,) = bring_up(driver, accept=lambda features: features & ~VERSION_1 & ~(3 << 28))
    memory.write(HEADER, struct.pack("<IIQ", 0, 0, number))
    memory.write(STATUS, b"\xee")
    ring.add((HEADER, 16, 0), (DATA, 512, WRITE), (STATUS, 1, WRITE))
    driver.kick(0)
    assert ring.answers() == [(0, 513)]
    assert memory.read(STATUS, 1) == b"\0"
    return memory.read(DATA, 512)


@pytest.mark.parametrize("transport", ["mmio", "pci"])
def test_a_driver_without_version_1_is_served(image: Path, transport: str) -> None:
    """As QEMU's transitional devices do it: xv6 is such a driver, at virtio-mmio slot 0."""
    bench = Bench()
    bench.board.add_virtio(BlockDevice(RawDisk(image)), transport)  # type: ignore[arg-type]
    driver = MmioDriver(bench, 0) if transport == "mmio" else PciDriver(bench, 1)
    assert driver.features & VERSION_1
    assert sector(driver, 7) == struct.pack("<I", 7) * 128


def test_slots_by_number_say_what_is_in_them(image: Path) -> None:
    bench = Bench()
    bench.board.add_virtio(BlockDevice(RawDisk(image)), "mmio")
    found = [
        [bench.read(SLOT + number * at.VIRTIO_SIZE + offset) for offset in (0, 4, 8, 12)]
        for number in range(at.VIRTIO_SLOTS)
    ]
    assert found == [[MAGIC, 2, 2, VENDOR]] + [[MAGIC, 2, 0, VENDOR]] * 7


def test_a_legacy_slot_has_the_old_registers(image: Path) -> None:
    bench = Bench()
    bench.board.add_virtio(BlockDevice(RawDisk(image)), "mmio", legacy=True)
    assert [bench.read(SLOT + offset) for offset in (0, 4, 8, 12)] == [MAGIC, 1, 2, VENDOR]
    bench.write(SLOT + 0x14, 1)
    assert bench.read(SLOT + 0x10) == 0, "features end at bit 31"
    bench.write(SLOT + 0x14, 0)
    assert bench.read(SLOT + 0x10) & 1 << 6
    assert bench.read(SLOT + 0x34) == 256
    assert bench.read(SLOT + 0x44) == 0, "there is no QueueReady"
    assert sector(LegacyDriver(bench, 0), 9) == struct.pack("<I", 9) * 128


def test_a_legacy_queue_ends_with_page_number_0(image: Path) -> None:
    bench = Bench()
    device = BlockDevice(RawDisk(image))
    bench.board.add_virtio(device, "mmio", legacy=True)
    driver = LegacyDriver(bench, 0)
    bring_up(driver)
    assert device.queues[0].ready
    bench.write(SLOT + 0x40, 0)
    assert not device.queues[0].ready
    assert driver.status() & 64 == 0
    driver.ring(0, RAM + 0x4000, 16)
    assert device.queues[0].ready


def test_a_legacy_driver_may_start_before_driver_ok(image: Path) -> None:
    """virtio 1.2 §3.1.2: legacy drivers often used the device before they set DRIVER_OK."""
    bench = Bench()
    bench.board.add_virtio(BlockDevice(RawDisk(image)), "mmio", legacy=True)
    driver = LegacyDriver(bench, 0)
    driver.status(0)
    driver.status(3)
    ring = driver.ring(0, RAM + 0x2000, 16)
    bench.memory.write(HEADER, struct.pack("<IIQ", 0, 0, 5))
    ring.add((HEADER, 16, 0), (DATA, 512, WRITE), (STATUS, 1, WRITE))
    driver.kick(0)
    assert ring.answers() == [(0, 513)]
    assert bench.memory.read(DATA, 4) == struct.pack("<I", 5)


@pytest.mark.parametrize("page", [1, RAM // 4096 - 1, 0xFFFF_FFFF])
def test_a_legacy_ring_outside_ram_breaks_the_device_alone(page: int) -> None:
    bench = Bench()
    device = ConsoleDevice(lambda _: None)
    bench.board.add_virtio(device, "mmio", legacy=True)
    driver = LegacyDriver(bench, 0)
    driver.status(3)
    bench.write(SLOT + 0x28, 4096)
    bench.write(SLOT + 0x30, 1)
    bench.write(SLOT + 0x38, 16)
    bench.write(SLOT + 0x40, page)
    driver.kick(1)
    assert device.failure
    assert driver.status() & 64
    assert driver.status(0) == 0
