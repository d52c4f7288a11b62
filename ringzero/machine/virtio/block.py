"""virtio block device (virtio 1.2 §5.2) over any `Disk`.

A request is a header, data, and one status byte that the device writes. Whatever is wrong with a
request ends in its status; only a chain without room for a status needs a reset of the device.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from ringzero.machine.disk import SECTOR, Disk
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.machine.virtio.queue import Chain, Virtqueue

IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13  # §5.2.6
OK, IO_ERROR, UNSUPPORTED = 0, 1, 2
SEG_MAX, READ_ONLY, BLK_SIZE, CAN_FLUSH = 1 << 2, 1 << 5, 1 << 6, 1 << 9
TOPOLOGY, CAN_DISCARD, CAN_ZERO = 1 << 10, 1 << 13, 1 << 14
HEADER = struct.Struct("<IIQ")
RANGE = struct.Struct("<QII")
QUEUE_SIZE = 256
DATA_SEGMENTS = QUEUE_SIZE - 2  # beside header and status
DISCARD_SECTORS = 1 << 21  # largest range of one discard: 1 GiB
ZERO_SECTORS = 1 << 15  # and of zeroes: 16 MiB, a bounded amount of work where they are written out
UNMAP = 1  # flag of a range of zeroes
RANGES = 16
ID_SIZE = 20


class BadRequest(Exception):
    """A request that gets a status other than OK."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class BlockDevice(VirtioDevice):
    """Serves each request when it is notified."""

    name = "virtio-blk"
    device_id: ClassVar[int] = 2
    device_class: ClassVar[int] = 0x018000

    def __init__(self, disk: Disk, serial: str = "") -> None:
        features = SEG_MAX | BLK_SIZE | CAN_FLUSH | TOPOLOGY
        features |= READ_ONLY if disk.read_only else CAN_DISCARD | CAN_ZERO
        super().__init__([QUEUE_SIZE], features)
        self.disk = disk
        self.serial = serial.encode()[:ID_SIZE].ljust(ID_SIZE, b"\0")

    @property
    def config(self) -> bytes:
        """struct virtio_blk_config, §5.2.4."""
        return struct.pack(
            "<QII4xIBBHIBxHIIIIIB3x",
            self.disk.size // SECTOR, 0, DATA_SEGMENTS, SECTOR,
            3, 0, 1, 0,  # physical blocks of 4096 bytes
            1, 1,  # write-back cache, one queue
            DISCARD_SECTORS, RANGES, 8, ZERO_SECTORS, RANGES, 1,
        )  # fmt: skip

    def notify(self, queue_index: int) -> None:
        """Serve all requests that are available."""
        queue = self.queues[0]
        for chain in queue.requests():
            self._serve(queue, chain)

    def _serve(self, queue: Virtqueue, chain: Chain) -> None:
        if not chain.writable:
            self.fail("a block request has no room for its status")
            queue.broken = True
            return
        status_place = chain.writable[-1]
        room = chain.writable_size - 1
        filled, status = False, OK
        try:
            filled = self._execute(chain)
        except BadRequest as bad:
            status = bad.status
        except OSError:
            status = IO_ERROR
        status_place[-1] = status
        self.push(queue, chain, (room if filled else 0) + 1)

    def _execute(self, chain: Chain) -> bool:
        """Do what the header says; True if the request's writable data were filled."""
        header = chain.read(HEADER.size)
        if len(header) < HEADER.size:
            raise BadRequest(IO_ERROR)
        kind, _, sector = HEADER.unpack(header)
        if kind == IN:
            segments = _without_last_byte(chain.writable)
            self.disk.read(self._place(sector, sum(map(len, segments))), segments)
            return True
        if kind == GET_ID:
            return self._identify(chain)
        if kind == FLUSH:
            self.disk.flush()
        elif kind == OUT:
            self._write(sector, _skip(chain.readable, HEADER.size))
        elif kind in (DISCARD, WRITE_ZEROES):
            self._ranges(kind, b"".join(_skip(chain.readable, HEADER.size)))
        else:
            raise BadRequest(UNSUPPORTED)
        return False

    def _place(self, sector: int, size: int) -> int:
        """The position of a range in the disk, checked."""
        position = sector * SECTOR
        if size % SECTOR or position + size > self.disk.size:
            raise BadRequest(IO_ERROR)
        return position

    def _write(self, sector: int, segments: list[memoryview]) -> None:
        position = self._place(sector, sum(map(len, segments)))
        if self.disk.read_only:
            raise BadRequest(IO_ERROR)
        if segments:
            self.disk.write(position, segments)

    def _identify(self, chain: Chain) -> bool:
        if chain.writable_size < ID_SIZE + 1:
            raise BadRequest(IO_ERROR)
        chain.write(self.serial)
        return True

    def _ranges(self, kind: int, data: bytes) -> None:
        if self.disk.read_only:
            raise BadRequest(IO_ERROR)
        if not data or len(data) % RANGE.size or len(data) > RANGES * RANGE.size:
            raise BadRequest(IO_ERROR)
        ranges = list(RANGE.iter_unpack(data))
        for sector, sectors, flags in ranges:  # all are checked before any is done
            self._place(sector, sectors * SECTOR)
            if flags & ~UNMAP or (kind == DISCARD and flags):
                raise BadRequest(UNSUPPORTED)
            if sectors > (DISCARD_SECTORS if kind == DISCARD else ZERO_SECTORS):
                raise BadRequest(IO_ERROR)
        for sector, sectors, flags in ranges:
            if sectors and kind == DISCARD:
                self.disk.discard(sector * SECTOR, sectors * SECTOR)
            elif sectors:
                self.disk.zero(sector * SECTOR, sectors * SECTOR, unmap=bool(flags & UNMAP))


def _without_last_byte(segments: list[memoryview]) -> list[memoryview]:
    """The data part of the writable segments: the last byte is the status."""
    last = segments[-1][:-1]
    return [*segments[:-1], last] if last else segments[:-1]


def _skip(segments: list[memoryview], count: int) -> list[memoryview]:
    """The segments behind the first `count` bytes; headers may be split anywhere (§2.7.4)."""
    rest = []
    for segment in segments:
        if count < len(segment):
            rest.append(segment[count:])
        count = max(0, count - len(segment))
    return rest
