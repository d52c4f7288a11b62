"""Facts of `board` beside what the machine does: addresses, interrupt numbers, windows, codes."""

from __future__ import annotations

import struct

import pytest

from ringzero.board import addresses as at
from ringzero.board import clint, finisher, plic, uart
from ringzero.isa.privileged.trap import MSI, SEI
from ringzero.machine.tree import device_tree
from ringzero.machine.virtio.console import ConsoleDevice
from ringzero.machine.virtio.entropy import EntropyDevice
from ringzero.outcome import PoweredOff, Rebooted
from tests.device_trees import parse
from tests.machine.driver import WRITE, Bench, Driver, PciDriver, Ring, start

SUPERVISOR = 1  # the PLIC's context of hart 0's supervisor


def wide(cells: bytes) -> list[int]:
    """Pairs of cells as numbers."""
    return list(struct.unpack(f">{len(cells) // 8}Q", cells))


def source_of(bench: Bench) -> int:
    """The interrupt that hart 0's supervisor is given when every source is enabled."""
    for source in range(1, at.LAST_SOURCE + 1):
        bench.write(at.PLIC_BASE + 4 * source, 1)
    for word in range(plic.SOURCES // 32):
        place = plic.ENABLE + SUPERVISOR * plic.ENABLE_STRIDE + 4 * word
        bench.write(at.PLIC_BASE + place, 0xFFFF_FFFF)
    bench.board.tick()
    context = plic.CONTEXT + SUPERVISOR * plic.CONTEXT_STRIDE
    return bench.read(at.PLIC_BASE + context + plic.CLAIM)


WINDOWS = {
    "rom": (at.ROM_BASE, at.ROM_SIZE),
    "test": (at.FINISHER_BASE, finisher.SIZE),
    "rtc": (at.RTC_BASE, 0x1000),
    "clint": (at.CLINT_BASE, clint.SIZE),
    "plic": (at.PLIC_BASE, plic.SIZE),
    "serial": (at.UART_BASE, uart.SIZE),
    "virtio": (at.VIRTIO_BASE, at.VIRTIO_SIZE),
    "pci": (at.ECAM_BASE, 0x1000_0000),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_answers_from_its_first_byte_to_its_last(name: str) -> None:
    base, size = WINDOWS[name]
    bus = Bench().board.bus
    found = bus.find(base)
    assert found is not None
    assert found[0] == base
    assert bus.find(base + size - 1) == found
    behind = bus.find(base + size)
    assert behind is None or behind[0] == base + size
    before = bus.find(base - 1)
    assert before is None or before[1] is not found[1]


@pytest.mark.parametrize("name", ["test", "rtc", "clint", "plic", "serial", "virtio_mmio", "pci"])
def test_the_device_tree_announces_the_windows_that_answer(name: str) -> None:
    bench = Bench()
    nodes = [
        (path, properties)
        for path, properties in parse(device_tree(bench.board)).items()
        if path.startswith(f"/soc/{name}@") and path.count("/") == 2
    ]
    assert len(nodes) == (at.VIRTIO_SLOTS if name == "virtio_mmio" else 1)
    for path, properties in nodes:
        base, size = wide(properties["reg"])
        found = bench.board.bus.find(base)
        assert found is not None, path
        assert found[0] == base, path
        assert found[1].size == size, path
        assert path.endswith(f"@{base:x}")


def test_ram_begins_where_it_is_said() -> None:
    bench = Bench(megabytes=16)
    assert bench.memory.base == at.RAM_BASE
    tree = parse(device_tree(bench.board))
    assert wide(tree[f"/memory@{at.RAM_BASE:x}"]["reg"]) == [at.RAM_BASE, 16 << 20]


def test_the_clock_ticks_as_often_as_it_is_said() -> None:
    bench = Bench()
    before = bench.read(at.CLINT_BASE + clint.MTIME, 8)
    bench.instructions += 1_000_000_000  # a second, by the instructions' clock
    assert bench.read(at.CLINT_BASE + clint.MTIME, 8) - before == at.TIMEBASE
    cpus = parse(device_tree(bench.board))["/cpus"]
    assert cpus["timebase-frequency"] == struct.pack(">I", at.TIMEBASE)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (finisher.PASS, PoweredOff(0)),
        (finisher.FAIL | 7 << 16, PoweredOff(7)),
        (finisher.FAIL, PoweredOff(1)),
        (finisher.RESET, Rebooted()),
    ],
)
def test_the_finisher_knows_its_codes(code: int, outcome: object) -> None:
    bench = Bench()
    bench.write(at.FINISHER_BASE, code)
    assert bench.outcomes == [outcome]


