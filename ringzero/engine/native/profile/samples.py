"""Samples of where harts are, natively: what Python is told of, to load, compile or mend.

A slice's end is a sample: of a slot array that is new, of a place that is hot, of an indirect jump.
A side exit of a region is counted where it happens.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import (
    decoded_page,
    page_number,
    slot_at,
    slot_index,
    slot_offset,
)
from ringzero.engine.native.code.decoded_pages import INVALID
from ringzero.engine.native.code.pages import tell
from ringzero.engine.native.profile.indirect import sampled_jump
from ringzero.engine.native.state import (
    BAILS,
    FIRST,
    GOALS,
    HEATS,
    HOT,
    OFTEN,
    SITES,
    Core,
    Shared,
    Slot,
)
from ringzero.engine.native.translation.tlb import PAGE_MASK, execute_entry
from ringzero.lang import native, ptr, u64


@native
def sample(core: Core, slot: u64) -> None:
    """A slice ended at a slot: tell Python of new slot arrays, and of what has become hot."""
    shared = core.shared[0]
    pc = core.hart.pc
    core.slices += 1
    if page_number(slot) >= shared.slot_arrays:
        return
    notice(shared, slot, pc)
    jump, distance = sampled_jump(core)
    if jump != INVALID:
        tell(shared, jump | GOALS, distance)
    if core.inside != 0:
        core.inside = 0
        return
    if holds_region(shared, slot):
        # What the interpreter executed came before it: from where a region ended.
        pc = core.left
        entry = execute_entry(core, pc)
        if entry.tag != pc & PAGE_MASK:
            return
        slot = slot_at(entry.offset, pc)
        if holds_region(shared, slot):
            return
        notice(shared, slot, pc)
    heat(shared, slot, pc)


@native
def holds_region(shared: Shared, slot: u64) -> bool:
    """Whether a region is entered at a slot."""
    return decoded_page(shared, page_number(slot)).originals[slot_index(slot)] != 0


@native
def notice(shared: Shared, slot: u64, pc: u64) -> None:
    """Tell of a slot array where no slice has ended before."""
    page = decoded_page(shared, page_number(slot))
    if page.seen == 0:
        page.seen = 1
        tell(shared, slot | FIRST, pc)


@native
def heat(shared: Shared, slot: u64, pc: u64) -> None:
    """Count a slice for a slot."""
    warm = shared.heat[((slot >> 4) ^ (slot >> 16)) & (HEATS - 1)]
    if warm.slot != slot:
        if warm.count > 1:
            warm.count -= 1
            return
        warm.slot = slot
        warm.count = 0
    warm.count += 1
    if warm.count >= HOT:
        warm.count = 0
        tell(shared, slot, pc)


@native
def bailed(core: Core, slot: ptr[Slot]) -> u64:
    """A region left by a side exit: count it, and give the interpreter's handler of the slot."""
    shared = core.shared[0]
    core.bails += 1
    place = slot_offset(shared, slot)
    site = shared.sites[((place >> 4) ^ (place >> 16)) & (SITES - 1)]
    if site.slot != place:
        site.slot = place
        site.count = 0
    site.count += 1
    if site.count == OFTEN:
        tell(shared, place | BAILS, 0)
    kept = decoded_page(shared, page_number(place)).originals[slot_index(place)]
    return kept if kept != 0 else slot[0].handler
