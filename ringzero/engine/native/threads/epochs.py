"""Harts on threads of their own: a lock for what they share, and when what one drops is free.

A hart may be in the midst of using what another drops: an entry of its write table, a slot's
operands, a decoded page. As in RCU, nobody is stopped for that. Dropping something begins an epoch.
Each hart notes the newest epoch in its quiescent states, which are the ends of slices, and how
little it may be using elsewhere (`Core.quiescence`). When all harts have noted an epoch, the grace
period is over: what was dropped before it is used by nobody. All of it costs nothing while
`Shared.parallel` is 0, when one thread runs the harts in turns.
"""

from __future__ import annotations

from ringzero.engine.native.state import Core, Shared, core_at
from ringzero.lang import (
    atomic,
    call_pointer,
    compare_exchange,
    fence,
    native,
    read_once,
    typed_range,
    u64,
)

LOCK, EPOCH, KICKS = 0, 128, 4096  # in Shared.common: each in cache lines of its own
COMMON_SIZE = 4 * 4096
ALL = ~0  # harts, as bits
SPINS = 64  # tries before a waiting hart lets other threads of the host run

# Core.quiescence: what a hart may be using now, less and less of it.
RUNNING = 0  # anything
IN_DEVICE = 1  # a slot and its operands; no store to RAM is on its way
DECODING = 2  # the decoded page in which it will go on
OUT = 3  # nothing

# How quiescent a hart has to be for what is dropped.
STORES, OPERANDS, DECODED_PAGE = IN_DEVICE, DECODING, OUT


@native
def pause(shared: Shared, tries: u64) -> None:
    """Between two tries at something that another hart is to do."""
    fence()
    if tries >= SPINS:
        call_pointer(None, shared.yield_thread)


@native
def acquire(shared: Shared) -> None:
    """Take the lock of decoded pages and what is known about them; nobody waits who holds it."""
    if shared.parallel == 0:
        return
    tries = u64(0)
    while not compare_exchange(u64, shared.common, LOCK, u64(0), u64(1)):
        pause(shared, tries)
        tries += 1


@native
def release(shared: Shared) -> None:
    """Give the lock back."""
    if shared.parallel != 0:
        atomic("xchg", u64, shared.common, LOCK, u64(0))


@native
def advance_epoch(shared: Shared) -> u64:
    """The epoch that begins after something was dropped."""
    return atomic("add", u64, shared.common, EPOCH, u64(1)) + 1


@native
def report_quiescent(core: Core) -> None:
    """A quiescent state: the hart uses nothing at this point."""
    if core.shared[0].parallel != 0:
        fence()
        core.quiescent_epoch = read_once(u64, core.shared[0].common, EPOCH)
        fence()


@native
def set_quiescence(core: Core, quiescence: u64) -> None:
    """Say what the hart may be using from here on."""
    if core.shared[0].parallel != 0:
        fence()
        core.quiescence = quiescence
        fence()


@native
def grace_period_over(shared: Shared, harts: u64, epoch: u64, level: int) -> bool:
    """Whether none of these harts uses what was dropped before an epoch.

    `harts` are bits; `level` is how quiescent one has to be for that.
    """
    if shared.parallel != 0 and harts != 0:
        for h in typed_range(shared.harts):
            core = core_at(shared, h)
            if (harts >> h) & 1 != 0 and core.quiescence < level and core.quiescent_epoch < epoch:
                return False
    return True


@native(cold=True)
def await_grace_period(core: Core, harts: u64, epoch: u64, level: int, quiescence: u64) -> None:
    """Wait for that; `quiescence` is the hart's own meanwhile."""
    shared = core.shared[0]
    tries = u64(0)
    set_quiescence(core, quiescence)
    while not grace_period_over(shared, harts, epoch, level):
        pause(shared, tries)
        tries += 1
    set_quiescence(core, RUNNING)
