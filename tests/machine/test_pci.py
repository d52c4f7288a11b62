"""PCI Express as Linux enumerates it: ECAM, BAR sizing and moving, interrupt routing."""

from __future__ import annotations

import struct

import pytest

from ringzero.board import addresses as at
from ringzero.errors import UsageError
from ringzero.machine.tree import device_tree
from ringzero.machine.virtio.entropy import EntropyDevice
from tests.device_trees import parse
from tests.machine.driver import BAR, RAM, WRITE, Bench, PciDriver, bring_up, start

SEIP = 1 << 9
ONES = 0xFFFF_FFFF


def config(slot: int, register: int) -> int:
    return at.ECAM_BASE + (slot << 15) + register


def entropy() -> EntropyDevice:
    return EntropyDevice(lambda count: b"\x5a" * count)


def test_enumeration_finds_the_bridge_and_the_devices_and_nothing_else() -> None:
    bench = Bench()
    bench.board.add_virtio(entropy())
    assert bench.read(config(0, 0)) == 0x0008_1B36
    assert bench.read(config(0, 8)) >> 16 == 0x0600
    assert bench.read(config(1, 0)) == 0x1044_1AF4
    assert bench.read(config(1, 0x3D), 1) == 1
    for slot in range(2, 32):
        assert bench.read(config(slot, 0)) == ONES
    assert bench.read(config(1, 0) + (1 << 12)) == ONES, "one function only"
    assert bench.read(config(0, 0) + (1 << 20)) == ONES, "one bus only"
    assert bench.read(config(1, 0x100)) == 0, "no extended capability"
    bench.write(config(1, 0), 0)
    assert bench.read(config(1, 0)) == 0x1044_1AF4


def test_capabilities_describe_the_bar() -> None:
    bench = Bench()
    bench.board.add_virtio(entropy())
    assert bench.read(config(1, 6), 2) & 0x10
    place, seen = bench.read(config(1, 0x34), 1), {}
    while place:
        assert bench.read(config(1, place), 1) == 9
        kind = bench.read(config(1, place + 3), 1)
        seen[kind] = (
            bench.read(config(1, place + 4), 1),
            bench.read(config(1, place + 8)),
            bench.read(config(1, place + 12)),
        )
        if kind == 2:
            assert bench.read(config(1, place + 16)) == 4
        place = bench.read(config(1, place + 1), 1)
    page = 0x1000
    assert seen == {
        1: (4, 0, page), 3: (4, page, page), 4: (4, 2 * page, page), 2: (4, 3 * page, page),
        5: (0, 0, 0),
    }  # fmt: skip


@pytest.mark.parametrize("address", [BAR, 0x7FFF_C000, 0x4_0000_0000, 0x7_FFFF_C000])
def test_bar_is_sized_and_moved(address: int) -> None:
    bench = Bench()
    bench.board.add_virtio(entropy())
    for word in (0x20, 0x24):
        bench.write(config(1, word), ONES)
    low, high = bench.read(config(1, 0x20)), bench.read(config(1, 0x24))
    assert low & 15 == 0xC
    assert ((high << 32 | low & ~15) ^ (1 << 64) - 1) + 1 == 0x4000
    bench.write(config(1, 0x10), ONES)
    assert bench.read(config(1, 0x10)) == 0, "the other registers are not there"
    driver = PciDriver(bench, 1, address)
    assert driver.features & 1 << 32
    bench.write(config(1, 4), 0, 2)
    assert bench.read(address) == ONES, "memory accesses are gated"


def test_bar_outside_the_windows_or_over_another_hurts_nobody() -> None:
    bench = Bench()
    for _ in range(2):
        bench.board.add_virtio(entropy())
    PciDriver(bench, 1, BAR)
    bench.write(config(2, 4), 2, 2)
    for address in (0, 0x1000, at.UART_BASE, RAM, BAR, BAR - 0x4000, (1 << 64) - 0x4000):
        bench.write(config(2, 0x20), address & ONES)
        bench.write(config(2, 0x24), address >> 32)
    bench.write(config(2, 0x20), BAR)
    bench.write(config(2, 0x24), 0)
    assert PciDriver(bench, 1, BAR).features
    assert bench.read(at.UART_BASE + 5, 1) == 0x60


