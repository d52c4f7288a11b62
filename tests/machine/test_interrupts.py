"""CLINT, PLIC, RTC and finisher on the board: from a register write to the harts' lines."""

from __future__ import annotations

import time

import pytest

from ringzero.board import addresses as at
from ringzero.machine.clock import HostClock, InstructionClock
from ringzero.outcome import Ending, PoweredOff, Rebooted
from tests.machine.driver import Bench

MSIP, MTIP, SEIP, MEIP = 1 << 3, 1 << 7, 1 << 9, 1 << 11
MTIMECMP, MTIME = at.CLINT_BASE + 0x4000, at.CLINT_BASE + 0xBFF8


def test_software_interrupt_reaches_its_hart_at_once() -> None:
    bench = Bench(cpus=3)
    told: list[tuple[int, int, int]] = []
    bench.board.set_lines = lambda hart, mask, value: told.append((hart, mask, value))
    bench.write(at.CLINT_BASE + 8, 0xFFFF_FFFF)
    assert bench.read(at.CLINT_BASE + 8) == 1
    bench.write(at.CLINT_BASE + 8, 0)
    bench.write(at.CLINT_BASE + 12, 1)  # no such hart
    every = MSIP | MTIP | SEIP | MEIP
    assert told == [(2, every, MSIP), (2, every, 0)]


def test_timer_rings_at_its_deadline() -> None:
    bench = Bench()
    bench.write(MTIMECMP, 50, 8)
    assert bench.board.deadline() == 50
    bench.instructions = 4999
    bench.board.tick()
    assert bench.board.lines[0] == 0
    bench.instructions = 5000
    bench.board.tick()
    assert bench.board.lines[0] == MTIP
    assert bench.board.deadline() == (1 << 64) - 1, "a timer that has rung is nobody's deadline"
    bench.write(MTIMECMP + 4, 1)
    assert bench.board.lines[0] == 0
    assert bench.read(MTIMECMP, 8) == 1 << 32 | 50


def test_guest_sets_mtime_in_halves() -> None:
    bench = Bench()
    bench.instructions = 700
    assert bench.read(MTIME, 8) == 7
    bench.write(MTIME, 1000)
    bench.write(MTIME + 4, 2)
    assert bench.read(MTIME, 8) == 2 << 32 | 1000
    assert (bench.read(MTIME), bench.read(MTIME + 4)) == (1000, 2)
    bench.instructions += 100
    assert bench.clock.now() == 2 << 32 | 1001


def test_idle_machine_skips_to_its_deadline() -> None:
    clock = InstructionClock(lambda: 1000)
    assert clock.skip_to(500)
    assert clock.now() == 500
    assert clock.skip_to(100)
    assert clock.now() == 500, "time never runs back"
    assert not HostClock().skip_to(1)


def test_host_clock_stands_still_while_paused() -> None:
    clock = HostClock()
    clock.pause()
    first = clock.now()
    time.sleep(0.001)
    assert clock.now() == first
    clock.resume()
    assert 0 <= clock.now() - first < 10_000_000
    clock.set(1 << 40)
    assert clock.now() - (1 << 40) < 10_000_000


