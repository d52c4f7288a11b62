"""The device fuzzer: a guest that writes anything anywhere, and rules that must hold meanwhile.

`python -m tests.machine.fuzz --seconds N [--seed S]` runs it for long; hypothesis runs short
samples in `test_fuzz.py`. A failure prints the seed of its round, which repeats it.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ringzero.board import addresses as at
from ringzero.errors import RingzeroError
from ringzero.machine.disk.overlay import OverlayDisk
from ringzero.machine.disk.raw import RawDisk
from ringzero.machine.fuse import FuseServer
from ringzero.machine.virtio.block import BlockDevice
from ringzero.machine.virtio.console import ConsoleDevice
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.machine.virtio.entropy import EntropyDevice
from ringzero.machine.virtio.fs import VirtioFs
from ringzero.machine.virtio.queue import Chain, Virtqueue
from tests.machine.driver import RAM, Bench, Driver, LegacyDriver, MmioDriver, PciDriver, bring_up

WINDOWS = [
    (at.ROM_BASE, 0x100), (at.FINISHER_BASE, 8), (at.RTC_BASE, 0x24), (at.CLINT_BASE, 0x20),
    (at.CLINT_BASE + 0x4000, 0x20), (at.CLINT_BASE + 0xBFF0, 0x10), (at.PLIC_BASE, 0x200),
    (at.PLIC_BASE + 0x1000, 0x20), (at.PLIC_BASE + 0x2000, 0x200),
    (at.PLIC_BASE + 0x20_0000, 0x10), (at.PLIC_BASE + 0x20_1000, 0x3010), (at.UART_BASE, 8),
    (at.ECAM_BASE, 0x28000), (at.PIO_BASE, 0x100), (at.MMIO32_BASE, 0x10000),
    (at.MMIO64_BASE, 0x10000),
    *[(at.VIRTIO_BASE + slot * at.VIRTIO_SIZE, 0x180) for slot in range(8)],
]  # fmt: skip
QUEUE_AREA, DATA_AREA, AREA_SIZE = RAM + 0x2000, RAM + 0x8000, 0x10_000
TOHOST = RAM + 0x800
INTERESTING = [0, 1, 2, 3, 7, 8, 15, 16, 64, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF]
STEP_LIMIT = 5.0  # seconds of processor time that one access may take, on the slowest host
DISK_SIZE = 1 << 20
FILE = b"a file in the shared folder\n" * 100


class Subject:
    """A board with every device, on every transport."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(megabytes=1, cpus=2)
        board = self.bench.board
        image = folder / "disk"
        if not image.exists():
            image.write_bytes(random.Random(3).randbytes(DISK_SIZE))
            shared = folder / "shared"
            shared.mkdir()
            (shared / "file").write_bytes(FILE)
        source = random.Random(4).randbytes
        makers: list[Callable[[], VirtioDevice]] = [
            lambda: ConsoleDevice(self.bench.printed.extend, 80, 25),
            lambda: BlockDevice(OverlayDisk(RawDisk(image, read_only=True), folder)),
            lambda: EntropyDevice(source),
            lambda: VirtioFs("share", FuseServer(folder / "shared")),
        ]
        self.devices = [board.add_virtio(make(), "pci") for make in makers]
        self.devices += [board.add_virtio(make(), "mmio") for make in makers]
        self.devices += [board.add_virtio(make(), "mmio", legacy=True) for make in makers[1:]]
        self.chains: list[Chain] = []
        for queue in (queue for device in self.devices for queue in device.queues):
            self._watch(queue)
        board.add_htif(TOHOST, TOHOST + 8)

    def _watch(self, queue: Virtqueue) -> None:
        """Remember what the queue hands out; test_virtqueue.py checks that it is as described."""
        pop = queue.pop

        def remembering() -> Chain | None:
            chain = pop()
            if chain:
                self.chains.append(chain)
            return chain

        queue.pop = remembering  # type: ignore[method-assign]

    def close(self) -> None:
        """Let go of the host's files."""
        for device in self.devices:
            if isinstance(device, BlockDevice):
                device.disk.close()
        self.bench.memory.close()

    def driver(self, index: int) -> Driver:
        """The miniature driver of one device."""
        if index >= 8:
            return LegacyDriver(self.bench, index - 4)
        if index >= 4:
            return MmioDriver(self.bench, index - 4)
        return PciDriver(self.bench, index + 1, at.MMIO32_BASE + 0x4000 * index)


