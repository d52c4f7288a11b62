"""Code memory in arenas, used in turn: where the next one begins, its old blocks leave first.

A page's blocks jump to each other wherever they lie, so a page with blocks in an arena loses them
all; what of it is hot is compiled again at its next execution. Harts go on meanwhile: an arena is
written to when all of them have passed the end of a slice since.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import decoded_page
from ringzero.engine.native.code.blocks import drop_blocks
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.compiler.state import Compiler
from ringzero.engine.native.state import Shared
from ringzero.engine.native.threads.epochs import (
    ALL,
    DECODED_PAGE,
    advance_epoch,
    grace_period_over,
)
from ringzero.lang import native, typed_range, u64

TRACE_ROOM = 32 << 10  # for which it is worth to begin a trace
EXIT_ROOM = 64  # bytes of a way out, behind the trace
ENTRY_ROOM = 32  # of an entry
MARGIN = 2048  # one more instruction, and leaving there


@native
def room(shared: Shared) -> bool:
    """Whether there is room for a trace now: what harts may still be in is not used yet."""
    s = shared.compiler[0]
    if s.used + TRACE_ROOM <= s.end:
        return True
    following = (s.arena + 1) % s.arenas
    if s.emptied == 0:
        empty(shared, following)
        s.emptied = advance_epoch(shared)
    if not grace_period_over(shared, u64(ALL), s.emptied, DECODED_PAGE):
        return False
    s.emptied = 0
    s.begun_arenas += 1
    s.arena = following
    s.used = s.base + following * s.share
    s.end = s.used + s.share
    return True


@native(cold=True)
def empty(shared: Shared, arena: u64) -> None:
    """Take the blocks of an arena out of their slots."""
    for decoded in typed_range(shared.decoded_used):
        if (decoded_page(shared, decoded).compiled >> arena) & 1 != 0:
            drop_blocks(shared, decoded, Special.WARM, True)


@native
def lives_here(shared: Shared, decoded: u64) -> None:
    """A page has blocks in the present arena."""
    page = decoded_page(shared, decoded)
    page.compiled = page.compiled | (u64(1) << shared.compiler[0].arena)


@native(inline=True)
def crowded(s: Compiler) -> bool:
    """Whether a trace has to end, with its ways out before the arena's end."""
    behind = s.fix_count * EXIT_ROOM + s.begun_count * ENTRY_ROOM
    return s.used + behind + MARGIN > s.end
