"""The split virtqueue (virtio 1.2 §2.7) as a device sees it, safe against any guest memory.

`pop` walks one descriptor chain with bounded work; a rule that the driver broke ends in `on_broken`
and an empty answer, never in an exception. A chain taken before a reset is ignored when it is
pushed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import ClassVar

from ringzero.machine.memory import GuestMemory
from ringzero.machine.state import Stateful

DESCRIPTOR = struct.Struct("<QIHH")
USED_ELEMENT = struct.Struct("<II")

NEXT, WRITE, INDIRECT = 1, 2, 4  # flags of a descriptor, §2.7.5
NO_INTERRUPT = 1  # flag of the available ring, §2.7.6
CHAIN_LIMIT = 1024  # segments in one chain: the largest that QEMU accepts


class BrokenQueue(Exception):
    """The driver broke a rule of the queue; the device needs a reset."""


class Chain:
    """One request: segments to read from, then segments to write to, all of them views of RAM."""

    __slots__ = ("_cursor", "epoch", "index", "ranges", "readable", "writable")

    def __init__(self, index: int, epoch: int) -> None:
        self.index = index
        self.epoch = epoch
        self.readable: list[memoryview] = []
        self.writable: list[memoryview] = []
        self.ranges: list[tuple[int, int]] = []  # addresses and sizes of `writable`
        self._cursor = (0, 0)

    @property
    def readable_size(self) -> int:
        """Bytes that the driver gives."""
        return sum(map(len, self.readable))

    @property
    def writable_size(self) -> int:
        """Bytes that the driver has room for."""
        return sum(map(len, self.writable))

    def read(self, limit: int | None = None) -> bytes:
        """A copy of the bytes that the driver gives, or of the first `limit` of them."""
        if limit is None:
            return b"".join(self.readable)
        parts = []
        for segment in self.readable:
            if limit <= 0:
                break
            parts.append(segment[:limit])
            limit -= len(segment)
        return b"".join(parts)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes to what was written before; returns how many had room."""
        source = memoryview(data)
        done = 0
        index, start = self._cursor
        while done < len(source) and index < len(self.writable):
            segment = self.writable[index]
            count = min(len(segment) - start, len(source) - done)
            segment[start : start + count] = source[done : done + count]
            done += count
            start += count
            if start == len(segment):
                index, start = index + 1, 0
        self._cursor = (index, start)
        return done


def _no_listener(reason: str) -> None:
    """For a queue that belongs to no device."""


