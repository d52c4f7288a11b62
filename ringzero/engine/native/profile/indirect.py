"""Where indirect jumps go: samples for the compiler of regions.

Compiled blocks and regions leave in the core the address of an indirect jump that they looked up,
and its target. The last one before a slice ends is a sample; a pair that is sampled often becomes
an event for Python, and regions that hold the jump compare with it (`regions/profile/targets.py`).
"""

from __future__ import annotations

from ringzero.engine.native.code.address import slot_at
from ringzero.engine.native.code.decoded_pages import INVALID, SINK
from ringzero.engine.native.state import TARGETS, Core, Slot
from ringzero.engine.native.translation.tlb import PAGE_MASK, execute_entry
from ringzero.lang import advance, native, ptr, reinterpret, u64

ENOUGH = 3  # samples of a pair before Python hears of it


@native
def sampled_jump(core: Core) -> tuple[u64, u64]:
    """The slot (byte offset) of an indirect jump, and how far it often goes; or INVALID."""
    jump_site = core.jump_site
    core.jump_site = 0
    entry = execute_entry(core, jump_site)
    if jump_site == 0 or entry.tag != jump_site & PAGE_MASK:
        return u64(INVALID), u64(0)
    place = slot_at(entry.offset, jump_site)
    slot = reinterpret(ptr[Slot], advance(core.slots, place))[0]
    if slot.rd == SINK and (slot.rs1 == 1 or slot.rs1 == 5):
        return u64(INVALID), u64(0)  # a return, which goes where it was called from
    if not often(core, place, core.jump_target - jump_site):
        return u64(INVALID), u64(0)
    return place, core.jump_target - jump_site


@native
def often(core: Core, place: u64, distance: u64) -> bool:
    """Count a pair; whether it has just been sampled often."""
    index = (place >> 4) ^ (place >> 16) ^ (distance >> 1)
    pair = core.shared[0].targets[index & (TARGETS - 1)]
    if pair.slot != place or pair.distance != distance:
        if pair.count > 1:
            pair.count -= 1
            return False
        pair.slot = place
        pair.distance = distance
        pair.count = 0
    pair.count += 1
    if pair.count < ENOUGH:
        return False
    pair.count = 0
    return True