def check(subject: Subject) -> None:
    """What holds after any access."""
    board = subject.bench.board
    for hart in range(board.cpus):
        expected = board.clint.lines(hart) | board.plic.lines(hart)
        assert board.lines[hart] == expected, "the harts see what the devices say"
    for device in subject.devices:
        assert 0 <= device.status <= 0xFF
        assert 0 <= device.isr <= 3


def access(subject: Subject, address: int, size: int, value: int | None) -> None:
    """One load or store, timed."""
    begun = time.thread_time()
    if value is None:
        result = subject.bench.board.bus.read(address, size)
        assert result is None or 0 <= result < 1 << 8 * size
    else:
        subject.bench.board.bus.write(address, size, value & (1 << 8 * size) - 1)
    assert time.thread_time() - begun < STEP_LIMIT, "an access takes a bounded time"


def random_value(chooser: random.Random) -> int:
    """A register value: often a bit, a limit or an address."""
    kind = chooser.randrange(5)
    if kind == 0:
        return chooser.choice(INTERESTING)
    if kind == 1:
        return 1 << chooser.randrange(64)
    if kind == 2:
        return RAM + chooser.randrange(0, 1 << 21, 16)
    if kind == 3:
        return at.MMIO32_BASE + chooser.randrange(0, 0x2_0000, 0x1000)
    return chooser.getrandbits(64)


def registers_round(subject: Subject, chooser: random.Random, steps: int = 200) -> None:
    """Loads and stores of every width, aligned or not, in and around every window."""
    for _ in range(steps):
        base, length = chooser.choice(WINDOWS)
        address = base + chooser.randrange(length)
        if chooser.random() < 0.8:
            address &= ~3
        if chooser.random() < 0.02:
            address = chooser.getrandbits(64)
        size = chooser.choice([1, 2, 4, 4, 4, 8])
        access(subject, address, size, random_value(chooser) if chooser.random() < 0.7 else None)
        if chooser.random() < 0.1:
            subject.bench.board.uart.feed(b"in")
            for device in subject.devices:
                if isinstance(device, ConsoleDevice):
                    device.feed(b"in")
            if chooser.random() < 0.5:
                command = random_value(chooser) if chooser.random() < 0.5 else DATA_AREA
                subject.bench.memory.write(TOHOST, struct.pack("<Q", command))
            subject.bench.instructions += chooser.randrange(100_000)
            subject.bench.board.tick()
    subject.bench.board.publish()
    check(subject)


def descriptor(chooser: random.Random) -> bytes:
    """A descriptor that is likely to be followed some way before it goes wrong."""
    address = DATA_AREA + chooser.randrange(AREA_SIZE - 0x1000)
    if chooser.random() < 0.15:
        address = random_value(chooser)
    elif chooser.random() < 0.1:
        address = QUEUE_AREA + 16 * chooser.randrange(32)
    size = chooser.choice([1, 16, 16, 20, 32, 48, 64, 512, 513, 4096])
    if chooser.random() < 0.05:
        size = chooser.getrandbits(32)
    flags = chooser.choice([0, 1, 1, 1, 2, 2, 3, 3, 4])
    if chooser.random() < 0.03:
        flags = chooser.getrandbits(16)
    follower = chooser.randrange(16) if chooser.random() < 0.95 else chooser.getrandbits(16)
    return struct.pack("<QIHH", address & (1 << 64) - 1, size, flags, follower)