class Virtqueue(Stateful):
    """One queue: where its three rings are, and how far the device has come."""

    stored: ClassVar[tuple[str, ...]] = (
        "size", "ready", "descriptors", "available", "used", "next_available", "next_used",
        "event_index", "indirect", "broken",
    )  # fmt: skip

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.memory: GuestMemory | None = None
        self.on_broken: Callable[[str], None] = _no_listener
        self.epoch = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything; chains that are still out come back to nobody."""
        self.stop()
        self.event_index = self.indirect = False

    def stop(self) -> None:
        """Forget the rings; what driver and device agreed on stays."""
        self.epoch += 1
        self.size = self.limit
        self.ready = self.broken = False
        self.descriptors = self.available = self.used = 0
        self.next_available = self.next_used = 0

    def enable(self) -> None:
        """The driver has set the rings up (§3.1.1): check once that they are RAM."""
        memory = self.memory
        sound = (
            memory is not None
            and 0 < self.size <= self.limit
            and not self.size & (self.size - 1)
            and not (self.descriptors & 15 or self.available & 1 or self.used & 3)
            and memory.contains(self.descriptors, 16 * self.size)
            and memory.contains(self.available, 6 + 2 * self.size)
            and memory.contains(self.used, 6 + 8 * self.size)
        )
        self.ready = True
        if not sound:
            self._break("a ring is misaligned, outside RAM, or of a wrong size")

    def pop(self) -> Chain | None:
        """The next request, or None."""
        if not self.ready or self.broken:
            return None
        try:
            return self._pop()
        except BrokenQueue as error:
            self._break(str(error))
            return None

    def requests(self) -> Iterator[Chain]:
        """The requests that are available, at most one ring of them.

        The limit is for guests whose buffers lie over the rings: such a device would feed itself.
        """
        for _ in range(self.size):
            chain = self.pop()
            if chain is None:
                return
            yield chain

    def push(self, chain: Chain, written: int) -> bool:
        """Give a chain back with `written` bytes in it; True if the driver wants an interrupt."""
        if chain.epoch != self.epoch or not self.ready or self.broken or self.memory is None:
            return False
        memory = self.memory
        for address, size in chain.ranges:
            memory.on_write(address, size)
        ring = self.used - memory.base
        index = self.next_used
        slot = ring + 4 + 8 * (index & (self.size - 1))
        USED_ELEMENT.pack_into(memory.buffer, slot, chain.index, written & 0xFFFF_FFFF)
        self.next_used = (index + 1) & 0xFFFF
        memory.halves[(ring + 2) >> 1] = self.next_used
        memory.on_write(self.used, 6 + 8 * self.size)
        return self._wants_interrupt(index)

    def _wants_interrupt(self, old: int) -> bool:
        assert self.memory is not None
        ring = self.available - self.memory.base
        halves = self.memory.halves
        if self.event_index:  # §2.7.7.2: only the step past used_event is interesting
            return halves[(ring >> 1) + 2 + self.size] == old
        return not halves[ring >> 1] & NO_INTERRUPT

    def _break(self, reason: str) -> None:
        self.broken = True
        self.on_broken(reason)

    def _pop(self) -> Chain | None:
        assert self.memory is not None
        halves, base = self.memory.halves, self.memory.base
        ring = self.available - base
        available = halves[(ring + 2) >> 1]
        waiting = (available - self.next_available) & 0xFFFF
        if not waiting:
            return None
        if waiting > self.size:
            raise BrokenQueue(f"{waiting} requests are available in a ring of {self.size}")
        head = halves[(ring >> 1) + 2 + (self.next_available & (self.size - 1))]
        chain = self._walk(head)
        self.next_available = (self.next_available + 1) & 0xFFFF
        if self.event_index:  # ask for a notification of the next request
            event = self.used + 4 + 8 * self.size
            halves[(event - base) >> 1] = self.next_available
        return chain

    def _walk(self, head: int) -> Chain:
        assert self.memory is not None
        chain = Chain(head, self.epoch)
        table, count = self.descriptors - self.memory.base, self.size
        index, steps, total, inner = head, 0, 0, False
        while True:
            if index >= count:
                raise BrokenQueue(f"descriptor {index} is not in a table of {count}")
            steps += 1
            if steps > count or steps > CHAIN_LIMIT:
                raise BrokenQueue("a descriptor chain does not end")
            address, size, flags, follower = DESCRIPTOR.unpack_from(
                self.memory.buffer, table + 16 * index
            )
            if flags & INDIRECT:
                if inner or not self.indirect or flags & NEXT:
                    raise BrokenQueue("an indirect descriptor stands where none may")
                table, count = self._indirect_table(address, size)
                index, steps, inner = 0, 0, True
                continue
            total += size
            self._add(chain, address, size, flags, total)
            if not flags & NEXT:
                return chain
            index = follower

    def _indirect_table(self, address: int, size: int) -> tuple[int, int]:
        assert self.memory is not None
        if not size or size % 16 or not self.memory.contains(address, size):
            raise BrokenQueue(f"an indirect table of {size} bytes at {address:#x} is not usable")
        return address - self.memory.base, size // 16

    def _add(self, chain: Chain, address: int, size: int, flags: int, total: int) -> None:
        memory = self.memory
        assert memory is not None
        # §2.7.4.3 allows 2^32 bytes in a chain; buffers that do not overlap never exceed RAM.
        if not size or total > memory.size or not memory.contains(address, size):
            raise BrokenQueue(f"a buffer of {size} bytes at {address:#x} is empty or outside RAM")
        start = address - memory.base
        view = memory.bytes[start : start + size]
        if flags & WRITE:
            chain.writable.append(view)
            chain.ranges.append((address, size))
        elif chain.writable:
            raise BrokenQueue("a readable buffer follows a writable one")
        else:
            chain.readable.append(view.toreadonly())
