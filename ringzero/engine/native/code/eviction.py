"""Regions that are to be given back: out of their slots first, later out of the lists of links.

Harts go on meanwhile, perhaps in these very regions until their slice ends; what harts have not
passed yet is not freed.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import page_number
from ringzero.engine.native.code.decoded_pages import INVALID, drop_regions, remove_link
from ringzero.engine.native.state import Shared
from ringzero.engine.native.threads.epochs import (
    ALL,
    ARRAYS,
    acquire,
    all_passed,
    new_stamp,
    release,
)
from ringzero.lang import native, ptr, typed_range, u8, u64


@native
def retire_regions(shared: Shared, arrays: ptr[u8]) -> u64:
    """Drop the regions of the slot arrays that are marked. The stamp of what they were."""
    acquire(shared)
    for array in typed_range(shared.slot_used):
        if arrays[array] != 0:
            drop_regions(shared, array)
    stamp = new_stamp(shared)
    release(shared)
    return stamp


@native
def unlink_regions(shared: Shared, stamp: u64, first: u64, count: u64) -> bool:
    """Take links of regions that were retired back; False while a hart may be in them."""
    if not all_passed(shared, u64(ALL), stamp, ARRAYS):
        return False
    acquire(shared)
    for number in typed_range(first, first + count):
        link = shared.links[number]
        if link.bound != INVALID:
            remove_link(shared, page_number(link.bound), number)
            link.bound = u64(INVALID)
    release(shared)
    return True
