"""Generations of compiled code: what all code of one kind has in common, and how it is retired.

Code is of a kind: it holds certain registers of the guest, and it may read memory directly. When
another kind is wanted, all blocks leave their slots, and code is made anew in the other half of
code memory. A hart that is still in old code goes on there: compiled code jumps only into its own
half without a detour, and a half is used again when all harts have left it.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import decoded_page
from ringzero.engine.native.code.blocks import drop_blocks
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.state import MACHINE, Core, Shared, core_at
from ringzero.engine.native.threads.epochs import (
    ALL,
    DECODED_PAGE,
    acquire,
    advance_epoch,
    grace_period_over,
    release,
)
from ringzero.lang import native, typed_range, u64

LOCKED = 0x8080_8080_8080_8080  # pmpcfg.L of eight entries


@native(cold=True)
def retire_code(shared: Shared) -> None:
    """All blocks leave their slots; the next ones are a new generation's."""
    s = shared.compiler[0]
    if s.retired != 0:
        return
    for decoded in typed_range(shared.decoded_used):
        if decoded_page(shared, decoded).compiled != 0:
            drop_blocks(shared, decoded, Special.WARM, True)
    s.retired = advance_epoch(shared)


@native
def generation_begins(shared: Shared) -> bool:
    """Before code of a new generation is made: whether the harts have left the half for it."""
    s = shared.compiler[0]
    if not grace_period_over(shared, u64(ALL), s.left, DECODED_PAGE):
        return False
    if s.retired != 0:
        s.low = s.half - s.low
        s.left = s.retired
        s.retired = 0
        s.generations += 1
    s.direct = u64(s.mapped == 0 and all_direct(shared))
    s.emptied = 0
    return True


@native
def is_direct(core: Core) -> bool:
    """Whether a hart's loads reach RAM at the addresses that they name: M-mode, as it mostly is."""
    hart = core.hart
    return core.mmu_mode == MACHINE and (hart.pmpcfg[0] | hart.pmpcfg[1]) & LOCKED == 0


@native
def all_direct(shared: Shared) -> bool:
    """Whether all harts are so."""
    for index in typed_range(shared.harts):  # noqa: SIM110 — a loop when compiled
        if not is_direct(core_at(shared, index)):
            return False
    return True


@native(cold=True)
def leave_direct(core: Core) -> None:
    """A hart's translation changed: code that reads memory directly is retired where it must be."""
    shared = core.shared[0]
    s = shared.compiler[0]
    if s.mapped == 0 and not is_direct(core):
        acquire(shared)
        s.mapped = 1
        if s.direct != 0:
            retire_code(shared)
        release(shared)
