"""Copy and patch: warm code of a page becomes machine code made of stencils, natively.

From a slot on, decoded instructions are followed through branches and calls inside the page; what
is not decoded, another page, and what has no stencil are ways out. A stitched block is a handler:
it stands in the slot of its first instruction. Registers stay in the hart; the budget is counted
down where a block ends, and looked at where the interpreter looks at it.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import (
    SLOT_BYTES,
    decoded_page,
    page_number,
    slot_index,
    slot_offset,
    slots_of,
)
from ringzero.engine.native.code.blocks import COUNTED, LEADER, is_stencil, number_at
from ringzero.engine.native.code.decode import decode_slot
from ringzero.engine.native.code.decoded_pages import (
    COUNT,
    DECODE,
    FAR,
    SINK,
    WARM,
)
from ringzero.engine.native.code.leaders import (
    has_target,
    is_jump,
    kind_at,
    mark_leader,
    mark_of,
    set_mark,
)
from ringzero.engine.native.state import PAGE_SLOTS, Core, Shared, Slot
from ringzero.engine.native.stitcher import holes
from ringzero.engine.native.stitcher.arenas import crowded, lives_here, room
from ringzero.engine.native.stitcher.code import (
    DONE,
    HANDLER,
    IMM,
    PC,
    RD,
    RD_INDEX,
    RS1,
    RS1_INDEX,
    RS2,
    RS2_INDEX,
    RS3,
    RS3_INDEX,
    SIZE,
    SLOT,
    TO_INTERPRETER,
    begin_code,
    count_down,
    extended,
    jump_to,
    leave,
    place,
)
from ringzero.engine.native.stitcher.operands import at_hand, forget_values, make_room
from ringzero.engine.native.stitcher.runs import close_window, through_window
from ringzero.engine.native.stitcher.state import (
    ACCESSES,
    BRANCH,
    ENTRIES,
    GIVES_RD,
    INTERPRETED,
    KIND,
    PLAIN,
    READS_RS1,
    READS_RS2,
    Stitcher,
)
from ringzero.engine.native.threads.epochs import acquire, release
from ringzero.lang import (
    advance,
    fence,
    native,
    poke,
    ptr,
    typed_range,
    u8,
    u16,
    u32,
    u64,
)

# ---- traces


@native
def stitch(core: Core, array: u64, head: u64) -> bool:
    """Make code of what can be reached from a slot, and put it in place; False without room."""
    shared = core.shared[0]
    s = shared.stitcher[0]
    if s.base == 0:
        begin_code(s)
    if not room(shared):
        return False
    s.pending_count = 0
    s.begun_count = 0
    s.fix_count = 0
    expect(core, array, head)
    while s.pending_count != 0:
        s.pending_count -= 1
        slot = u64(s.pending[s.pending_count])
        if s.labels[slot] == 0 and not crowded(s):
            blocks(core, array, slot)
    resolve(shared, array)
    fence()  # whoever finds a block finds its code
    for i in typed_range(s.begun_count):
        slot = u64(s.begun[i])
        slots_of(shared, array)[slot].handler = s.run + u64(s.labels[slot]) - 1
        s.labels[slot] = 0
    if s.begun_count != 0:
        s.traces += 1
        lives_here(shared, array)
    return True


@native
def expect(core: Core, array: u64, slot: u64) -> None:
    """A block begins at a slot, if its instruction is decoded and nothing stands there yet."""
    s = core.shared[0].stitcher[0]
    if slot >= PAGE_SLOTS or s.pending_count == ENTRIES or s.labels[slot] != 0:
        return
    if stitchable(core, array, slot):
        s.pending[s.pending_count] = u16(slot)
        s.pending_count += 1


@native
def stitchable(core: Core, array: u64, slot: u64) -> bool:
    """Whether an instruction is decoded, is not a region's, not stitched, and has a stencil."""
    shared = core.shared[0]
    one = advance(slots_of(shared, array), slot)
    if one[0].handler == shared.handlers[DECODE]:
        if shared.stitcher[0].ahead == 0 or shared.parallel != 0:
            return False
        decode_slot(core, one)
    if is_stencil(shared, one[0].handler):
        return False
    return (
        decoded_page(shared, array).originals[slot] == 0
        and kind_at(shared, array, slot) != INTERPRETED
    )


@native
def begin(s: Stitcher, slot: u64) -> None:
    """A block begins here."""
    s.labels[slot] = u32(s.used + 1)
    s.begun[s.begun_count] = u16(slot)
    s.begun_count += 1


@native
def blocks(core: Core, array: u64, head: u64) -> None:
    """One block after the other, until control goes elsewhere."""
    shared = core.shared[0]
    s = shared.stitcher[0]
    begin(s, head)
    slot, done = head, u64(0)
    forget_values(s)
    while True:
        if slot != head:
            if slot < PAGE_SLOTS and s.labels[slot] != 0:
                count_down(s, done)
                jump_to(s, slot)
                return
            if crowded(s):
                leave(s, slot, done)
                mark_leader(shared, array, slot)
                return
            if slot >= PAGE_SLOTS or not stitchable(core, array, slot):
                leave(s, slot, done)
                go_on(core, array, slot)
                return
            if mark_of(shared, array, slot) & LEADER != 0:
                count_down(s, done)
                begin(s, slot)
                done = u64(0)
                forget_values(s)
        kind = kind_at(shared, array, slot)
        done += 1
        s.instructions += 1
        operation(shared, array, slot, kind, done)
        size = s.values[SIZE] >> 1
        control = kind & KIND
        if control != PLAIN:
            done = u64(0)
            if has_target(control):
                expect(core, array, slot + (s.values[IMM] >> 1))
            if control != BRANCH:
                if s.values[RD_INDEX] != SINK:
                    expect(core, array, slot + size)
                return
        slot += size


