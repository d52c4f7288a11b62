"""The block device and its disks: requests of all kinds, good and bad, and the overlay."""

from __future__ import annotations

import errno
import os
import random
import struct
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from ringzero.errors import NotFound, UsageError
from ringzero.machine.disk import Disk
from ringzero.machine.disk.block_map import BlockMap
from ringzero.machine.disk.overlay import BLOCK, OverlayDisk
from ringzero.machine.disk.raw import RawDisk
from ringzero.machine.virtio.block import BlockDevice
from tests.machine.driver import RAM, WRITE, Bench, Driver, Ring, start

IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IO_ERROR, UNSUPPORTED = 0, 1, 2
HEADER, DATA, STATUS = RAM + 0x8000, RAM + 0x10_000, RAM + 0x9000
SECTORS = 256


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(random.Random(1).randbytes(SECTORS * 512))
    return path


class Guest:
    """Issues block requests through the queue."""

    def __init__(self, disk: Disk) -> None:
        self.bench = Bench()
        self.device = BlockDevice(disk, "serial-1")
        self.driver: Driver
        self.ring: Ring
        self.driver, (self.ring,) = start(self.bench, self.device, "pci")

    def request(self, kind: int, sector: int, *parts: tuple[int, int, int]) -> int:
        """The status byte of a request with these data segments."""
        memory = self.bench.memory
        memory.write(HEADER, struct.pack("<IIQ", kind, 0, sector))
        memory.write(STATUS, b"\xee")
        self.ring.add((HEADER, 16, 0), *parts, (STATUS, 1, WRITE))
        self.driver.kick(0)
        assert len(self.ring.answers()) == 1
        return memory.read(STATUS, 1)[0]

    def read(self, sector: int, size: int) -> bytes:
        assert self.request(IN, sector, (DATA, size, WRITE)) == OK
        return self.bench.memory.read(DATA, size)

    def write(self, sector: int, data: bytes) -> int:
        self.bench.memory.write(DATA, data)
        return self.request(OUT, sector, (DATA, len(data), 0))

    def ranges(self, kind: int, *ranges: tuple[int, int, int]) -> int:
        data = b"".join(struct.pack("<QII", *entry) for entry in ranges)
        self.bench.memory.write(DATA, data)
        return self.request(kind, 0, (DATA, len(data), 0))


def test_configuration(image: Path) -> None:
    guest = Guest(RawDisk(image))
    assert guest.driver.device_config(0, 8) == SECTORS
    assert guest.driver.device_config(12, 4) == 254
    assert guest.driver.device_config(20, 4) == 512
    assert guest.driver.device_config(24, 1) == 3
    assert guest.driver.device_config(36, 4) > 0
    assert guest.driver.device_config(56, 4) == 1
    assert guest.driver.device_config(60, 4) == 0
    assert len(guest.device.config) == 60
    assert not guest.driver.features & 1 << 5


def test_reads_and_writes_reach_the_file(image: Path) -> None:
    guest = Guest(RawDisk(image))
    content = image.read_bytes()
    assert guest.read(3, 1024) == content[3 * 512 : 5 * 512]
    assert guest.write(7, b"A" * 1536) == OK
    assert guest.request(FLUSH, 0) == OK
    assert image.read_bytes() == content[: 7 * 512] + b"A" * 1536 + content[10 * 512 :]
    assert guest.read(SECTORS - 1, 512) == content[-512:]


def test_data_may_be_in_many_segments(image: Path) -> None:
    guest = Guest(RawDisk(image))
    parts = [(DATA + 0x100 * i, 128, WRITE) for i in range(8)]
    assert guest.request(IN, 0, *parts) == OK
    found = b"".join(guest.bench.memory.read(DATA + 0x100 * i, 128) for i in range(8))
    assert found == image.read_bytes()[:1024]


