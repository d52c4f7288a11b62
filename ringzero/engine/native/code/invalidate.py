"""Memory changed: what was decoded from it is dropped once nobody uses it any more.

A hart gets to a decoded page by its own execute table only, and is among the page's users from then
on. Whoever changes code sends the other users away: their entries are dropped, and until the end of
their slice they may still be reading what was there. So a hart that patches code which only it runs
waits for nobody; code that others run waits for those, once.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import decoded_page, first_slot, page_number
from ringzero.engine.native.code.code_writes import holds_code
from ringzero.engine.native.code.decoded_pages import (
    change_shared,
    forget_slots,
    read_shared,
    write_shared,
)
from ringzero.engine.native.code.pages import drop_entries
from ringzero.engine.native.state import (
    EXECUTES,
    NO_PAGE,
    Core,
    Shared,
    core_at,
    hart_bit,
)
from ringzero.engine.native.threads.epochs import acquire, advance_epoch, release
from ringzero.lang import fence, native, typed_range, u64


@native
def forget_code(shared: Shared, where: u64, size: u64, by: u64) -> None:
    """Memory at an offset changed: its slots, and one that began before it, decode again.

    `by` is the hart that did it, as a bit, or 0.
    """
    if shared.parallel != 0:
        fence()  # the change first: whoever decodes after this look finds it
    if not holds_code(shared, where, size):
        return
    acquire(shared)
    present = u64(shared.pages[where >> 12])
    if present != NO_PAGE and forget_slots(shared, present - 1, where & 0xFFF, size):
        send_away(shared, present - 1, by)
    release(shared)


@native
def forget_range(shared: Shared, where: u64, size: u64) -> None:
    """A device or a debugger changed memory: the same for a range over many pages."""
    at = where
    end = where + size
    while at < end:
        step = 4096 - (at & 0xFFF)
        if step > end - at:
            step = end - at
        forget_code(shared, at, step, u64(0))
        at += step


@native
def send_away(shared: Shared, decoded: u64, by: u64) -> None:
    """All users of a page but `by` have to look it up anew; those that were in it are leaving."""
    if shared.parallel == 0:
        return
    page = decoded_page(shared, decoded)
    users = change_shared(page, "and", "users", by)
    fence()
    for h in typed_range(shared.harts):
        if (users & ~by) >> h & 1 != 0:
            drop_entries(core_at(shared, h), EXECUTES, first_slot(decoded))
    write_shared(page, "leaving", read_shared(page, "leaving") | users)
    write_shared(page, "epoch", advance_epoch(shared))


@native
def come_in(core: Core, offset: u64) -> None:
    """A hart is about to enter a page, given by its first slot's offset, in its execute table."""
    shared = core.shared[0]
    if shared.parallel != 0:
        page = decoded_page(shared, page_number(offset))
        change_shared(page, "or", "users", hart_bit(core))


@native
def is_in(core: Core, offset: u64) -> bool:
    """Whether a hart is among a page's users: nobody has sent it away meanwhile."""
    page = decoded_page(core.shared[0], page_number(offset))
    return read_shared(page, "users") & hart_bit(core) != 0
