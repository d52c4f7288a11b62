"""Which registers' values a stitched block has at hand, beside in the hart.

Two results stay in host registers. The stitcher follows which, and chooses each instruction's
stencil by it; where a block may be entered there are none.
"""

from __future__ import annotations

from ringzero.engine.native.code.decoded_pages import SINK
from ringzero.engine.native.stitcher import holes
from ringzero.engine.native.stitcher.state import Stitcher
from ringzero.lang import native, u64

NO_REGISTER = 255


@native(inline=True)
def forget_values(s: Stitcher) -> None:
    """A block may be entered here: no register's value is at hand."""
    s.first = u64(NO_REGISTER)
    s.second = u64(NO_REGISTER)
    s.window = u64(NO_REGISTER)


@native(inline=True)
def at_hand(s: Stitcher, register: u64) -> u64:
    """Where a register's value is: 1 first, 2 second, 0 only in the hart."""
    if register == s.first:
        return u64(1)
    return u64(2) if register == s.second else u64(0)


@native(inline=True)
def make_room(s: Stitcher, rd: u64) -> u64:
    """Where a result is left: TO_SECOND, or 0 for the first place. The older value goes."""
    kept = rd if rd != SINK else u64(NO_REGISTER)
    second = rd == s.second or (rd != s.first and s.newer == 0)
    s.newer = u64(second)
    if second:
        s.second = kept
        return u64(holes.TO_SECOND)
    s.first = kept
    return u64(0)