def test_header_and_status_may_share_segments_with_data(image: Path) -> None:
    guest = Guest(RawDisk(image))
    memory = guest.bench.memory
    memory.write(DATA, struct.pack("<IIQ", OUT, 0, 2) + b"B" * 512)
    guest.ring.add((DATA, 10, 0), (DATA + 10, 518, 0), (STATUS, 1, WRITE))
    guest.driver.kick(0)
    assert memory.read(STATUS, 1) == b"\0"
    memory.write(DATA, struct.pack("<IIQ", IN, 0, 2))
    guest.ring.add((DATA, 16, 0), (DATA + 0x1000, 513, WRITE))
    guest.driver.kick(0)
    assert memory.read(DATA + 0x1000, 513) == b"B" * 512 + b"\0"


def test_identity(image: Path) -> None:
    guest = Guest(RawDisk(image))
    assert guest.request(GET_ID, 0, (DATA, 20, WRITE)) == OK
    assert guest.bench.memory.read(DATA, 20) == b"serial-1".ljust(20, b"\0")
    assert guest.request(GET_ID, 0, (DATA, 4, WRITE)) == IO_ERROR


def test_zeroes_and_discards(image: Path) -> None:
    guest = Guest(RawDisk(image))
    content = image.read_bytes()
    assert guest.ranges(WRITE_ZEROES, (4, 9, 0), (100, 1, 1)) == OK
    wanted = bytearray(content)
    wanted[4 * 512 : 13 * 512] = bytes(9 * 512)
    wanted[100 * 512 : 101 * 512] = bytes(512)
    assert image.read_bytes() == wanted
    assert guest.ranges(DISCARD, (0, SECTORS, 0)) == OK


@pytest.mark.parametrize(
    ("kind", "ranges", "status"),
    [
        (WRITE_ZEROES, [(SECTORS, 1, 0)], IO_ERROR),
        (WRITE_ZEROES, [(0, 1, 0), (SECTORS - 1, 2, 0)], IO_ERROR),
        (WRITE_ZEROES, [((1 << 64) - 1, 1, 0)], IO_ERROR),
        (WRITE_ZEROES, [(0, 1, 2)], UNSUPPORTED),
        (DISCARD, [(0, 1, 1)], UNSUPPORTED),
        (WRITE_ZEROES, [(0, 1, 0)] * 17, IO_ERROR),
        (DISCARD, [(0, 0xFFFF_FFFF, 0)], IO_ERROR),
    ],
)
def test_bad_ranges_change_nothing(
    image: Path, kind: int, ranges: Sequence[tuple[int, int, int]], status: int
) -> None:
    content = image.read_bytes()
    guest = Guest(RawDisk(image))
    assert guest.ranges(kind, *ranges) == status
    assert image.read_bytes() == content


@pytest.mark.parametrize("kind", [IN, OUT])
@pytest.mark.parametrize(
    ("sector", "size"),
    [(SECTORS, 512), (SECTORS - 1, 1024), ((1 << 64) - 1, 512), (0, 511), (1 << 55, 512)],
)
def test_requests_outside_the_disk(image: Path, kind: int, sector: int, size: int) -> None:
    content = image.read_bytes()
    guest = Guest(RawDisk(image))
    flags = WRITE if kind == IN else 0
    assert guest.request(kind, sector, (DATA, size, flags)) == IO_ERROR
    assert image.read_bytes() == content
    assert guest.read(0, 512) == content[:512], "and the device goes on"


@pytest.mark.parametrize("kind", [2, 3, 9, 16, 0xFFFF_FFFF])
def test_unknown_requests_are_unsupported(image: Path, kind: int) -> None:
    assert Guest(RawDisk(image)).request(kind, 0) == UNSUPPORTED


def test_short_headers_and_missing_status(image: Path) -> None:
    guest = Guest(RawDisk(image))
    guest.ring.add((HEADER, 15, 0), (STATUS, 1, WRITE))
    guest.driver.kick(0)
    assert guest.bench.memory.read(STATUS, 1) == bytes([IO_ERROR])
    guest.ring.add((HEADER, 16, 0))
    guest.driver.kick(0)
    assert guest.driver.status() & 64