@pytest.mark.parametrize("slot", [1, 2, 3, 4, 5])
def test_interrupt_is_swizzled_by_slot(slot: int) -> None:
    bench = Bench()
    for _ in range(slot - 1):
        bench.board.add_virtio(entropy())
    driver, (ring,) = start(bench, entropy(), "pci")
    source = at.PCI_SOURCE + slot % 4
    bench.write(at.PLIC_BASE + 4 * source, 1)
    bench.write(at.PLIC_BASE + 0x2080 + 4, 1 << source - 32)
    ring.add((RAM + 0x8000, 8, WRITE))
    driver.kick(0)
    assert bench.board.lines[0] == SEIP
    assert bench.read(config(slot, 6), 2) & 8
    bench.write(config(slot, 4), 0x406, 2)  # interrupt disable
    assert bench.read(at.PLIC_BASE + 0x20_1004) == source
    bench.write(at.PLIC_BASE + 0x20_1004, source)
    assert bench.board.lines[0] == 0
    bench.write(config(slot, 4), 6, 2)
    assert bench.board.lines[0] == SEIP
    assert driver.cause() == 1
    assert driver.cause() == 0, "reading acknowledges"
    assert not bench.read(config(slot, 6), 2) & 8


def test_registers_through_configuration_space() -> None:
    bench = Bench()
    bench.board.add_virtio(entropy())
    bench.write(config(1, 4), 6, 2)
    place = bench.read(config(1, 0x34), 1)
    while bench.read(config(1, place + 3), 1) != 5:
        place = bench.read(config(1, place + 1), 1)

    def window(offset: int, length: int) -> None:
        bench.write(config(1, place + 4), 4, 1)
        bench.write(config(1, place + 8), offset)
        bench.write(config(1, place + 12), length)

    window(20, 1)
    bench.write(config(1, place + 16), 3, 1)
    assert bench.read(config(1, place + 16), 1) == 3
    window(18, 2)
    assert bench.read(config(1, place + 16), 2) == 1
    window(0xFFFF_FFFC, 4)
    bench.write(config(1, place + 16), 3)
    window(1, 2)
    bench.read(config(1, place + 16), 2)


def test_too_many_devices_is_a_sentence() -> None:
    bench = Bench()
    for _ in range(31):
        bench.board.add_virtio(entropy())
    with pytest.raises(UsageError, match="32 PCI slots"):
        bench.board.add_virtio(entropy())
    for _ in range(8):
        bench.board.add_virtio(entropy(), "mmio")
    with pytest.raises(UsageError, match="slots are in use"):
        bench.board.add_virtio(entropy(), "mmio")


def test_board_reset_unmaps_and_resets_the_devices() -> None:
    bench = Bench()
    driver, _ = start(bench, entropy(), "pci")
    bench.board.reset()
    assert bench.read(BAR) == ONES
    assert isinstance(driver, PciDriver)
    again = PciDriver(bench, 1)
    assert again.status() == 0
    bring_up(again)


MEMORY_64 = 3  # the space code of a 64-bit memory window in `ranges` of the PCI bus binding


@pytest.mark.parametrize("gigabytes", [1, 14, 16, 64])
def test_a_bar_answers_in_the_high_window_that_the_device_tree_names(gigabytes: int) -> None:
    """The window gives way to large RAM, on the bus as in the tree."""
    bench = Bench(megabytes=gigabytes << 10)
    bench.board.add_virtio(entropy())
    ranges = parse(device_tree(bench.board))[f"/soc/pci@{at.ECAM_BASE:x}"]["ranges"]
    rows = [struct.unpack_from(">IQQQ", ranges, place) for place in range(0, len(ranges), 28)]
    ((_, on_bus, on_board, size),) = [row for row in rows if row[0] >> 24 & 3 == MEMORY_64]
    assert on_bus == on_board
    assert on_board >= bench.memory.end, "RAM is never hidden"
    for address in (on_board, on_board + size - 0x4000):
        assert PciDriver(bench, 1, address).features & 1 << 32
    for address in (on_board - 4, on_board + size):
        assert bench.board.bus.find(address) is None
    bench.memory.close()
