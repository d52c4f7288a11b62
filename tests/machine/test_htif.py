"""HTIF: what riscv-tests and Spike's programs store to `tohost`."""

from __future__ import annotations

import struct

import pytest

from ringzero.machine.memory import OutsideMemory
from ringzero.outcome import PoweredOff
from tests.machine.driver import RAM, Bench

TOHOST, FROMHOST, CALL, TEXT = RAM + 0x1000, RAM + 0x1040, RAM + 0x2000, RAM + 0x3000


def make() -> Bench:
    bench = Bench()
    bench.board.add_htif(TOHOST, FROMHOST)
    return bench


def word(bench: Bench, address: int) -> int:
    return int.from_bytes(bench.memory.read(address, 8), "little")


def command(bench: Bench, value: int) -> None:
    bench.memory.write(TOHOST, struct.pack("<Q", value))
    bench.board.tick()
    assert word(bench, TOHOST) == 0


@pytest.mark.parametrize("code", [0, 1, 42, 1337])
def test_exit(code: int) -> None:
    bench = make()
    command(bench, code << 1 | 1)
    assert bench.outcomes == [PoweredOff(code)]


def test_console_out_and_in() -> None:
    bench = make()
    for byte in b"ok\n":
        command(bench, 1 << 56 | 1 << 48 | byte)
    assert bench.printed == b"ok\n"
    command(bench, 1 << 56)
    assert word(bench, FROMHOST) == 0
    assert bench.board.htif
    bench.board.htif.feed(b"k")
    bench.board.tick()
    assert word(bench, FROMHOST) == 1 << 56 | 0x100 | ord("k")


def test_system_calls_of_the_proxy() -> None:
    bench = make()
    bench.memory.write(TEXT, b"hello")
    bench.memory.write(CALL, struct.pack("<8Q", 64, 1, TEXT, 5, 0, 0, 0, 0))
    command(bench, CALL)
    assert bench.printed == b"hello"
    assert word(bench, CALL) == 5
    assert word(bench, FROMHOST) == 1
    bench.memory.write(FROMHOST, bytes(8))
    bench.memory.write(CALL, struct.pack("<8Q", 64, 1, 0x1000, 5, 0, 0, 0, 0))
    command(bench, CALL)
    assert word(bench, CALL) == (1 << 64) - 14
    bench.memory.write(CALL, struct.pack("<8Q", 9999, 1, 2, 3, 0, 0, 0, 0))
    command(bench, CALL)
    assert word(bench, CALL) == (1 << 64) - 38
    bench.memory.write(CALL, struct.pack("<8Q", 93, 3, 0, 0, 0, 0, 0, 0))
    command(bench, CALL)
    assert bench.outcomes == [PoweredOff(3)]


def test_commands_that_mean_nothing_do_nothing() -> None:
    bench = make()
    for value in (0x1000, RAM - 64, 7 << 56, 1 << 56 | 9 << 48, (1 << 48) - 8):
        command(bench, value & ~1)
    assert not bench.outcomes
    assert not bench.printed


def test_symbol_outside_ram_is_a_sentence() -> None:
    with pytest.raises(OutsideMemory):
        Bench().board.add_htif(0x1000)