def enable(bench: Bench, source: int, context: int = 1, priority: int = 1) -> None:
    bench.write(at.PLIC_BASE + 4 * source, priority)
    place = at.PLIC_BASE + 0x2000 + 0x80 * context + 4 * (source // 32)
    bench.write(place, bench.read(place) | 1 << source % 32)


def claim(bench: Bench, context: int = 1) -> int:
    return bench.read(at.PLIC_BASE + 0x20_0004 + 0x1000 * context)


def complete(bench: Bench, source: int, context: int = 1) -> None:
    bench.write(at.PLIC_BASE + 0x20_0004 + 0x1000 * context, source)


def test_uart_input_goes_through_the_plic_to_the_supervisor() -> None:
    bench = Bench()
    enable(bench, at.UART_SOURCE)
    bench.write(at.UART_BASE + 1, 1, 1)
    bench.board.uart.feed(b"ab")
    assert bench.wakes == 1
    assert bench.board.lines[0] == 0, "nothing moves on another thread"
    bench.board.tick()
    assert bench.board.lines[0] == SEIP
    assert bench.read(at.PLIC_BASE + 0x1000) == 1 << at.UART_SOURCE
    assert claim(bench) == at.UART_SOURCE
    assert bench.board.lines[0] == 0
    assert claim(bench) == 0
    complete(bench, at.UART_SOURCE)
    assert bench.board.lines[0] == SEIP, "the level is still high"
    assert claim(bench) == at.UART_SOURCE
    assert bench.read(at.UART_BASE, 1) == ord("a")
    assert bench.read(at.UART_BASE, 1) == ord("b")
    complete(bench, at.UART_SOURCE)
    assert bench.board.lines[0] == 0


def test_priorities_thresholds_and_contexts() -> None:
    bench = Bench(cpus=2)
    plic = bench.board.plic
    enable(bench, 5, context=3, priority=2)
    enable(bench, 9, context=3, priority=2)
    enable(bench, 64, context=3, priority=7)
    enable(bench, 64, context=0, priority=7)
    for source in (5, 9, 64):
        plic.set_level(source, True)
    bench.board.publish()
    assert bench.board.lines == [MEIP, SEIP]
    bench.write(at.PLIC_BASE + 0x20_3000, 7)
    assert bench.board.lines == [MEIP, 0]
    assert [claim(bench, 3) for _ in range(4)] == [64, 5, 9, 0], "a claim ignores the threshold"
    complete(bench, 64, context=2)
    assert plic.registers["pending"] == [0, 0], "a context completes only what it enables"
    complete(bench, 64, context=3)
    assert plic.registers["pending"] == [0, 1]


def test_source_zero_and_priority_zero_never_interrupt() -> None:
    bench = Bench()
    bench.write(at.PLIC_BASE + 0x2080, 0xFFFF_FFFF)
    assert bench.read(at.PLIC_BASE + 0x2080) == 0xFFFF_FFFE
    bench.board.plic.set_level(3, True)
    bench.board.publish()
    assert bench.board.lines[0] == 0
    bench.write(at.PLIC_BASE + 12, 0xF9)
    assert bench.read(at.PLIC_BASE + 12) == 1


def test_rtc_tells_time_and_rings() -> None:
    bench = Bench()
    enable(bench, at.RTC_SOURCE)

    def now() -> int:
        low = bench.read(at.RTC_BASE)
        return bench.read(at.RTC_BASE + 4) << 32 | low

    assert now() == 1_700_000_000_000_000_000
    alarm = now() + 2500
    bench.write(at.RTC_BASE + 0x10, 1)
    bench.write(at.RTC_BASE + 0xC, alarm >> 32)
    bench.write(at.RTC_BASE + 8, alarm & 0xFFFF_FFFF)
    assert bench.read(at.RTC_BASE + 0x18) == 1
    assert bench.board.deadline() == 25
    bench.instructions = 2400
    bench.board.tick()
    assert bench.board.lines[0] == 0
    bench.instructions = 2500
    bench.board.tick()
    assert bench.board.lines[0] == SEIP
    assert claim(bench) == at.RTC_SOURCE
    bench.write(at.RTC_BASE + 0x1C, 1)
    complete(bench, at.RTC_SOURCE)
    assert bench.board.lines[0] == 0
    assert bench.read(at.RTC_BASE + 0x18) == 0
    wanted = 1_000_000_000_000_000_007
    bench.write(at.RTC_BASE + 4, wanted >> 32)
    bench.write(at.RTC_BASE, wanted & 0xFFFF_FFFF)
    assert now() == wanted


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (0x5555, PoweredOff(0)),
        (0x3333, PoweredOff(1)),
        (0x2A_3333, PoweredOff(42)),
        (0x7777, Rebooted()),
        (0x1234, None),
    ],
)
def test_finisher(value: int, outcome: Ending | None) -> None:
    bench = Bench()
    bench.write(at.FINISHER_BASE, value)
    assert bench.outcomes == ([outcome] if outcome else [])


def test_a_comparator_that_native_code_wrote_is_a_deadline_at_once() -> None:
    """The board's lines are those of the last look, when another deadline had passed."""
    bench = Bench()
    bench.write(MTIMECMP, 50, 8)
    bench.instructions = 5000
    bench.board.tick()
    assert bench.board.lines[0] == MTIP
    bench.board.clint.mtimecmp = [70]  # past the bus
    assert bench.board.deadline() == 70
    bench.instructions = 7000
    bench.board.clint.mtimecmp = [60]
    bench.board.lines[0] = 0
    assert bench.board.deadline() == 60, "it is due, and its line is to be told"
