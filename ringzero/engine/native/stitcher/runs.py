"""Which loads and stores of a block share a look at the tables (`stencil_windows`).

An access outside the window looks ahead: where others follow beside it, it opens one for all of
them. That is a guess; what is relied on is only where the window's register is written, and what
the window was opened for.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import slots_of
from ringzero.engine.native.code.blocks import LEADER, number_at
from ringzero.engine.native.code.decoded_pages import DECODE
from ringzero.engine.native.code.leaders import is_jump, kind_at, mark_of
from ringzero.engine.native.state import PAGE_SLOTS, Shared
from ringzero.engine.native.stitcher import holes
from ringzero.engine.native.stitcher.operands import NO_REGISTER
from ringzero.engine.native.stitcher.state import (
    ACCESSES,
    GIVES_RD,
    INTERPRETED,
    KIND,
    STORES,
    Stitcher,
)
from ringzero.lang import native, typed_range, u8, u64

AHEAD = 24  # instructions that are looked at
WIDEST = 256  # bytes: what is wider lies in two pages too often
BYTES = 8  # of an access at most
LOW, ROOM = (holes.SYMBOLS.index(name) for name in ("low", "room"))


@native
def through_window(shared: Shared, array: u64, slot: u64, kind: u8) -> u64:
    """How an access finds its page: INSIDE, OPENS with `low` and `room` set, or 0."""
    s = shared.stitcher[0]
    one = slots_of(shared, array)[slot]
    at = biased(u64(one.imm))
    if u64(one.rs1) == s.window and s.window_low <= at and at + BYTES <= s.window_end:
        if kind & STORES == 0 or s.window_stores != 0:
            return u64(holes.INSIDE)
    return open_window(shared, array, slot, kind)


@native(inline=True)
def biased(imm: u64) -> u64:
    """A signed 12-bit offset as a number from 0."""
    return (imm + 2048) & 0xFFF


@native
def open_window(shared: Shared, array: u64, slot: u64, kind: u8) -> u64:
    """Open a window where it is worth it, and does not close one that is."""
    s = shared.stitcher[0]
    slots = slots_of(shared, array)
    base = u64(slots[slot].rs1)
    low = biased(u64(slots[slot].imm))
    end = low + BYTES
    mine, others, at, here = u64(0), u64(0), slot, kind
    for _ in typed_range(u64(AHEAD)):
        if here & GIVES_RD != 0 and u64(slots[at].rd) == base:
            break
        at += 2 - (number_at(shared, array, at) & 1)
        if not goes_on(shared, array, at):
            break
        here = kind_at(shared, array, at)
        if here & ACCESSES != 0:
            if u64(slots[at].rs1) == s.window:
                others += 1
            if u64(slots[at].rs1) == base and (here & STORES == 0 or kind & STORES != 0):
                imm = biased(u64(slots[at].imm))
                first = imm if imm < low else low
                last = imm + BYTES if imm + BYTES > end else end
                if last - first <= WIDEST:
                    low, end = first, last
                    mine += 1
        elif is_jump(here & KIND):
            break
    if mine == 0 or (s.window != base and others > mine):
        return u64(0)
    s.windows += 1
    s.window = base
    s.window_low = low
    s.window_end = end
    s.window_stores = u64(kind & STORES != 0)
    s.values[LOW] = low - 2048
    s.values[ROOM] = 4096 - (end - low)
    return u64(holes.OPENS)


@native
def goes_on(shared: Shared, array: u64, slot: u64) -> bool:
    """Whether a block likely goes on with a slot."""
    if slot >= PAGE_SLOTS or shared.stitcher[0].labels[slot] != 0:
        return False
    if mark_of(shared, array, slot) & LEADER != 0:
        return False
    if slots_of(shared, array)[slot].handler == shared.handlers[DECODE]:
        return False
    return kind_at(shared, array, slot) != INTERPRETED


@native(inline=True)
def close_window(s: Stitcher, rd: u64) -> None:
    """A register is written: what was known around it holds no more."""
    if s.window == rd:
        s.window = u64(NO_REGISTER)