def test_read_only_disk_refuses_writes(image: Path) -> None:
    image.chmod(0o444)
    content = image.read_bytes()
    guest = Guest(RawDisk(image, read_only=True))
    assert guest.driver.features & 1 << 5
    assert guest.write(0, b"x" * 512) == IO_ERROR
    assert guest.ranges(WRITE_ZEROES, (0, 1, 0)) == IO_ERROR
    assert guest.request(FLUSH, 0) == OK
    assert guest.read(0, 512) == content[:512]


def test_host_errors_become_io_errors(image: Path) -> None:
    disk = RawDisk(image)
    guest = Guest(disk)
    with open(os.devnull, "rb") as other:
        os.dup2(other.fileno(), disk.fd)
        assert guest.write(0, b"x" * 512) == IO_ERROR


def test_file_that_shrinks_reads_as_zeroes(image: Path) -> None:
    guest = Guest(RawDisk(image))
    os.truncate(image, 512 + 100)
    assert guest.read(1, 512)[100:] == bytes(412)
    assert guest.read(200, 512) == bytes(512)


def test_overlay_keeps_the_base_and_agrees_with_a_plain_copy(image: Path, tmp_path: Path) -> None:
    content = image.read_bytes()
    model = bytearray(content)
    overlay = OverlayDisk(RawDisk(image, read_only=True), tmp_path)
    chooser = random.Random(2)
    for _ in range(300):
        start_at = chooser.randrange(SECTORS)
        count = chooser.randrange(1, min(24, SECTORS - start_at) + 1)
        position, size = start_at * 512, count * 512
        action = chooser.choice(["read", "read", "write", "zero"])
        if action == "read":
            cut = chooser.randrange(size + 1)
            buffer = memoryview(bytearray(size))
            overlay.read(position, [buffer[:cut], buffer[cut:]])
            assert buffer == model[position : position + size]
        elif action == "write":
            data = chooser.randbytes(size)
            overlay.write(position, [memoryview(data)[:100], memoryview(data)[100:]])
            model[position : position + size] = data
        else:
            overlay.zero(position, size, unmap=chooser.random() < 0.5)
            model[position : position + size] = bytes(size)
    assert image.read_bytes() == content
    overlay.close()


def test_overlay_of_a_disk_that_ends_inside_a_block(tmp_path: Path) -> None:
    path = tmp_path / "odd.raw"
    path.write_bytes(b"q" * (BLOCK + 512))
    overlay = OverlayDisk(RawDisk(path, read_only=True))
    overlay.write(BLOCK, [memoryview(b"w" * 512)])
    buffer = memoryview(bytearray(BLOCK + 512))
    overlay.read(0, [buffer])
    assert bytes(buffer) == b"q" * BLOCK + b"w" * 512


def test_disks_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist") as failure:
        RawDisk(tmp_path / "nothing")
    assert failure.value.exit_code == 127
    with pytest.raises(UsageError):
        RawDisk(tmp_path)
    with pytest.raises(UsageError, match="not a file"):
        RawDisk(tmp_path, read_only=True)
    (tmp_path / "short").write_bytes(b"x" * 511)
    with pytest.raises(UsageError, match="less than one sector"):
        RawDisk(tmp_path / "short")


