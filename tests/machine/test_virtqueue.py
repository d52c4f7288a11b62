"""The virtqueue against drivers that keep the rules and drivers that do not, on every transport."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from ringzero.machine.virtio.device import VirtioDevice
from ringzero.machine.virtio.queue import Chain
from tests.machine.driver import (
    EVENT_IDX,
    INDIRECT,
    INDIRECT_DESC,
    NEXT,
    RAM,
    VERSION_1,
    WRITE,
    Bench,
    Driver,
    Ring,
    bring_up,
    start,
)

NEEDS_RESET = 64
BUFFER = RAM + 0x10_000


class Echo(VirtioDevice):
    """Copies what is readable to what is writable."""

    device_id = 42

    def __init__(self) -> None:
        super().__init__([16, 16])
        self.held: list[Chain] = []
        self.hold = False

    def notify(self, queue_index: int) -> None:
        queue = self.queues[queue_index]
        for chain in queue.requests():
            if self.hold:
                self.held.append(chain)
            else:
                self.push(queue, chain, chain.write(chain.read()))


@pytest.fixture(params=["pci", "mmio", "legacy"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["pci", "mmio"])
def modern(request: pytest.FixtureRequest) -> str:
    """Transports with FEATURES_OK, and with rings wherever the driver likes."""
    name: str = request.param
    return name


def echo(
    transport: str, accept: Callable[[int], int] = lambda features: features
) -> tuple[Bench, Echo, Driver, Ring]:
    bench, device = Bench(), Echo()
    driver, rings = start(bench, device, transport, accept=accept)
    return bench, device, driver, rings[0]


def test_requests_split_anywhere(transport: str) -> None:
    bench, _, driver, ring = echo(transport)
    bench.memory.write(BUFFER, b"abcdefghij")
    head = ring.add(
        (BUFFER, 3, 0), (BUFFER + 3, 7, 0), (BUFFER + 0x100, 1, WRITE), (BUFFER + 0x200, 90, WRITE)
    )
    driver.kick(0)
    assert ring.answers() == [(head, 10)]
    assert bench.memory.read(BUFFER + 0x100, 2) == b"a\0"
    assert bench.memory.read(BUFFER + 0x200, 10) == b"bcdefghij\0"
    assert driver.cause() == 1


def test_rings_wrap(transport: str) -> None:
    bench, _, driver, ring = echo(transport)
    for number in range(200):
        bench.memory.write(BUFFER, bytes([number]))
        head = ring.add((BUFFER, 1, 0), (BUFFER + 8, 1, WRITE))
        driver.kick(0)
        assert ring.answers() == [(head, 1)]
        assert bench.memory.read(BUFFER + 8, 1) == bytes([number])


def test_indirect_tables(transport: str) -> None:
    bench, _, driver, ring = echo(transport)
    bench.memory.write(BUFFER, b"hello")
    table = struct.pack("<QIHH", BUFFER, 5, NEXT, 1)
    table += struct.pack("<QIHH", BUFFER + 16, 5, WRITE, 0)
    bench.memory.write(RAM + 0x9000, table)
    head = ring.add((RAM + 0x9000, 32, INDIRECT))
    driver.kick(0)
    assert ring.answers() == [(head, 5)]
    assert bench.memory.read(BUFFER + 16, 5) == b"hello"


def test_interrupts_are_suppressed_by_flag(transport: str) -> None:
    bench, _, driver, ring = echo(transport, lambda features: features & ~EVENT_IDX)
    bench.memory.write(ring.available, struct.pack("<H", 1))
    ring.add((BUFFER, 1, 0))
    driver.kick(0)
    assert driver.cause() == 0
    bench.memory.write(ring.available, struct.pack("<H", 0))
    ring.add((BUFFER, 1, 0))
    driver.kick(0)
    assert driver.cause() == 1


def test_interrupts_come_at_used_event(transport: str) -> None:
    bench, _, driver, ring = echo(transport)
    bench.memory.write(ring.available + 4 + 2 * ring.size, struct.pack("<H", 2))
    for expected in (0, 0, 1, 0):
        ring.add((BUFFER, 1, 0))
        driver.kick(0)
        assert driver.cause() == expected
    place = ring.used + 4 + 8 * ring.size
    assert struct.unpack("<H", bench.memory.read(place, 2)) == (4,)


def test_written_memory_is_announced() -> None:
    bench, _, driver, ring = echo("pci")
    told: list[tuple[int, int]] = []
    bench.memory.on_write = lambda address, size: told.append((address, size))
    ring.add((BUFFER, 4, 0), (BUFFER + 0x5000, 4, WRITE))
    told.clear()
    driver.kick(0)
    assert (BUFFER + 0x5000, 4) in told


def broken(bench: Bench, driver: Driver, device: VirtioDevice) -> None:
    """The device wants a reset, says so by an interrupt, and works again after one."""
    assert driver.status() & NEEDS_RESET
    assert device.failure
    assert driver.cause() & 2
    driver.kick(0)
    driver.status(0)
    (ring,) = bring_up(driver)
    bench.memory.write(BUFFER, b"x")
    ring.add((BUFFER, 1, 0), (BUFFER + 1, 1, WRITE))
    bench.memory.write(ring.used, bytes(6))
    driver.kick(0)
    assert ring.answers() == [(0, 1)]


def loop(ring: Ring) -> None:
    ring.describe(0, BUFFER, 4, NEXT, 1)
    ring.describe(1, BUFFER, 4, NEXT, 0)
    ring.offer(0)


def self_loop_in_indirect(ring: Ring) -> None:
    ring.memory.write(RAM + 0x9000, struct.pack("<QIHH", BUFFER, 4, NEXT, 0))
    ring.add((RAM + 0x9000, 16, INDIRECT))


def nested_indirect(ring: Ring) -> None:
    ring.memory.write(RAM + 0x9000, struct.pack("<QIHH", RAM + 0x9000, 16, INDIRECT, 0))
    ring.add((RAM + 0x9000, 16, INDIRECT))


def indirect_then_next(ring: Ring) -> None:
    ring.describe(0, RAM + 0x9000, 16, INDIRECT | NEXT, 1)
    ring.offer(0)


def wild_available_index(ring: Ring) -> None:
    ring.memory.write(ring.available + 2, struct.pack("<H", 0x7000))


def next_outside_table(ring: Ring) -> None:
    ring.describe(0, BUFFER, 4, NEXT, 999)
    ring.offer(0)


BREAKERS: list[Callable[[Ring], object]] = [
    loop,
    self_loop_in_indirect,
    nested_indirect,
    indirect_then_next,
    wild_available_index,
    next_outside_table,
    lambda ring: ring.offer(0xFFFF),
    lambda ring: ring.add((0x1000, 4, 0)),
    lambda ring: ring.add((RAM + (4 << 20) - 2, 4, WRITE)),
    lambda ring: ring.add((RAM - 1, 4, WRITE)),
    lambda ring: ring.add(((1 << 64) - 4, 0xFFFF_FFFF, WRITE)),
    lambda ring: ring.add((BUFFER, 0, 0)),
    lambda ring: ring.add((BUFFER, 4, WRITE), (BUFFER, 4, 0)),
    lambda ring: ring.add((RAM + 0x9000, 17, INDIRECT)),
    lambda ring: ring.add((RAM + 0x9000, 0, INDIRECT)),
    lambda ring: ring.add((0x1000, 16, INDIRECT)),
]


@pytest.mark.parametrize("breaker", BREAKERS)
def test_broken_rules_end_in_needs_reset(transport: str, breaker: Callable[[Ring], object]) -> None:
    bench, device, driver, ring = echo(transport)
    breaker(ring)
    driver.kick(0)
    broken(bench, driver, device)


def test_indirect_needs_the_feature(transport: str) -> None:
    bench, device, driver, ring = echo(transport, lambda features: features & ~INDIRECT_DESC)
    bench.memory.write(RAM + 0x9000, struct.pack("<QIHH", BUFFER, 4, 0, 0))
    ring.add((RAM + 0x9000, 16, INDIRECT))
    driver.kick(0)
    broken(bench, driver, device)


@pytest.mark.parametrize("base", [0, 0x1000, RAM - 0x10, RAM + (4 << 20) - 16, RAM + 8])
def test_rings_outside_ram_or_misaligned(modern: str, base: int) -> None:
    bench, device = Bench(), Echo()
    driver, _ = start(bench, device, modern)
    driver.status(0)
    for status in (1, 3):
        driver.status(status)
    driver.choose(driver.features)
    driver.status(11)
    driver.ring(0, base, 16)
    driver.status(15)
    driver.kick(0)
    broken(bench, driver, device)


def test_reset_while_a_request_is_in_flight(transport: str) -> None:
    bench, device, driver, ring = echo(transport)
    device.hold = True
    ring.add((BUFFER, 4, 0), (BUFFER + 0x100, 4, WRITE))
    driver.kick(0)
    (chain,) = device.held
    driver.status(0)
    before = bench.memory.read(RAM, 0x1_0000)
    device.push(device.queues[0], chain, 4)
    assert bench.memory.read(RAM, 0x1_0000) == before
    assert driver.cause() == 0


def test_features_must_be_a_subset(modern: str) -> None:
    bench, device = Bench(), Echo()
    driver, _ = start(bench, device, modern)
    for choice in (driver.features | 1 << 3, 1 << 63):
        driver.status(0)
        driver.status(3)
        driver.choose(choice)
        assert driver.status(11) == 3
    driver.choose(VERSION_1)
    assert driver.status(11) == 11
    driver.choose(driver.features)
    assert device.driver_features == VERSION_1, "a choice is final"


def test_notifications_that_mean_nothing(transport: str) -> None:
    _, device, driver, ring = echo(transport)
    ring.add((BUFFER, 4, 0))
    for index in (1, 2, 0x3FF):
        driver.kick(index)
    assert ring.answers() == []
    driver.status(0)
    driver.kick(0)
    assert not device.failure
    assert ring.answers() == []


def test_empty_mmio_slot_says_so() -> None:
    bench = Bench()
    base = 0x1000_8000
    assert [bench.read(base + place) for place in (0, 4, 8)] == [0x7472_6976, 2, 0]
    bench.write(base + 0x70, 15)
    assert bench.read(base + 0x70) == 0


def test_device_that_overwrites_its_own_ring_stops() -> None:
    """Each answer makes a new request: a notification still serves one ring's worth only."""
    bench, device, driver, ring = echo("mmio")
    served = []
    queue = device.queues[0]

    def feed_itself(queue_index: int) -> None:
        for chain in queue.requests():
            served.append(chain.index)
            device.push(queue, chain, 0)
            bench.memory.write(
                ring.available + 2, struct.pack("<H", queue.next_available + 1 & 0xFFFF)
            )

    device.notify = feed_itself  # type: ignore[method-assign]
    ring.add((BUFFER, 4, 0))
    for slot in range(ring.size):
        ring.describe(slot, BUFFER, 4, 0, 0)
    driver.kick(0)
    assert len(served) == ring.size