@native
def go_on(core: Core, array: u64, slot: u64) -> None:
    """A way out: what is behind it is to be stitched when it has become warm too."""
    shared = core.shared[0]
    if slot >= PAGE_SLOTS or decoded_page(shared, array).originals[slot] != 0:
        return
    handler = slots_of(shared, array)[slot].handler
    if is_stencil(shared, handler):
        return
    if handler != shared.handlers[DECODE] and number_at(shared, array, slot) < COUNT:
        size = 2 - (number_at(shared, array, slot) & 1)
        expect(core, array, slot + size)  # behind what the interpreter does
    else:
        mark_leader(shared, array, slot)


@native
def operation(shared: Shared, array: u64, slot: u64, kind: u8, done: u64) -> None:
    """Place the stencil of one instruction."""
    s = shared.stitcher[0]
    decoded = slots_of(shared, array)[slot]
    number = number_at(shared, array, slot)
    variant = u64(0)
    if number >= FAR:
        number -= FAR
        variant = u64(holes.FAR_TARGET)
    control = kind & KIND
    if kind & READS_RS1 != 0:
        variant |= at_hand(s, u64(decoded.rs1)) * holes.FIRST_RS1
    if kind & READS_RS2 != 0:
        variant |= at_hand(s, u64(decoded.rs2)) * holes.FIRST_RS2
    if kind & ACCESSES != 0:
        variant |= through_window(shared, array, slot, kind)
    if kind & GIVES_RD != 0:
        close_window(s, u64(decoded.rd))
        variant |= make_room(s, u64(decoded.rd))
    if is_jump(control) and decoded.rd == SINK:
        variant |= holes.NO_RD
    s.values[RD_INDEX] = u64(decoded.rd)
    s.values[RS1_INDEX] = u64(decoded.rs1)
    s.values[RS2_INDEX] = u64(decoded.rs2)
    s.values[RS3_INDEX] = u64(decoded.rs3)
    s.values[RD] = u64(decoded.rd) * 8
    s.values[RS1] = u64(decoded.rs1) * 8
    s.values[RS2] = u64(decoded.rs2) * 8
    s.values[RS3] = u64(decoded.rs3) * 8
    s.values[IMM] = extended(decoded.imm)
    s.values[PC] = slot * 2
    s.values[SIZE] = 4 - 2 * (number & 1)
    s.values[DONE] = done
    s.slot = slot
    s.done = done - 1 if control == PLAIN else u64(0) - 1  # a branch has counted already
    place(s, u64(s.ids[(number >> 1) * holes.VARIANTS + variant]) - 1)


@native
def resolve(shared: Shared, array: u64) -> None:
    """Let all jumps go to their blocks, or to ways out laid down behind the trace."""
    s = shared.stitcher[0]
    slots = slots_of(shared, array)
    for i in typed_range(s.fix_count):
        one = s.fixes[i]
        slot = u64(one.slot)
        target = s.used
        if one.leaves != 0:
            s.values[SLOT] = slot * SLOT_BYTES
            s.values[DONE] = extended(one.done)
            s.values[HANDLER] = number_at(shared, array, slot) * 8
            place(s, TO_INTERPRETER)
        elif s.labels[slot] != 0:
            target = u64(s.labels[slot]) - 1
        elif is_stencil(shared, slots[slot].handler):
            target = slots[slot].handler - s.run
        else:
            leave(s, slot, u64(0))
            mark_leader(shared, array, slot)
        poke(u32, s.write, u64(one.at), u32(target) + one.addend - one.at)


# ---- counting


@native(cold=True)
def warm(core: Core, slot: ptr[Slot]) -> u64:
    """A block's first slot is executed once more: the handler to execute it with."""
    shared = core.shared[0]
    acquire(shared)
    if slot[0].handler == shared.handlers[WARM]:  # no other hart has changed it meanwhile
        handler = count(core, slot)
    else:
        handler = slot[0].handler
    release(shared)
    return handler


@native
def count(core: Core, slot: ptr[Slot]) -> u64:
    """Count an execution; the last one stitches."""
    shared = core.shared[0]
    offset = slot_offset(shared, slot)
    array, index = page_number(offset), slot_index(offset)
    plain = shared.handlers[number_at(shared, array, index)]
    mark = mark_of(shared, array, index)
    if u64(mark & COUNTED) + 1 < shared.stitcher[0].threshold:
        set_mark(shared, array, index, mark + 1)
        return plain
    set_mark(shared, array, index, mark & LEADER)
    slot[0].handler = plain
    if not stitch(core, array, index):
        slot[0].handler = shared.handlers[WARM]  # to be counted again
        return plain
    return slot[0].handler