def test_a_size_that_is_no_multiple_of_512_is_said(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(b"x" * 1300)
    with pytest.raises(UsageError, match="holds 1300 bytes, which is no whole number of sectors"):
        RawDisk(tmp_path / "cut")


def test_a_discard_gives_space_back(image: Path) -> None:
    image.write_bytes(b"x" * (1 << 20))
    guest = Guest(RawDisk(image))
    before = image.stat().st_blocks
    assert guest.ranges(DISCARD, (256, 1024, 0)) == OK
    assert image.stat().st_blocks <= before - 1024
    assert image.stat().st_size == 1 << 20
    data = image.read_bytes()
    assert data[: 256 * 512] == b"x" * (256 * 512), "and nothing beside it"
    assert data[1280 * 512 :] == b"x" * ((1 << 20) - 1280 * 512)


def test_zeroes_give_space_back_only_where_the_guest_allows_it(image: Path) -> None:
    image.write_bytes(b"x" * (1 << 20))
    guest = Guest(RawDisk(image))
    before = image.stat().st_blocks
    assert guest.ranges(WRITE_ZEROES, (0, 512, 0)) == OK
    assert image.stat().st_blocks >= before
    assert guest.ranges(WRITE_ZEROES, (512, 512, 1)) == OK
    assert image.stat().st_blocks <= before - 512
    assert image.read_bytes() == bytes(512 * 1024) + b"x" * (512 * 1024)


def test_zeroes_and_discards_where_the_host_has_no_holes(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr("ringzero.machine.libc.fallocate", refuse)
    content = image.read_bytes()
    guest = Guest(RawDisk(image))
    assert guest.ranges(DISCARD, (0, 16, 0)) == OK
    assert guest.ranges(WRITE_ZEROES, (16, 200, 1)) == OK
    assert image.read_bytes() == content[: 16 * 512] + bytes(200 * 512) + content[216 * 512 :]


def test_an_overlay_lets_go_of_what_is_discarded(image: Path, tmp_path: Path) -> None:
    content = image.read_bytes()
    overlay = OverlayDisk(RawDisk(image, read_only=True), tmp_path)
    guest = Guest(overlay)
    assert guest.write(0, b"A" * (64 * 512)) == OK
    assert os.fstat(overlay.fd).st_blocks >= 64
    assert guest.ranges(DISCARD, (0, 60, 0)) == OK
    assert os.fstat(overlay.fd).st_blocks <= 8, "whole blocks only: four sectors stay"
    assert guest.read(60, 8 * 512) == b"A" * (4 * 512) + content[64 * 512 : 68 * 512]


def test_an_overlay_takes_memory_for_what_is_written_and_not_for_the_disks_size(
    tmp_path: Path,
) -> None:
    path, size = tmp_path / "huge", 8 << 40
    path.touch()
    os.truncate(path, size)
    tracemalloc.start()
    overlay = OverlayDisk(RawDisk(path, read_only=True), tmp_path)
    for position in range(0, size, size // 1000):
        overlay.write(position, [memoryview(b"w" * 512)])
    overlay.zero(0, size // 2, unmap=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    buffer = memoryview(bytearray(1024))
    overlay.read(size // 1000 * 999, [buffer])
    assert bytes(buffer) == b"w" * 512 + bytes(512)
    overlay.read(0, [buffer])
    assert bytes(buffer) == bytes(1024)
    overlay.close()


def test_an_overlay_that_cannot_be_written_still_shows_the_base(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    content = image.read_bytes()
    guest = Guest(OverlayDisk(RawDisk(image, read_only=True)))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", full)
        assert guest.write(8, b"x" * 8192) == IO_ERROR
    assert guest.read(0, 16384) == content[:16384]


def test_a_map_of_blocks_agrees_with_a_set() -> None:
    chooser, blocks, model = random.Random(3), BlockMap(), set[int]()
    limit = 3 * 4096
    for _ in range(400):
        first = chooser.randrange(limit)
        last = min(limit, first + chooser.choice((1, 7, 100, 5000)))
        if chooser.random() < 0.6:
            blocks.add(first, last)
            model |= set(range(first, last))
        else:
            blocks.remove(first, last)
            model -= set(range(first, last))
        place = 0
        while place < limit:
            inside, end = blocks.run(place, limit)
            assert all((block in model) == inside for block in range(place, end))
            assert end == limit or (end in model) != inside
            place = end
