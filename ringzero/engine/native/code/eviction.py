"""Eviction of regions: out of their slots first, after a grace period out of the lists of links.

Harts run on meanwhile, perhaps in these very regions until their slice ends. Their code is freed
when every hart has been in a quiescent state since (`epochs`).
"""

from __future__ import annotations

from ringzero.engine.native.code.address import page_number
from ringzero.engine.native.code.decoded_pages import INVALID, drop_regions, remove_link
from ringzero.engine.native.state import Shared
from ringzero.engine.native.threads.epochs import (
    ALL,
    DECODED_PAGE,
    acquire,
    advance_epoch,
    grace_period_over,
    release,
)
from ringzero.lang import native, ptr, typed_range, u8, u64


@native
def retire_regions(shared: Shared, decoded_pages: ptr[u8]) -> u64:
    """Drop the regions of the decoded pages that are marked; the epoch in which that was done."""
    acquire(shared)
    for decoded in typed_range(shared.decoded_used):
        if decoded_pages[decoded] != 0:
            drop_regions(shared, decoded)
    epoch = advance_epoch(shared)
    release(shared)
    return epoch


@native
def unlink_regions(shared: Shared, epoch: u64, first: u64, count: u64) -> bool:
    """Take links of regions that were retired back; False while a hart may be in them."""
    if not grace_period_over(shared, u64(ALL), epoch, DECODED_PAGE):
        return False
    acquire(shared)
    for number in typed_range(first, first + count):
        link = shared.links[number]
        if link.bound != INVALID:
            remove_link(shared, page_number(link.bound), number)
            link.bound = u64(INVALID)
    release(shared)
    return True
