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
    """Stop and start counters; each keeps its count.

    "Any CSR write takes effect after the writing instruction has otherwise completed" (3.1.10): the
    one that stops a counter is still counted, the one that starts it is not.
    """
    changed = hart.mcountinhibit ^ value
    after = hart.retired + 1
    if changed & CYCLE != 0:
        stops = value & CYCLE != 0
        hart.mcycle_offset = hart.mcycle_offset + after if stops else hart.mcycle_offset - after
    if changed & INSTRET != 0:
        stops = value & INSTRET != 0
        hart.minstret_offset = (
            hart.minstret_offset + after if stops else hart.minstret_offset - after
        )
    hart.mcountinhibit = value
