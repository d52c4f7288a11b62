"""A guest driver in miniature: finds a virtio device as Linux does, fills its rings, takes answers.

It reaches the device through the board's bus only, over either transport.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from ringzero.board import addresses as at
from ringzero.machine.clock import InstructionClock
from ringzero.machine.memory import GuestMemory
from ringzero.machine.virt import VirtBoard
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.outcome import Ending

RAM = 0x8000_0000
NEXT, WRITE, INDIRECT = 1, 2, 4
VERSION_1, INDIRECT_DESC, EVENT_IDX = 1 << 32, 1 << 28, 1 << 29
BAR = 0x4000_0000


@dataclass
class Bench:
    """A board with what it said: outcomes, output, interrupt lines."""

    megabytes: int = 4
    cpus: int = 1
    instructions: int = 0
    outcomes: list[Ending] = field(default_factory=list)
    printed: bytearray = field(default_factory=bytearray)
    wakes: int = 0

    def __post_init__(self) -> None:
        self.memory = GuestMemory(self.megabytes << 20)
        self.clock = InstructionClock(lambda: self.instructions)
        self.board = VirtBoard(
            self.memory,
            self.cpus,
            self.clock,
            stop=self.outcomes.append,
            isa_extensions=["i", "m", "a", "f", "d", "c", "zicsr"],
            output=self.printed.extend,
            wake=self._wake,
            epoch=1_700_000_000_000_000_000,
        )

    def _wake(self) -> None:
        self.wakes += 1

    def read(self, address: int, size: int = 4) -> int:
        """A load that must find a device."""
        value = self.board.bus.read(address, size)
        assert value is not None
        assert 0 <= value < 1 << 8 * size
        return value

    def write(self, address: int, value: int, size: int = 4) -> None:
        """A store that must find a device."""
        assert self.board.bus.write(address, size, value)


@dataclass
class Ring:
    """One queue in guest RAM."""

    memory: GuestMemory
    index: int
    base: int
    size: int
    free: int = 0
    added: int = 0
    taken: int = 0

    @property
    def available(self) -> int:
        return self.base + 16 * self.size

    @property
    def used(self) -> int:
        return (self.available + 6 + 2 * self.size + 3) & ~3

    def describe(self, slot: int, address: int, size: int, flags: int, follower: int) -> None:
        entry = struct.pack("<QIHH", address, size, flags, follower)
        self.memory.write(self.base + 16 * slot, entry)

    def add(self, *parts: tuple[int, int, int]) -> int:
        """A chain of (address, size, flags); returns its head."""
        head = self.free
        for place, (address, size, flags) in enumerate(parts):
            last = place == len(parts) - 1
            slot = (head + place) % self.size
            following = (slot + 1) % self.size
            self.describe(slot, address, size, flags | (0 if last else NEXT), following)
        self.free = (head + len(parts)) % self.size
        self.offer(head)
        return head

    def offer(self, head: int) -> None:
        entry = self.available + 4 + 2 * (self.added % self.size)
        self.memory.write(entry, struct.pack("<H", head))
        self.added += 1
        self.memory.write(self.available + 2, struct.pack("<H", self.added & 0xFFFF))

    def answers(self) -> list[tuple[int, int]]:
        """(head, written) of what came back since the last call."""
        (index,) = struct.unpack("<H", self.memory.read(self.used + 2, 2))
        found = []
        while self.taken & 0xFFFF != index:
            entry = self.used + 4 + 8 * (self.taken % self.size)
            found.append(struct.unpack("<II", self.memory.read(entry, 8)))
            self.taken += 1
        return found


class PciDriver:
    """Drives the virtio device in a PCI slot through its modern interface."""

    def __init__(self, bench: Bench, slot: int, bar: int = BAR) -> None:
        self.bench, self.bar = bench, bar
        self.config = at.ECAM_BASE + (slot << 15)
        bench.write(self.config + 0x20, bar & 0xFFFF_FFFF)
        bench.write(self.config + 0x24, bar >> 32)
        bench.write(self.config + 4, 6, 2)
        self.features = self._features()

    def _features(self) -> int:
        value = 0
        for word in range(2):
            self.bench.write(self.bar + 0, word)
            value |= self.bench.read(self.bar + 4) << 32 * word
        return value

    def status(self, value: int | None = None) -> int:
        if value is not None:
            self.bench.write(self.bar + 20, value, 1)
        return self.bench.read(self.bar + 20, 1)

    def choose(self, features: int) -> None:
        for word in range(2):
            self.bench.write(self.bar + 8, word)
            self.bench.write(self.bar + 12, features >> 32 * word & 0xFFFF_FFFF)

    def ring(self, index: int, base: int, size: int) -> Ring:
        ring = Ring(self.bench.memory, index, base, size)
        self.bench.write(self.bar + 22, index, 2)
        self.bench.write(self.bar + 24, size, 2)
        for place, address in ((32, ring.base), (40, ring.available), (48, ring.used)):
            self.bench.write(self.bar + place, address & 0xFFFF_FFFF)
            self.bench.write(self.bar + place + 4, address >> 32)
        self.bench.write(self.bar + 28, 1, 2)
        return ring

    def kick(self, index: int) -> None:
        self.bench.write(self.bar + 0x3000 + 4 * index, index, 2)

    def cause(self) -> int:
        return self.bench.read(self.bar + 0x1000, 1)

    def device_config(self, offset: int, size: int) -> int:
        return self.bench.read(self.bar + 0x2000 + offset, size)


class MmioDriver:
    """Drives the virtio device in an MMIO slot."""

    def __init__(self, bench: Bench, slot: int) -> None:
        self.bench = bench
        self.base = at.VIRTIO_BASE + slot * at.VIRTIO_SIZE
        self.features = 0
        for word in range(2):
            bench.write(self.base + 0x14, word)
            self.features |= bench.read(self.base + 0x10) << 32 * word

    def status(self, value: int | None = None) -> int:
        if value is not None:
            self.bench.write(self.base + 0x70, value)
        return self.bench.read(self.base + 0x70)

    def choose(self, features: int) -> None:
        for word in range(2):
            self.bench.write(self.base + 0x24, word)
            self.bench.write(self.base + 0x20, features >> 32 * word & 0xFFFF_FFFF)

    def ring(self, index: int, base: int, size: int) -> Ring:
        ring = Ring(self.bench.memory, index, base, size)
        self.bench.write(self.base + 0x30, index)
        self.bench.write(self.base + 0x38, size)
        for place, address in ((0x80, ring.base), (0x90, ring.available), (0xA0, ring.used)):
            self.bench.write(self.base + place, address & 0xFFFF_FFFF)
            self.bench.write(self.base + place + 4, address >> 32)
        self.bench.write(self.base + 0x44, 1)
        return ring

    def kick(self, index: int) -> None:
        self.bench.write(self.base + 0x50, index)

    def cause(self) -> int:
        value = self.bench.read(self.base + 0x60)
        self.bench.write(self.base + 0x64, value)
        return value

    def device_config(self, offset: int, size: int) -> int:
        return self.bench.read(self.base + 0x100 + offset, size)


class LegacyDriver(MmioDriver):
    """Drives a slot as Linux does where the version register says 1: virtio before 1.0."""

    PAGE = 4096

    def __init__(self, bench: Bench, slot: int) -> None:
        super().__init__(bench, slot)
        bench.write(self.base + 0x28, self.PAGE)  # as Linux: once, and then the device is reset

    def choose(self, features: int) -> None:
        self.bench.write(self.base + 0x24, 0)
        self.bench.write(self.base + 0x20, features & 0xFFFF_FFFF)

    def ring(self, index: int, base: int, size: int) -> Ring:
        ring = LegacyRing(self.bench.memory, index, base, size)
        self.bench.write(self.base + 0x30, index)
        assert self.bench.read(self.base + 0x40) == 0, "the queue is in use"
        self.bench.write(self.base + 0x38, size)
        self.bench.write(self.base + 0x3C, self.PAGE)
        self.bench.write(self.base + 0x40, base // self.PAGE)
        assert self.bench.read(self.base + 0x40) == base // self.PAGE
        return ring


class LegacyRing(Ring):
    """A queue whose used ring begins at a page of its own (vring_init in virtio_ring.h)."""

    @property
    def used(self) -> int:
        return (self.available + 6 + 2 * self.size + 4095) & ~4095


Driver = PciDriver | MmioDriver


def start(
    bench: Bench,
    device: VirtioDevice,
    transport: str,
    *,
    queues: int = 1,
    size: int = 16,
    accept: Callable[[int], int] = lambda features: features,
) -> tuple[Driver, list[Ring]]:
    """Plug a device in and bring it to DRIVER_OK as virtio 1.2 §3.1.1 says."""
    driver: Driver
    if transport == "pci":
        bench.board.add_virtio(device, "pci")
        driver = PciDriver(bench, bench.board.pci.slots.index(None) - 1)
    else:
        legacy = transport == "legacy"
        bench.board.add_virtio(device, "mmio", legacy=legacy)
        slot = len([s for s in bench.board.slots if s.device]) - 1
        driver = LegacyDriver(bench, slot) if legacy else MmioDriver(bench, slot)
    return driver, bring_up(driver, queues=queues, size=size, accept=accept)


def bring_up(
    driver: Driver,
    *,
    queues: int = 1,
    size: int = 16,
    accept: Callable[[int], int] = lambda features: features,
) -> list[Ring]:
    """From reset to DRIVER_OK."""
    assert driver.status(0) == 0
    driver.status(1)
    driver.status(3)
    driver.choose(accept(driver.features))
    accepted = 0
    if not isinstance(driver, LegacyDriver):  # it knows no FEATURES_OK
        accepted = 8
        assert driver.status(11) == 11, "the device refused the features"
    rings = [driver.ring(index, RAM + 0x2000 * (index + 1), size) for index in range(queues)]
    assert driver.status(7 | accepted) == 7 | accepted
    return rings
