"""Memory changed: what was decoded from it goes, and who may still be using that.

A hart gets to a slot array by its own execute table only, and is among the array's users from then
on. Who changes code sends the other users away: their entries go, and until they have passed the
end of a slice they may be reading what was there. So code that is patched by the hart that runs it
waits for nobody, and code that others run waits for those, once.
"""

from __future__ import annotations

from ringzero.engine.native.code.code_writes import holds_code
from ringzero.engine.native.code.decoded_pages import forget_slots, header, set_header
from ringzero.engine.native.code.pages import drop_entries
from ringzero.engine.native.state import (
    EXECUTES,
    LEAVING,
    NO_PAGE,
    PAGE_STRIDE,
    STAMPED,
    USERS,
    Core,
    Shared,
    core_at,
    hart_bit,
)
from ringzero.engine.native.threads.epochs import acquire, new_stamp, release
from ringzero.lang import atomic, fence, native, typed_range, u64


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
def send_away(shared: Shared, array: u64, by: u64) -> None:
    """The users of an array but `by` have to come to it anew; all that were there are leaving."""
    if shared.parallel == 0:
        return
    users = atomic("and", u64, shared.slots, array * PAGE_STRIDE + USERS, by)
    fence()
    for h in typed_range(shared.harts):
        if (users & ~by) >> h & 1 != 0:
            drop_entries(core_at(shared, h), EXECUTES, array * PAGE_STRIDE)
    set_header(shared, array, LEAVING, header(shared, array, LEAVING) | users)
    set_header(shared, array, STAMPED, new_stamp(shared))


@native
def come_in(core: Core, offset: u64) -> None:
    """A hart is about to have an array, given by its byte offset, in its execute table."""
    if core.shared[0].parallel != 0:
        atomic("or", u64, core.shared[0].slots, offset + USERS, hart_bit(core))


@native
def is_in(core: Core, offset: u64) -> bool:
    """Whether a hart is among the users of an array: nobody has sent it away meanwhile."""
    return header(core.shared[0], offset // PAGE_STRIDE, USERS) & hart_bit(core) != 0
