"""Groups: accesses around one register that follow each other, and share one look at the TLB.

At the first of them the trace is read ahead, as far as the register keeps its value and nothing
else uses the place where the page's distance is kept. An access belongs to the group if it is
aligned whenever the widest one is.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import decoded_page, slots_of
from ringzero.engine.native.code.blocks import LEADER, is_compiled, number_at
from ringzero.engine.native.code.handler_numbers import FAR, Special
from ringzero.engine.native.code.leaders import kind_at, mark_of
from ringzero.engine.native.compiler import codes
from ringzero.engine.native.compiler.state import Compiler, Group, Operation
from ringzero.engine.native.state import PAGE_SLOTS, Shared
from ringzero.lang import native, typed_range, u64

FURTHEST = 48  # instructions that are read ahead
SPAN = 2048  # bytes between the accesses of a group, at most


@native
def end_group(s: Compiler) -> None:
    """No page's distance is known."""
    s.group.base = 0
    s.next_group.base = 0


@native
def written(s: Compiler, register: u64) -> None:
    """A register gets a new value."""
    if s.group.base == register:
        s.group.base = 0


@native
def in_group(s: Compiler, offset: u64, size: u64, stores: bool) -> bool:
    """Whether the access that is compiled is one of the present group."""
    group = s.group
    if group.base == 0 or s.rs1 != group.base or size > group.align:
        return False
    if stores and group.stores == 0:
        return False
    if (offset - group.anchor) & (size - 1) != 0:
        return False
    return offset - group.low <= group.high - group.low


@native
def open_group(s: Compiler) -> None:
    """The group ahead is the present one: its page has just been looked up."""
    group, ahead = s.group, s.next_group
    group.base = ahead.base
    group.low = ahead.low
    group.high = ahead.high
    group.align = ahead.align
    group.anchor = ahead.anchor
    group.stores = ahead.stores
    ahead.base = 0


@native
def look_ahead(shared: Shared, decoded: u64, one: Operation) -> None:
    """Before an access: if no group holds it, look whether it begins one."""
    s = shared.compiler[0]
    s.next_group.base = 0
    if one.a != codes.RS1 or one.b != codes.IMM:
        return
    if not in_group(s, s.imm, u64(one.how) & 15, one.code == codes.STORE):
        find_group(shared, decoded)


@native
def find_group(shared: Shared, decoded: u64) -> None:
    """Does an access begin a group? It does where at least two follow each other."""
    s = shared.compiler[0]
    group = s.next_group
    base = s.rs1
    if base == 0:
        return
    group.members = 0
    slot = s.slot
    for _ in typed_range(u64(FURTHEST)):
        number = instruction_at(shared, decoded, slot, slot != s.slot)
        if number == NOTHING:
            break
        recipe = s.recipes[number >> 1]
        one = slots_of(shared, decoded)[slot]
        if u64(recipe.flags) & codes.PIECE != 0:
            break
        if u64(one.rs1) == base and recipe.count != 0:
            first = s.operations[recipe.first]
            if is_access(u64(first.code)) and first.a == codes.RS1 and first.b == codes.IMM:
                offset = (u64(one.imm) ^ 0x8000_0000) - 0x8000_0000
                stores = first.code == codes.STORE
                join(group, offset, u64(first.how) & 15, stores)
        if u64(recipe.flags) & codes.GIVES_RD != 0 and u64(one.rd) == base:
            break
        slot += 2 - (number & 1)
    if group.members > 1:
        group.base = base
        group.end = group.high - ((group.high - group.anchor) & (group.align - 1))


NOTHING = 0xFFFF_FFFF


@native
def instruction_at(shared: Shared, decoded: u64, slot: u64, inside: bool) -> u64:
    """The number of the instruction that follows in a block; NOTHING at the block's end."""
    if slot >= PAGE_SLOTS:
        return u64(NOTHING)
    handler = slots_of(shared, decoded)[slot].handler
    if handler == shared.handlers[Special.DECODE] or is_compiled(shared, handler):
        return u64(NOTHING)
    if decoded_page(shared, decoded).originals[slot] != 0:
        return u64(NOTHING)
    if inside and mark_of(shared, decoded, slot) & LEADER != 0:
        return u64(NOTHING)
    kind = u64(kind_at(shared, decoded, slot))
    if kind != codes.PLAIN and kind != codes.BRANCH:
        return u64(NOTHING)
    number = number_at(shared, decoded, slot)
    return number - FAR if number >= FAR else number


@native(inline=True)
def is_access(code: u64) -> bool:
    """Whether an operation reaches memory."""
    return code == codes.LOAD or code == codes.STORE


@native
def join(group: Group, offset: u64, size: u64, stores: bool) -> None:
    """An access joins a group, if it fits."""
    if group.members == 0:
        group.low = offset
        group.high = offset
        group.align = size
        group.anchor = offset
        group.stores = u64(stores)
        group.members = 1
        return
    smaller = size if size < group.align else group.align
    low, high = group.low, group.high
    if low - offset < SPAN:
        low = offset
    if offset - high < SPAN:
        high = offset
    if (offset - group.anchor) & (smaller - 1) != 0 or high - low >= SPAN:
        return
    if offset - low > high - low:
        return  # too far away
    if size > group.align:
        group.align = size
        group.anchor = offset
    group.low = low
    group.high = high
    group.stores = group.stores | u64(stores)
    group.members += 1
