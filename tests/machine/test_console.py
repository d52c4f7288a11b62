"""virtio console and entropy: what comes from other threads waits until the driver has room."""

from __future__ import annotations

from ringzero.machine.virtio.console import ConsoleDevice
from ringzero.machine.virtio.entropy import REQUEST_LIMIT, EntropyDevice
from tests.machine.driver import EVENT_IDX, RAM, WRITE, Bench, start

BUFFER = RAM + 0x10_000


def test_output_in_order() -> None:
    bench = Bench()
    device = ConsoleDevice(bench.printed.extend)
    driver, (_, transmit) = start(bench, device, "pci", queues=2)
    assert not device.opened
    for number in range(30):
        bench.memory.write(BUFFER, b"line %02d\n" % number)
        transmit.add((BUFFER, 5, 0), (BUFFER + 5, 3, 0))
        driver.kick(1)
    assert bench.printed == b"".join(b"line %02d\n" % number for number in range(30))
    assert len(transmit.answers()) == 30
    assert device.opened
    driver.status(0)
    assert not device.opened


def test_input_waits_for_buffers_and_wakes_the_harts() -> None:
    bench = Bench()
    device = ConsoleDevice(bench.printed.extend)
    driver, (receive, _) = start(
        bench, device, "pci", queues=2, accept=lambda features: features & ~EVENT_IDX
    )
    device.feed(b"hello ")
    device.feed(b"world")
    assert bench.wakes == 2
    bench.board.tick()
    assert receive.answers() == []
    receive.add((BUFFER, 8, WRITE))
    driver.kick(0)
    assert receive.answers() == [(0, 8)]
    assert driver.cause() == 1
    receive.add((BUFFER + 8, 64, WRITE))
    driver.kick(0)
    assert receive.answers() == [(1, 3)]
    assert bench.memory.read(BUFFER, 11) == b"hello world"
    receive.add((BUFFER, 64, WRITE))
    driver.kick(0)
    assert receive.answers() == [], "an empty answer would mean end of file"
    device.feed(b"!")
    bench.board.tick()
    assert receive.answers() == [(2, 1)]
    assert any(bench.board.plic.registers["levels"])


def test_input_from_before_the_driver_is_kept() -> None:
    bench = Bench()
    device = ConsoleDevice(bench.printed.extend)
    device.feed(b"early")
    driver, (receive, _) = start(bench, device, "mmio", queues=2)
    receive.add((BUFFER, 64, WRITE))
    driver.kick(0)
    assert receive.answers() == [(0, 5)]


def test_size_changes_are_announced() -> None:
    bench = Bench()
    device = ConsoleDevice(bench.printed.extend, columns=80, rows=24)
    driver, _ = start(bench, device, "pci", queues=2)
    assert (driver.device_config(0, 2), driver.device_config(2, 2)) == (80, 24)
    device.resize(132, 43)
    bench.board.tick()
    assert (driver.device_config(0, 2), driver.device_config(2, 2)) == (132, 43)
    assert driver.cause() == 2


def test_emergency_write_needs_no_queue() -> None:
    bench = Bench()
    bench.board.add_virtio(ConsoleDevice(bench.printed.extend), "mmio")
    bench.write(0x1000_1108, ord("!"))
    assert bench.printed == b"!"


def test_entropy_fills_what_it_is_given_and_not_more_than_its_limit() -> None:
    bench = Bench()
    device = EntropyDevice(lambda count: b"\x5a" * count)
    driver, (ring,) = start(bench, device, "mmio")
    ring.add((BUFFER, 5, WRITE), (BUFFER + 16, 3, WRITE))
    ring.add((BUFFER + 0x1000, 2 * REQUEST_LIMIT, WRITE))
    ring.add((BUFFER, 4, 0))
    driver.kick(0)
    assert ring.answers() == [(0, 8), (2, REQUEST_LIMIT), (3, 0)]
    assert bench.memory.read(BUFFER, 20) == b"ZZZZZ" + bytes(11) + b"ZZZ\0"
    end = BUFFER + 0x1000 + REQUEST_LIMIT
    assert bench.memory.read(end - 1, 2) == b"Z\0"
