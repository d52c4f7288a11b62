"""Stores to a page that holds code: whether they touch it, and how many do not."""

from __future__ import annotations

from ringzero.engine.native.code.address import decoded_page, slots_of
from ringzero.engine.native.code.decoded_pages import read_shared, write_shared
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.state import NO_PAGE, PAGE_SLOTS, Shared
from ringzero.lang import native, typed_range, u64


@native
def holds_code(shared: Shared, where: u64, size: u64) -> bool:
    """Whether a store touches what was decoded."""
    present = u64(shared.pages[where >> 12])
    if present == NO_PAGE:
        return False
    slots = slots_of(shared, present - 1)
    first = where & 0xFFF
    low = first >> 1
    if low > 0:
        low -= 1
    high = (first + size + 1) >> 1
    if high > PAGE_SLOTS:
        high = u64(PAGE_SLOTS)
    for i in typed_range(low, high):  # noqa: SIM110 — no generators when compiled
        if slots[i].handler != shared.handlers[Special.DECODE]:
            return True
    return False


@native
def count_data_store(shared: Shared, page: u64) -> None:
    """Count a store to a page of code that touches no code: after many, its code may be gone."""
    present = u64(shared.pages[page])
    if present != NO_PAGE:
        code = decoded_page(shared, present - 1)
        count = read_shared(code, "data_stores") + 1
        if count >> (10 + u64(shared.releases[page] & 15)) != 0:
            shared.idle_page = present
            count = u64(0)
        write_shared(code, "data_stores", count)
