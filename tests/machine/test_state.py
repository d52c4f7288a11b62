"""Snapshots of the board: what `state` says is plain data, and a board restored from it goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringzero.board import addresses as at
from ringzero.machine.virtio.console import ConsoleDevice
from ringzero.machine.virtio.entropy import EntropyDevice
from tests.machine.driver import RAM, WRITE, Bench, start

BUFFER = RAM + 0x10_000


def as_json(state: dict[str, Any]) -> str:
    return json.dumps(state, default=lambda data: data.hex() if isinstance(data, bytes) else data)


def plug(bench: Bench) -> None:
    bench.board.add_virtio(ConsoleDevice(bench.printed.extend), "mmio")
    bench.board.add_virtio(EntropyDevice(lambda count: b"\x5a" * count), "pci")


@pytest.mark.parametrize("transport", ["pci", "mmio"])
def test_running_devices_move_to_another_board(transport: str) -> None:
    first, second = Bench(), Bench()
    plug(first)
    plug(second)
    source = lambda count: b"\x5a" * count  # noqa: E731
    driver, (ring,) = start(first, EntropyDevice(source), transport)
    second.board.add_virtio(EntropyDevice(source), "pci" if transport == "pci" else "mmio")
    first.instructions = second.instructions = 12_345
    first.write(at.CLINT_BASE + 0x4000, 99, 8)
    first.write(at.PLIC_BASE + 40, 5)
    first.write(at.UART_BASE + 7, 0x77, 1)
    first.board.uart.feed(b"typed")
    first.board.tick()
    second.memory.write(RAM, first.memory.read(RAM, first.memory.size))
    state = first.board.state()
    as_json(state)
    second.board.restore(state)
    assert as_json(second.board.state()) == as_json(state)
    assert second.board.lines == first.board.lines != [0]
    assert second.read(at.UART_BASE + 7, 1) == 0x77
    driver.bench = second
    ring.memory = second.memory
    head = ring.add((BUFFER, 9, WRITE))
    driver.kick(0)
    assert ring.answers() == [(head, 9)]
    assert second.memory.read(BUFFER, 9) == b"Z" * 9
    assert first.memory.read(BUFFER, 9) == bytes(9)


def test_state_is_a_copy() -> None:
    bench = Bench()
    state = bench.board.state()
    before = as_json(state)
    bench.write(at.CLINT_BASE, 1)
    bench.write(at.PLIC_BASE + 40, 5)
    assert as_json(state) == before