def test_the_uart_interrupts_by_its_number() -> None:
    bench = Bench()
    bench.write(at.UART_BASE + uart.IER, uart.SENT, 1)
    assert source_of(bench) == at.UART_SOURCE
    assert parse(device_tree(bench.board))[f"/soc/serial@{at.UART_BASE:x}"][
        "interrupts"
    ] == struct.pack(">I", at.UART_SOURCE)


def test_the_clock_of_the_day_interrupts_by_its_number() -> None:
    bench = Bench()
    bench.write(at.RTC_BASE + 0x10, 1)  # IRQ_ENABLED; then an alarm at once
    bench.write(at.RTC_BASE + 0x0C, 0)
    bench.write(at.RTC_BASE + 0x08, 0)
    assert source_of(bench) == at.RTC_SOURCE


@pytest.mark.parametrize("slot", [0, 3, 7])
def test_a_virtio_mmio_slot_interrupts_by_its_number(slot: int) -> None:
    bench = Bench()
    for _ in range(slot):
        bench.board.add_virtio(EntropyDevice(), "mmio")
    device = ConsoleDevice(bench.printed.extend)
    driver, rings = start(bench, device, "mmio", queues=2)
    have_input(bench, driver, rings[0], device)
    assert source_of(bench) == at.VIRTIO_SOURCE + slot


@pytest.mark.parametrize("before", [0, 1, 4])
def test_a_pci_function_interrupts_by_the_number_of_its_slot(before: int) -> None:
    bench = Bench()
    for _ in range(before):
        bench.board.add_virtio(EntropyDevice(), "pci")
    device = ConsoleDevice(bench.printed.extend)
    driver, rings = start(bench, device, "pci", queues=2)
    have_input(bench, driver, rings[0], device)
    slot = bench.board.pci.slots.index(None) - 1
    lines = parse(device_tree(bench.board))[f"/soc/pci@{at.ECAM_BASE:x}"]["interrupt-map"]
    rows = [struct.unpack(">6I", lines[i : i + 24]) for i in range(0, len(lines), 24)]
    announced = {(row[0] >> 11, row[3]): row[5] for row in rows}
    assert source_of(bench) == announced[slot % 4, 1] == at.PCI_SOURCE + slot % 4


def have_input(bench: Bench, driver: Driver, ring: Ring, device: ConsoleDevice) -> None:
    """Let a console answer a request, for which it interrupts."""
    ring.add((at.RAM_BASE + 0x1_0000, 8, WRITE))
    device.feed(b"x")
    bench.board.tick()
    driver.kick(0)
    bench.board.tick()


def test_a_software_interrupt_is_of_the_hart_whose_register_it_is() -> None:
    bench = Bench(cpus=3)
    bench.write(at.CLINT_BASE + clint.MSIP + 4 * 2, 1)
    assert bench.board.lines == [0, 0, 1 << MSI]


def test_the_external_interrupt_is_of_the_context_that_enables_it() -> None:
    bench = Bench(cpus=2)
    bench.write(at.PLIC_BASE + 4 * at.UART_SOURCE, 1)
    context = 2 * 1 + plic.SUPERVISOR
    bench.write(at.PLIC_BASE + plic.ENABLE + context * plic.ENABLE_STRIDE, 1 << at.UART_SOURCE)
    bench.write(at.UART_BASE + uart.IER, uart.SENT, 1)
    bench.board.tick()
    assert bench.board.lines == [0, 1 << SEI]


@pytest.mark.parametrize("gigabytes", [1, 14, 16, 64])
def test_pci_windows_answer_where_the_device_tree_says(gigabytes: int) -> None:
    bench = Bench(megabytes=gigabytes << 10)
    cells = parse(device_tree(bench.board))[f"/soc/pci@{at.ECAM_BASE:x}"]["ranges"]
    rows = [struct.unpack(">IQQQ", cells[i : i + 28]) for i in range(0, len(cells), 28)]
    assert len(rows) == 3
    for kind, _, base, size in rows:
        for address in (base, base + size - 1):
            assert bench.board.bus.find(address) is not None, f"{kind:#x} at {address:#x}"
        assert base >= bench.memory.end or base + size <= bench.memory.base
    bench.board.add_virtio(EntropyDevice(), "pci")
    for kind, _, base, _ in rows:
        if kind >> 24 in (2, 3):  # memory, of 32 and of 64 bits: a function answers there
            driver = PciDriver(bench, bench.board.pci.slots.index(None) - 1, bar=base)
            assert driver.features, f"{base:#x}"
    bench.memory.close()
