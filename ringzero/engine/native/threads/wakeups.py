"""Harts that wait in native code, and the kicks that wake them: a futex of the host's for each.

Whoever changes what may interrupt a hart kicks it afterwards. A hart reads how often it was kicked,
looks for interrupts, and sleeps only if it was not kicked since. A kick of a hart that runs costs
no system call: it looks for interrupts at the end of its slice.
"""

from __future__ import annotations

from ringzero.board.clint import deadline
from ringzero.engine.native.state import Core, Shared
from ringzero.engine.native.threads.epochs import KICKS
from ringzero.isa.ports import now
from ringzero.isa.privileged.timers import next_deadline
from ringzero.lang import (
    Struct,
    address_of,
    atomic,
    call_pointer,
    fence,
    i64,
    native,
    read_once,
    u32,
    u64,
    write_once,
)

KICK_BYTES, ASLEEP = 128, 8  # a hart's: how often it was kicked, and whether its thread sleeps
WAIT_PRIVATE, WAKE_PRIVATE = 128, 129  # futex(2)
TICK = 100  # nanoseconds
LONGEST = 10_000_000  # ticks: a sleeping hart looks around at least this often


class Timespec(Struct):
    """POSIX's `struct timespec`."""

    seconds: i64
    nanoseconds: i64


@native
def kick(shared: Shared, hart: u64) -> None:
    """What may interrupt a hart has changed: it sleeps no more."""
    kicks = u64(KICKS) + hart * KICK_BYTES
    atomic("add", u64, shared.common, kicks, 1)
    fence()
    if read_once(u64, shared.common, kicks + ASLEEP) != 0:
        place = address_of(shared.common) + kicks
        call_pointer(u64, shared.system_call, shared.futex, place, u64(WAKE_PRIVATE), u64(1))


@native
def kick_count(core: Core) -> u64:
    """How often the hart was kicked."""
    return read_once(u64, core.shared[0].common, u64(KICKS) + core.number * KICK_BYTES)


@native
def timer_due(core: Core) -> u64:
    """The mtime at which a timer may end the hart's wait; all ones if none is set."""
    hart = core.hart
    return next_deadline(hart, now(hart), deadline(core.shared[0].clint, core.number), hart.mie)


@native
def ticks_left(core: Core) -> u64:
    """How long the hart may sleep."""
    time, due = now(core.hart), timer_due(core)
    if due <= time:
        return 0
    return due - time if due - time < LONGEST else u64(LONGEST)


@native
def sleep(core: Core, kicks: u64) -> None:
    """Let the hart's thread sleep, unless it was kicked since, or a timer is due."""
    shared = core.shared[0]
    left = ticks_left(core)
    if left == 0:
        return
    at = Timespec()
    at.seconds = i64(left * TICK // 1_000_000_000)
    at.nanoseconds = i64(left * TICK % 1_000_000_000)
    own = u64(KICKS) + core.number * KICK_BYTES
    place = address_of(shared.common) + own
    write_once(u64, shared.common, own + ASLEEP, u64(1))
    fence()
    call_pointer(
        u64, shared.system_call, shared.futex, place, u64(WAIT_PRIVATE), u64(u32(kicks)),
        address_of(at),
    )  # fmt: skip
    write_once(u64, shared.common, own + ASLEEP, u64(0))
