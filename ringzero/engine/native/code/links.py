"""Links: what a region expects of the other pages that it runs through.

A region goes to another page only where the execute table leads to the decoded page that its link
is bound to. A link is bound where the page holds the words that were compiled; a store to them, or
the end of the decoded page, unbinds it (`decoded_pages.drop_regions`).
"""

from __future__ import annotations

from ringzero.engine.native.code.address import (
    decoded_page,
    first_slot,
    page_number,
    slots_of,
)
from ringzero.engine.native.code.decode import decode_slot
from ringzero.engine.native.code.decoded_pages import (
    INVALID,
    add_link,
    link_number,
    read_shared,
    remove_link,
)
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.state import EXECUTES, Core, Link, Shared
from ringzero.engine.native.threads.epochs import acquire, release
from ringzero.engine.native.translation.tlb import entry_for
from ringzero.lang import advance, native, peek, typed_range, u16, u64

PATIENCE = 1 << 20  # looks at pages that were something else, after which a link is given up


@native(cold=True)
def bind_link(core: Core) -> None:
    """Bind the link that a region found wanting, if the page is what it expects."""
    shared = core.shared[0]
    link = core.link[0]
    entry = entry_for(core, EXECUTES, core.link_page)
    if entry.tag != core.link_page or link.refused >= PATIENCE:
        return
    decoded = page_number(entry.offset)
    if not holds_words(shared, link, decoded):
        link.refused += 1
        return
    changes = read_shared(decoded_page(shared, decoded), "changes")
    decode_words(core, link, decoded)
    if holds_words(shared, link, decoded):  # from here on a store to them is a change
        bind(core, decoded, changes)


@native
def bind(core: Core, decoded: u64, changes: u64) -> None:
    """Bind Core.link to a decoded page, if its code has not changed since `changes` was read."""
    shared = core.shared[0]
    link = core.link[0]
    acquire(shared)
    fresh = u64(shared.pages[shared.owners[decoded]]) == decoded + 1
    same = read_shared(decoded_page(shared, decoded), "changes") == changes
    if fresh and same and link.bound != first_slot(decoded):
        if link.bound != INVALID:
            link.refused += 64  # two pages alike: it is bound to and fro
            remove_link(shared, page_number(link.bound), link_number(core))
        link.bound = first_slot(decoded)
        add_link(shared, decoded, link_number(core))
    release(shared)


@native
def holds_words(shared: Shared, link: Link, decoded: u64) -> bool:
    """Whether the page that was decoded holds what was compiled."""
    page = u64(shared.owners[decoded]) << 12
    words = advance(shared.words, link.first)
    for i in typed_range(link.count):
        word = u64(words[i])
        if u64(peek(u16, shared.memory, page + (word & 0xFFE))) != word >> 16:
            return False
    return True


@native
def decode_words(core: Core, link: Link, decoded: u64) -> None:
    """From now on a store to these instructions counts as one to code."""
    shared = core.shared[0]
    slots = slots_of(shared, decoded)
    words = advance(shared.words, link.first)
    for i in typed_range(link.count):
        word = u64(words[i])
        slot = (word & 0xFFE) >> 1
        if word & 1 != 0 and slots[slot].handler == shared.handlers[Special.DECODE]:
            decode_slot(core, advance(slots, slot))
