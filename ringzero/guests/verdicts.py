"""How tests report: traps that they provoke, and one line for each result.

A test that may trap arms `expected` first; the trap is then recorded and its instruction skipped.
"""

from __future__ import annotations

from ringzero.bare.text import put, put_byte, put_decimal, put_hex
from ringzero.guests.entry import Frame
from ringzero.isa.privileged.trap import FETCH_ACCESS, FETCH_PAGE
from ringzero.lang import Struct, native, ptr, u8, u64


class Expected(Struct):
    """The trap that a test provokes, and interrupts as they come."""

    armed: bool
    caught: u64
    cause: u64
    value: u64
    pc: u64
    status: u64
    timer: u64
    software: u64


class Score(Struct):
    """How many tests there were."""

    passed: u64
    failed: u64


expected, score = Expected(), Score()


@native
def record(frame: Frame) -> None:
    """Keep what the trap said."""
    expected.cause, expected.value = frame.cause, frame.value
    expected.pc, expected.status = frame.pc, frame.status


@native
def skip(frame: Frame) -> None:
    """Go on after the instruction that trapped, or return from a call to nowhere."""
    if frame.cause == FETCH_PAGE or frame.cause == FETCH_ACCESS:
        frame.pc = frame.x[1]
    else:
        frame.pc += 4


@native
def arm() -> None:
    """Expect an exception from here on."""
    expected.armed, expected.caught = True, 0
    expected.cause, expected.value, expected.pc = 0, 0, 0


@native(inline=False)
def faulted(cause: u64, value: u64) -> bool:
    """Whether exactly this exception came since `arm`."""
    expected.armed = False
    return expected.caught == 1 and expected.cause == cause and expected.value == value


@native(inline=False)
def nothing_came() -> bool:
    """Whether no exception came since `arm`."""
    expected.armed = False
    return expected.caught == 0


@native
def count_check(good: bool) -> None:
    """One more test has ended."""
    if good:
        score.passed += 1
    else:
        score.failed += 1


@native
def put_verdict(good: bool) -> None:
    """The end of a test's line."""
    if good:
        put(" ok\n")
    else:
        put(" FAIL\n")


@native(inline=False)
def verdict(name: ptr[u8], good: bool) -> None:
    """Report a test."""
    count_check(good)
    put("test ")
    put(name)
    put_verdict(good)
    if not good:
        put("  last trap: cause ")
        put_hex(expected.cause)
        put(" value ")
        put_hex(expected.value)
        put(" status ")
        put_hex(expected.status)
        put_byte(10)


@native(inline=False)
def put_trap(what: ptr[u8], frame: Frame) -> None:
    """A trap that nobody expected."""
    put(what)
    put(": cause ")
    put_hex(frame.cause)
    put(" pc ")
    put_hex(frame.pc)
    put(" value ")
    put_hex(frame.value)
    put_byte(10)


@native
def summary() -> bool:
    """The last line; whether all passed."""
    put("kernel: ")
    put_decimal(score.passed)
    put(" tests ok, ")
    put_decimal(score.failed)
    put(" failed\n")
    return score.failed == 0
