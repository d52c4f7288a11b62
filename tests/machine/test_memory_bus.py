"""Guest memory and the bus: bounds, listeners, windows."""

from __future__ import annotations

import ctypes
import os

import pytest

from ringzero.errors import RingzeroError, UsageError
from ringzero.machine.bus import Bus
from ringzero.machine.device import Device
from ringzero.machine.memory import GuestMemory, OutsideMemory

RAM = 0x8000_0000


class Recorder(Device):
    """Answers with its offset and remembers writes."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__()
        self.name, self.size = name, size
        self.seen: list[tuple[int, int, int]] = []

    def read(self, offset: int, size: int) -> int:
        return offset

    def write(self, offset: int, size: int, value: int) -> None:
        self.seen.append((offset, size, value))


def test_memory_reads_back_and_tells_listeners() -> None:
    memory = GuestMemory(1 << 20)
    told: list[tuple[int, int]] = []
    memory.on_write = lambda address, size: told.append((address, size))
    memory.write(RAM + 5, b"hello")
    assert memory.read(RAM + 4, 7) == b"\0hello\0"
    assert bytes(memory.view(RAM + 5, 5)) == b"hello"
    assert told == [(RAM + 5, 5)]
    assert ctypes.string_at(memory.address_of_buffer + 5, 5) == b"hello"


@pytest.mark.parametrize(
    ("address", "size"),
    [(RAM - 1, 1), (RAM - 1, 2), (RAM + (1 << 20), 1), (RAM + (1 << 20) - 1, 2), (0, 1), (RAM, -1)],
)
def test_memory_refuses_what_is_not_ram(address: int, size: int) -> None:
    memory = GuestMemory(1 << 20)
    with pytest.raises(OutsideMemory, match="guest RAM"):
        memory.read(address, size)
    with pytest.raises(OutsideMemory):
        memory.view(address, size)
    assert not memory.contains(address, size)


def test_memory_costs_nothing_until_touched() -> None:
    memory = GuestMemory(64 << 30)
    memory.write(RAM + (63 << 30), b"x")
    if memory.fd >= 0:
        assert os.fstat(memory.fd).st_blocks * 512 < 1 << 22
    memory.close()


@pytest.mark.parametrize("size", [0, -4096, 4095, 1 << 62])
def test_memory_of_an_impossible_size_is_a_sentence(size: int) -> None:
    with pytest.raises(RingzeroError, match="memory") as failure:
        GuestMemory(size)
    assert failure.value.exit_code == 125


def test_bus_finds_the_window_and_nothing_between() -> None:
    bus = Bus()
    first, second = Recorder("first", 0x100), Recorder("second", 0x10)
    accesses: list[str] = []
    bus.attach(0x2000, second, lambda: accesses.append("second"))
    bus.attach(0x1000, first, lambda: accesses.append("first"))
    assert bus.read(0x10FF, 1) == 0xFF
    assert bus.read(0x2008, 8) == 8
    assert bus.write(0x1004, 4, 7)
    assert first.seen == [(4, 4, 7)]
    assert accesses == ["first", "second", "first"]
    for address, size in ((0, 1), (0xFFF, 1), (0x1100, 4), (0x10FE, 4), (0x200C, 8), (1 << 60, 8)):
        assert bus.read(address, size) is None
        assert not bus.write(address, size, 0)
    assert bus.find(0x2004) == (0x2000, second)
    assert bus.find(0x2010) is None


def test_bus_refuses_windows_that_overlap() -> None:
    bus = Bus()
    bus.attach(0x1000, Recorder("first", 0x100))
    with pytest.raises(UsageError, match="overlaps first"):
        bus.attach(0x10F0, Recorder("second", 0x100))
