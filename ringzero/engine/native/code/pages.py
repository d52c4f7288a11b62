"""Which page of RAM is decoded where: from its first execution until it turns out to be data.

A page that holds code is in no hart's write table. A decoded page that is freed may have harts in
it still; it is used anew after a grace period (`epochs`).
"""

from __future__ import annotations

from ringzero.engine.native.code.address import (
    decoded_page,
    first_slot,
    page_number,
    slots_of,
)
from ringzero.engine.native.code.blocks import clear_marks
from ringzero.engine.native.code.decoded_pages import (
    INVALID,
    clear_slots,
    count_change,
    drop_regions,
    read_shared,
    write_shared,
)
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.state import (
    CONTEXT_SIZE,
    CONTEXTS,
    DECODED_MASKS,
    EVENTS,
    EXECUTES,
    LOG,
    NEW_PAGE,
    NO_PAGE,
    TLB_SIZE,
    WRITES,
    Core,
    Shared,
    TlbEntry,
    core_at,
)
from ringzero.engine.native.threads.epochs import (
    ALL,
    DECODED_PAGE,
    DECODING,
    OUT,
    RUNNING,
    STORES,
    acquire,
    advance_epoch,
    await_grace_period,
    grace_period_over,
    pause,
    release,
    report_quiescent,
    set_quiescence,
)
from ringzero.lang import ctz, fence, native, typed_range, u32, u64


@native
def code_page(core: Core, page: u64) -> u64:
    """The offset of the first slot of a page of RAM, which is decoded if need be."""
    shared = core.shared[0]
    present = u64(shared.pages[page])
    if present == NO_PAGE:
        present = make_code_page(core, page)
    if shared.parallel != 0:
        await_ready(core, present - 1)
    return first_slot(present - 1)


@native(cold=True)
def make_code_page(core: Core, page: u64) -> u64:
    """1 + the decoded page of a page that had none; perhaps another hart has just made it.

    The hart is on its way to the page, and in no other.
    """
    shared = core.shared[0]
    report_quiescent(core)
    acquire(shared)
    decoded, found = claim_page(shared)
    while not found:
        epoch = forget_everything(shared)
        release(shared)
        await_grace_period(core, u64(ALL), epoch, DECODED_PAGE, u64(OUT))
        report_quiescent(core)
        acquire(shared)
        decoded, found = claim_page(shared)
    present = u64(shared.pages[page])
    if present != NO_PAGE:
        return_page(shared, decoded)
        release(shared)
        return present
    shared.owners[decoded] = u32(page)
    made = decoded_page(shared, decoded)
    made.seen = 0
    for field in ("data_stores", "epoch", "leaving", "users", "ready"):
        write_shared(made, field, u64(0))
    clear_marks(shared, decoded)
    drop_regions(shared, decoded)
    clear_slots(shared, slots_of(shared, decoded), Special.DECODE, Special.CROSS)
    count_change(shared, decoded)
    fence()
    shared.pages[page] = u32(decoded + 1)
    fence()
    written = protect_code(shared, page)
    release(shared)
    if written != 0 and shared.parallel != 0:
        await_grace_period(core, written, advance_epoch(shared), STORES, u64(DECODING))
    write_shared(made, "ready", u64(1))
    record_event(shared, first_slot(decoded) | NEW_PAGE, u64(0))
    return decoded + 1


@native
def record_event(shared: Shared, what: u64, pc: u64) -> None:
    """Add to the ring of events. Python reads fast enough; what it misses becomes hot once more."""
    acquire(shared)
    shared.events[shared.event_count & (EVENTS - 1)] = what
    shared.events[(shared.event_count + 1) & (EVENTS - 1)] = pc
    fence()
    shared.event_count += 2
    release(shared)


@native
def await_ready(core: Core, decoded: u64) -> None:
    """Another hart may still be making the decoded page, while the last stores to it are done."""
    page = decoded_page(core.shared[0], decoded)
    if read_shared(page, "ready") == 0:
        tries = u64(0)
        set_quiescence(core, u64(DECODING))
        while read_shared(page, "ready") == 0:
            pause(core.shared[0], tries)
            tries += 1
        set_quiescence(core, u64(RUNNING))


