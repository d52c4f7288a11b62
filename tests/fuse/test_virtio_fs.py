"""virtio-fs carries FUSE messages: queues as Linux lays them out, and as it never would."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringzero.errors import UsageError
from ringzero.machine.fuse import FuseServer, protocol
from ringzero.machine.fuse.protocol import Op
from ringzero.machine.memory import GuestMemory
from ringzero.machine.virtio import device as virtio
from ringzero.machine.virtio.fs import VirtioFs

BASE = 0x8000_0000
RINGS, BUFFERS = BASE + 0x1000, BASE + 0x10000


class Driver:
    """As much of a driver as asks one question at a time."""

    def __init__(self, root: Path) -> None:
        self.memory = GuestMemory(1 << 20, BASE)
        self.device = VirtioFs("share", FuseServer(root))
        self.device.attach(self.memory)
        self.device.set_status(virtio.ACKNOWLEDGE | virtio.DRIVER)
        self.device.set_driver_features(virtio.VERSION_1)
        self.device.set_status(virtio.ACKNOWLEDGE | virtio.DRIVER | virtio.FEATURES_OK)
        for index, queue in enumerate(self.device.queues):
            queue.size = 8
            queue.descriptors = RINGS + index * 0x1000
            queue.available = queue.descriptors + 0x100
            queue.used = queue.descriptors + 0x200
            queue.enable()
        self.device.set_status(15)
        self.sent = [0, 0]
        self.ask(Op.INIT, 0, protocol.INIT_IN.pack(7, 38, 0, 0))

    def post(self, index: int, chain: list[tuple[int, int, int]]) -> None:
        """Put a chain of (address, size, flags) into a queue and notify the device."""
        queue = self.device.queues[index]
        for slot, (address, size, flags) in enumerate(chain):
            more = 1 if slot + 1 < len(chain) else 0
            descriptor = struct.pack("<QIHH", address, size, flags | more, slot + 1)
            self.memory.write(queue.descriptors + 16 * slot, descriptor)
        place = queue.available + 4 + 2 * (self.sent[index] % 8)
        self.memory.write(place, bytes(2))
        self.sent[index] += 1
        self.memory.write(queue.available + 2, struct.pack("<H", self.sent[index]))
        self.device.kick(index)

    def ask(self, op: int, node: int, body: bytes, room: int = 4096, index: int = 1) -> bytes:
        """The answer to one message, header included."""
        size = protocol.IN_HEADER.size + len(body)
        message = protocol.IN_HEADER.pack(size, op, 7, node, 0, 0, 1, 0, 0) + body
        self.memory.write(BUFFERS, message)
        answer = BUFFERS + 0x8000
        chain = [(BUFFERS, 40, 0)]
        if body:
            chain.append((BUFFERS + 40, len(body), 0))
        if room:
            chain += [(answer, 16, 2), (answer + 0x100, room, 2)]
        self.post(index, chain)
        queue = self.device.queues[index]
        used = self.memory.read(queue.used + 2, 2)
        assert int.from_bytes(used, "little") == self.sent[index]
        slot = queue.used + 4 + 8 * ((self.sent[index] - 1) % 8)
        written = struct.unpack("<II", self.memory.read(slot, 8))[1]
        head = self.memory.read(answer, min(written, 16))
        return head + self.memory.read(answer + 0x100, max(written - 16, 0))


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 8)
    driver = Driver(tmp_path)
    yield driver
    driver.device.server.close()


def test_configuration(driver: Driver) -> None:
    assert driver.device.config == b"share".ljust(36, b"\0") + (1).to_bytes(4, "little")
    assert driver.device.device_id == 26


def test_reading_a_file(driver: Driver) -> None:
    answer = driver.ask(Op.LOOKUP, 1, b"file\0")
    node = protocol.ENTRY_OUT.unpack_from(answer, 16)[0]
    answer = driver.ask(Op.OPEN, node, protocol.OPEN_IN.pack(0, 0))
    handle = protocol.OPEN_OUT.unpack_from(answer, 16)[0]
    written: list[tuple[int, int]] = []
    driver.memory.on_write = lambda address, size: written.append((address, size))
    answer = driver.ask(Op.READ, node, protocol.READ_IN.pack(handle, 256, 2048, 0, 0, 0, 0))
    assert answer[16:] == bytes(range(256)) * 7
    assert any(address == BUFFERS + 0x8100 for address, _ in written)  # code may be read there
    assert driver.device.interrupt


def test_forgetting_needs_no_answer(driver: Driver) -> None:
    driver.ask(Op.LOOKUP, 1, b"file\0")
    assert driver.ask(Op.FORGET, 2, protocol.FORGET_IN.pack(1), room=0, index=0) == b""


def test_chains_that_no_driver_makes(driver: Driver) -> None:
    driver.post(1, [(BUFFERS, 8, 0)])  # no header, no room
    driver.post(1, [(BUFFERS + 0x8000, 16, 2)])  # nothing asked
    message = protocol.IN_HEADER.pack(40, Op.STATFS, 7, 1, 0, 0, 1, 0, 0)
    driver.memory.write(BUFFERS, message)
    driver.post(1, [(BUFFERS, 40, 0), (BUFFERS + 0x8000, 4, 2)])  # no room for a header
    assert driver.device.running
    assert len(driver.ask(Op.STATFS, 1, b"")) == 96
    driver.post(1, [(0x1000, 40, 0)])  # outside RAM
    assert not driver.device.running


def test_a_reset_closes_what_was_open(driver: Driver) -> None:
    driver.ask(Op.OPENDIR, 1, protocol.OPEN_IN.pack(0, 0))
    assert driver.device.server.session.files
    driver.device.set_status(0)
    assert not driver.device.server.session.files


@pytest.mark.parametrize("tag", ["", "x" * 37, "a\0b"])
def test_tags(tmp_path: Path, tag: str) -> None:
    with pytest.raises(UsageError, match="tag"):
        VirtioFs(tag, FuseServer(tmp_path))