def queue_round(subject: Subject, chooser: random.Random, index: int) -> None:
    """Random rings and descriptors for one device; nothing else in RAM may change."""
    driver = subject.driver(index)
    memory = subject.bench.memory
    queues = len(subject.devices[index].queues)
    size = chooser.choice([1, 2, 4, 16])

    def accept(features: int) -> int:
        for bit in (1 << 28, 1 << 29):
            features &= ~bit if chooser.random() < 0.3 else -1
        return features

    memory.write(QUEUE_AREA, bytes(DATA_AREA - QUEUE_AREA))
    rings = bring_up(driver, queues=queues, size=size, accept=accept)
    for _ in range(chooser.randrange(1, 6)):
        for place in range(0, AREA_SIZE, 512):
            kind = chooser.choice([0, 1, 4, 8, 11, 13, chooser.getrandbits(32)])
            header = struct.pack("<IIQ", kind, chooser.randrange(64), chooser.randrange(2200))
            memory.write(DATA_AREA + place, header)
        ring = chooser.choice(rings)
        for slot in range(size):
            memory.write(ring.base + 16 * slot, descriptor(chooser))
        for _ in range(chooser.randrange(1, size + 1)):
            ring.offer(chooser.randrange(size) if chooser.random() < 0.97 else 0xFFFF)
        if chooser.random() < 0.05:
            memory.write(ring.available + 2, struct.pack("<H", chooser.getrandbits(16)))
        subject.chains.clear()
        before = memory.read(RAM, memory.size)
        begun = time.thread_time()
        driver.kick(ring.index)
        assert time.thread_time() - begun < STEP_LIMIT, "a notification takes a bounded time"
        after = memory.read(RAM, memory.size)
        unchanged(before, after, granted(subject))
        check(subject)
        if chooser.random() < 0.2:
            driver.status(0)
            rings = bring_up(driver, queues=queues, size=size, accept=accept)


def granted(subject: Subject) -> list[tuple[int, int]]:
    """What devices may have written: the buffers of chains that they took, and their used rings."""
    ranges = [
        (queue.used, 6 + 8 * queue.size)
        for device in subject.devices
        for queue in device.queues
        if queue.ready
    ]
    for chain in subject.chains:
        ranges += chain.ranges
    return ranges


def unchanged(before: bytes, after: bytes, allowed: list[tuple[int, int]]) -> None:
    """Both are equal outside the allowed ranges."""
    if before == after:
        return
    mask = bytearray(len(before))
    for address, size in allowed:
        start = max(0, address - RAM)
        stop = min(len(before), address + size - RAM)
        if start < stop:
            mask[start:stop] = b"\1" * (stop - start)
    for page in range(0, len(before), 4096):
        if before[page : page + 4096] == after[page : page + 4096]:
            continue
        for place in range(page, page + 4096):
            same = before[place] == after[place]
            assert same or mask[place], f"byte {RAM + place:#x} was not the device's to write"


def one_round(subject: Subject, seed: int) -> None:
    """Registers, or the queues of one device."""
    chooser = random.Random(seed)
    if chooser.random() < 0.3:
        registers_round(subject, chooser)
    else:
        queue_round(subject, chooser, chooser.randrange(len(subject.devices)))


def main() -> int:
    """Fuzz for some seconds; the exit status tells whether a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="repeat one round")
    options = parser.parse_args()
    begun, rounds = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as name:
        while time.monotonic() - begun < options.seconds:
            seed = random.getrandbits(48) if options.seed is None else options.seed
            subject = Subject(Path(name))
            try:
                one_round(subject, seed)
            except (AssertionError, Exception) as error:
                print(f"round with --seed {seed} failed: {error!r}", file=sys.stderr)
                raise
            finally:
                subject.close()
            rounds += 1
            if options.seed is not None:
                break
    print(f"{rounds} rounds in {time.monotonic() - begun:.1f} s, every rule held")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RingzeroError as error:
        sys.exit(f"{error}")
