"""Timers: when the CLINT's comparator of a hart, stimecmp or vstimecmp is due next.

`trap.interrupts_pending` says which are due already. Whoever lets a hart wait, or lets time pass in
one step, asks here how long that may be.
"""

from __future__ import annotations

from ringzero.isa.hart import Hart
from ringzero.isa.privileged.trap import MTI, STCE, STI, VSTI
from ringzero.lang import native, u64

NEVER = 0xFFFF_FFFF_FFFF_FFFF  # as a comparator: none is set
TIMERS = 1 << MTI | 1 << STI | 1 << VSTI


@native
def next_deadline(hart: Hart, time: u64, mtimecmp: u64, which: u64) -> u64:
    """The mtime from which on the first of some timers is due; NEVER if none ever is.

    `which` are bits of mip: `hart.mie` for the timers that end a wait. One that is due at `time`
    gives `time`, so that no wait begins that has ended already.
    """
    left = u64(NEVER)
    if which & (1 << MTI) != 0:
        left = sooner(left, time, mtimecmp)
    if hart.menvcfg & STCE != 0:
        if which & (1 << STI) != 0:
            left = sooner(left, time, hart.stimecmp)
        if hart.henvcfg & STCE != 0 and which & (1 << VSTI) != 0:
            left = sooner(left, time + hart.htimedelta, hart.vstimecmp)
    return NEVER if left > NEVER - time else time + left


@native
def sooner(left: u64, time: u64, comparator: u64) -> u64:
    """The ticks until a comparator is due, if they are fewer than those of others."""
    if comparator == NEVER:
        return left
    if comparator <= time:
        return 0
    return comparator - time if comparator - time < left else left
