"""Where blocks begin, and which of them are warm: the marks of a decoded page.

Decoding marks what a branch, a call or a return leads to, and what was reached by no known way. A
marked slot counts its executions by the handler WARM, until the compiler makes code of it. Nothing
is counted elsewhere.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import (
    decoded_page,
    page_number,
    slot_index,
    slot_offset,
)
from ringzero.engine.native.code.blocks import LEADER, number_at
from ringzero.engine.native.code.decode import decode_slot
from ringzero.engine.native.code.decoded_pages import SINK
from ringzero.engine.native.code.handler_numbers import COUNT, FAR, Special
from ringzero.engine.native.compiler.codes import BRANCH, CALL, INDIRECT, INTERPRETED, KIND
from ringzero.engine.native.state import (
    PAGE_SLOTS,
    Core,
    Shared,
    Slot,
)
from ringzero.engine.native.threads.epochs import acquire, release
from ringzero.lang import native, ptr, u8, u64


@native(inline=True)
def mark_of(shared: Shared, decoded: u64, slot: u64) -> u8:
    """Whether a slot is a leader, and how often it was executed as one."""
    return decoded_page(shared, decoded).marks[slot]


@native
def set_mark(shared: Shared, decoded: u64, slot: u64, mark: u8) -> None:
    """Write a slot's mark: LEADER, and its count of executions."""
    decoded_page(shared, decoded).marks[slot] = mark


@native
def kind_at(shared: Shared, decoded: u64, slot: u64) -> u8:
    """What a decoded instruction is to the compiler."""
    number = number_at(shared, decoded, slot)
    if number >= FAR:
        number -= FAR
    if number >= COUNT:
        return u8(INTERPRETED)
    return shared.compiler[0].kinds[number >> 1]


@native(inline=True)
def has_target(kind: u8) -> bool:
    """Whether an instruction may continue at pc + imm."""
    return BRANCH <= kind <= CALL


@native(inline=True)
def is_jump(kind: u8) -> bool:
    """Whether control always goes elsewhere, and may come back."""
    return CALL <= kind <= INDIRECT


@native
def mark_leader(shared: Shared, decoded: u64, slot: u64) -> None:
    """A block begins at a slot; if it is the interpreter's, count its executions."""
    if slot >= PAGE_SLOTS:
        return
    set_mark(shared, decoded, slot, mark_of(shared, decoded, slot) | LEADER)
    page = decoded_page(shared, decoded)
    one = page.slots[slot]
    if one.handler == shared.handlers[page.numbers[slot]]:
        if page.originals[slot] == 0 and kind_at(shared, decoded, slot) != INTERPRETED:
            one.handler = shared.handlers[Special.WARM]


@native(cold=True)
def decode_leader(core: Core, slot: ptr[Slot]) -> None:
    """First execution of a slot in a code page: decode it, and mark what it leads to."""
    decode_slot(core, slot)
    shared = core.shared[0]
    if shared.compiling != 0:
        acquire(shared)
        if (
            slot[0].handler != shared.handlers[Special.DECODE]
        ):  # no other hart has changed it meanwhile
            mark_around(shared, slot)
        release(shared)


@native
def mark_around(shared: Shared, slot: ptr[Slot]) -> None:
    """Mark what a decoded instruction leads to, and itself if it is a leader."""
    offset = slot_offset(shared, slot)
    decoded, index = page_number(offset), slot_index(offset)
    number = number_at(shared, decoded, index)
    if number >= COUNT and number < FAR:
        return
    kind = kind_at(shared, decoded, index) & KIND
    behind = index + 2 - (number & 1)
    if number < FAR and has_target(kind):
        distance = (u64(slot[0].imm) ^ 0x8000_0000) - 0x8000_0000
        mark_leader(shared, decoded, (index + (distance >> 1)) & 0xFFF)
    if kind == INTERPRETED or (is_jump(kind) and slot[0].rd != SINK):
        mark_leader(shared, decoded, behind)
    if mark_of(shared, decoded, index) & LEADER != 0 or arrived(shared, decoded, index):
        mark_leader(shared, decoded, index)


@native
def arrived(shared: Shared, decoded: u64, slot: u64) -> bool:
    """Whether control cannot have come from the slot before."""
    return not (leads_on(shared, decoded, slot, 1) or leads_on(shared, decoded, slot, 2))


@native
def leads_on(shared: Shared, decoded: u64, slot: u64, size: u64) -> bool:
    """Whether a decoded instruction of this many slots before a slot falls through to it."""
    if slot < size:
        return False
    before = slot - size
    if decoded_page(shared, decoded).slots[before].handler == shared.handlers[Special.DECODE]:
        return False
    if 2 - (number_at(shared, decoded, before) & 1) != size:
        return False
    return not is_jump(kind_at(shared, decoded, before) & KIND)