@native
def claim_page(shared: Shared) -> tuple[u64, bool]:
    """A decoded page that is free, and that no hart is in; False if there is none."""
    if shared.spares != 0:
        decoded = u64(shared.spare[shared.spare_first])
        epoch = read_shared(decoded_page(shared, decoded), "epoch")
        if grace_period_over(shared, u64(ALL), epoch, DECODED_PAGE):
            shared.spares -= 1
            shared.spare_first = (shared.spare_first + 1) % shared.decoded_pages
            return decoded, True
    if shared.decoded_used == shared.decoded_pages:
        return u64(0), False
    shared.decoded_used += 1
    return shared.decoded_used - 1, True


@native
def return_page(shared: Shared, decoded: u64) -> None:
    """Nothing leads to a decoded page any more: harts that are still in it leave it in time."""
    write_shared(decoded_page(shared, decoded), "epoch", advance_epoch(shared))
    shared.spare[(shared.spare_first + shared.spares) % shared.decoded_pages] = u32(decoded)
    shared.spares += 1


@native(cold=True)
def protect_code(shared: Shared, page: u64) -> u64:
    """A page that holds code leaves all write tables: its stores take the slow path.

    The harts, as bits, that had it in theirs: stores by those may be on their way.
    """
    dropped = u64(0)
    for h in typed_range(shared.harts):
        if drop_entries(core_at(shared, h), WRITES, page):
            dropped |= u64(1) << h
    return dropped


@native
def drop_entries(core: Core, table: int, what: u64) -> bool:
    """Drop the entries of a table, in all contexts, that stand for a page or a decoded page."""
    if table == WRITES:
        left = core.by_frame[what & (TLB_SIZE - 1)]
    else:
        left = core.by_decoded[page_number(what) & (DECODED_MASKS - 1)]
    dropped = False
    while left != 0:
        dropped = drop_from_context(core, u64(ctz(left)), table, what) or dropped
        left = left & (left - 1)
    return dropped


@native
def drop_from_context(core: Core, index: u64, table: int, what: u64) -> bool:
    """The same in one context."""
    dropped = False
    here = core.contexts[index]
    filled = here.filled
    if filled <= LOG:
        for i in typed_range(filled):
            place = u64(here.entered[i])
            if table <= place < table + TLB_SIZE:
                entry = core.tables[index * CONTEXT_SIZE + place]
                dropped = drop_entry(entry, table, what) or dropped
    else:
        for i in typed_range(u64(TLB_SIZE)):
            entry = core.tables[index * CONTEXT_SIZE + table + i]
            dropped = drop_entry(entry, table, what) or dropped
    return dropped


@native(inline=True)
def drop_entry(entry: TlbEntry, table: int, what: u64) -> bool:
    """Drop an entry if it stands for a page of RAM (writes), or a decoded page (execution)."""
    stands_for = (entry.tag + entry.offset) >> 12 if table == WRITES else entry.offset
    if entry.tag == INVALID or stands_for != what:
        return False
    entry.tag = INVALID
    return True


@native(cold=True)
def forget_everything(shared: Shared) -> u64:
    """All decoded pages are in use: drop them all. The epoch after which the first may be used."""
    for i in typed_range(shared.decoded_used):
        page = u64(shared.owners[i])
        if u64(shared.pages[page]) == i + 1:
            shared.pages[page] = NO_PAGE
            return_page(shared, i)
    fence()
    for h in typed_range(shared.harts):
        core = core_at(shared, h)
        for index in typed_range(u64(CONTEXTS)):
            if core.contexts[index].filled != 0:
                for i in typed_range(u64(TLB_SIZE)):
                    core.tables[index * CONTEXT_SIZE + EXECUTES + i].tag = INVALID
    return advance_epoch(shared)


@native(cold=True)
def release_idle_page(shared: Shared, running: u64) -> None:
    """Between slices: free the idle page, unless a hart runs in it just now."""
    acquire(shared)
    if shared.idle_page != 0:
        decoded = shared.idle_page - 1
        shared.idle_page = 0
        page = u64(shared.owners[decoded])
        if shared.releases[page] < 15:
            shared.releases[page] += 1
        if decoded != running and u64(shared.pages[page]) == decoded + 1:
            unlink_page(shared, decoded, page)
    release(shared)


@native
def unlink_page(shared: Shared, decoded: u64, page: u64) -> None:
    """A page stops being a code page."""
    drop_regions(shared, decoded)
    shared.pages[page] = NO_PAGE
    fence()
    for h in typed_range(shared.harts):
        drop_entries(core_at(shared, h), EXECUTES, first_slot(decoded))
    return_page(shared, decoded)
