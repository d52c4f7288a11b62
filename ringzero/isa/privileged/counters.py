"""mcycle and minstret: both are the hart's retired instructions plus an offset that writes set.

While mcountinhibit stops a counter, its offset field holds the frozen count itself, so engines
never count anything but `hart.retired` (privileged spec 3.1.10, 3.1.12).
"""

from __future__ import annotations

from ringzero.isa.hart import Hart
from ringzero.lang import native, u64

CYCLE, INSTRET = 1 << 0, 1 << 2  # bits of mcountinhibit and mcounteren
TIME = 1 << 1


@native
def cycle_count(hart: Hart) -> u64:
    """mcycle as the running instruction sees it."""
    if hart.mcountinhibit & CYCLE != 0:
        return hart.mcycle_offset
    return hart.retired + hart.mcycle_offset


@native
def instret_count(hart: Hart) -> u64:
    """minstret as the running instruction sees it."""
    if hart.mcountinhibit & INSTRET != 0:
        return hart.minstret_offset
    return hart.retired + hart.minstret_offset


@native
def set_cycle_count(hart: Hart, value: u64) -> None:
    """The next instruction reads `value`: the writing one is not counted on top of it."""
    if hart.mcountinhibit & CYCLE != 0:
        hart.mcycle_offset = value
    else:
        hart.mcycle_offset = value - hart.retired - 1


@native
def set_instret_count(hart: Hart, value: u64) -> None:
    """The same for minstret."""
    if hart.mcountinhibit & INSTRET != 0:
        hart.minstret_offset = value
    else:
        hart.minstret_offset = value - hart.retired - 1


@native
def set_inhibit(hart: Hart, value: u64) -> None:
    """Stop and start counters; each keeps its count. The new setting holds for this instruction."""
    changed = hart.mcountinhibit ^ value
    if changed & CYCLE != 0:
        count = cycle_count(hart)
        hart.mcycle_offset = count if value & CYCLE != 0 else count - hart.retired
    if changed & INSTRET != 0:
        count = instret_count(hart)
        hart.minstret_offset = count if value & INSTRET != 0 else count - hart.retired
    hart.mcountinhibit = value
