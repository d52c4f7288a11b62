"""The profile that native code takes, and the events by which Python learns of it.

The end of a slice is a sample: of a decoded page that is new, of a place that is hot, of an
indirect jump. Side exits of regions are counted where they happen. What was counted often enough
becomes an event: Python loads, compiles or recompiles what it names.
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
from ringzero.engine.native.code.pages import record_event
from ringzero.engine.native.profile.indirect import sampled_jump
from ringzero.engine.native.state import (
    FIRST_SLICE,
    HOT_COUNTS,
    HOT_EXIT,
    HOT_EXIT_COUNT,
    HOT_SLICES,
    JUMP_TARGET,
    SIDE_EXITS,
    Core,
    Shared,
    Slot,
)
from ringzero.engine.native.translation.tlb import PAGE_MASK, execute_entry
from ringzero.lang import native, ptr, u64


@native
def sample(core: Core, slot: u64) -> None:
    """A slice ended at a slot: record what is new, and what has become hot."""
    shared = core.shared[0]
    pc = core.hart.pc
    core.slices += 1
    if page_number(slot) >= shared.decoded_pages:
        return
    notice(shared, slot, pc)
    jump, distance = sampled_jump(core)
    if jump != INVALID:
        record_event(shared, jump | JUMP_TARGET, distance)
    if core.ended_in_region != 0:
        core.ended_in_region = 0
        return
    if holds_region(shared, slot):
        # What the interpreter executed came before it: from where a region ended.
        pc = core.exit_pc
        entry = execute_entry(core, pc)
        if entry.tag != pc & PAGE_MASK:
            return
        slot = slot_at(entry.offset, pc)
        if holds_region(shared, slot):
            return
        notice(shared, slot, pc)
    count_slice(shared, slot, pc)


@native
def holds_region(shared: Shared, slot: u64) -> bool:
    """Whether a region is entered at a slot."""
    return decoded_page(shared, page_number(slot)).originals[slot_index(slot)] != 0


@native
def notice(shared: Shared, slot: u64, pc: u64) -> None:
    """Record a decoded page where no slice has ended before."""
    page = decoded_page(shared, page_number(slot))
    if page.seen == 0:
        page.seen = 1
        record_event(shared, slot | FIRST_SLICE, pc)


@native
def count_slice(shared: Shared, slot: u64, pc: u64) -> None:
    """Count a slice for a slot."""
    hot = shared.hot_counts[((slot >> 4) ^ (slot >> 16)) & (HOT_COUNTS - 1)]
    if hot.slot != slot:
        if hot.count > 1:
            hot.count -= 1
            return
        hot.slot = slot
        hot.count = 0
    hot.count += 1
    if hot.count >= HOT_SLICES:
        hot.count = 0
        record_event(shared, slot, pc)


@native
def count_side_exit(core: Core, slot: ptr[Slot]) -> u64:
    """A region left by a side exit: count it, and give the interpreter's handler of the slot."""
    shared = core.shared[0]
    core.side_exits += 1
    place = slot_offset(shared, slot)
    counted = shared.side_exits[((place >> 4) ^ (place >> 16)) & (SIDE_EXITS - 1)]
    if counted.slot != place:
        counted.slot = place
        counted.count = 0
    counted.count += 1
    if counted.count == HOT_EXIT_COUNT:
        record_event(shared, place | HOT_EXIT, 0)
    kept = decoded_page(shared, page_number(place)).originals[slot_index(place)]
    return kept if kept != 0 else slot[0].handler
