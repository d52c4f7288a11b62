"""Traces: from a slot that was executed some times, all that can be reached from it on its page.

Decoded instructions are followed through branches, calls and returns inside the page; what is not
decoded, another page, and what only the interpreter does are ways out. A block is entered by the
slot of its first instruction, or from other compiled code with the guest's registers in place.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import (
    decoded_page,
    page_number,
    slot_index,
    slot_offset,
    slots_of,
)
from ringzero.engine.native.code.blocks import COUNTED, LEADER, is_compiled, number_at
from ringzero.engine.native.code.decode import decode_slot
from ringzero.engine.native.code.decoded_pages import SINK
from ringzero.engine.native.code.handler_numbers import COUNT, FAR, Special
from ringzero.engine.native.code.leaders import kind_at, mark_leader, mark_of, set_mark
from ringzero.engine.native.compiler import codes
from ringzero.engine.native.compiler.arenas import crowded, lives_here, room
from ringzero.engine.native.compiler.control import branch, far, indirect, target_slot
from ringzero.engine.native.compiler.exits import (
    begin_code,
    count_down,
    entry,
    fix,
    known_block,
    leave,
    resolve,
    signed_event,
)
from ringzero.engine.native.compiler.generations import generation_begins
from ringzero.engine.native.compiler.groups import (
    end_group,
    is_access,
    look_ahead,
    written,
)
from ringzero.engine.native.compiler.operations import operation
from ringzero.engine.native.compiler.pieces import emit_piece
from ringzero.engine.native.compiler.state import ENTRIES, TO_BLOCK, TO_INTERPRETER, Compiler
from ringzero.engine.native.compiler.x86_64 import (
    CMP,
    OR,
    arithmetic_core,
    jump_32,
    jump_if,
    jump_to,
)
from ringzero.engine.native.state import PAGE_SLOTS, Core, Shared, Slot
from ringzero.engine.native.threads.epochs import acquire, release
from ringzero.isa.floating import DYNAMIC
from ringzero.isa.privileged.trap import STATUS_FS
from ringzero.lang import advance, fence, native, ptr, typed_range, u16, u32, u64
from ringzero.lang.host import view

FLOATS = view(Core).floats.offset
MSTATUS = view(Core.fields["hart"]).mstatus.offset


@native
def compile_trace(core: Core, decoded: u64, head: u64) -> bool:
    """Make code of what can be reached from a slot, and put it in place; False without room."""
    shared = core.shared[0]
    s = shared.compiler[0]
    if s.base == 0 or s.retired != 0:
        if not generation_begins(shared):
            return False
        begin_code(s)
    if not room(shared):
        return False
    s.decoded = decoded
    s.pending_count = 0
    s.begun_count = 0
    s.fix_count = 0
    expect(core, decoded, head)
    while s.pending_count != 0:
        s.pending_count -= 1
        slot = u64(s.pending[s.pending_count])
        if s.labels[slot] == 0 and not crowded(s):
            blocks(core, decoded, slot)
    resolve(shared, decoded)
    install(shared, decoded)
    return True


@native
def install(shared: Shared, decoded: u64) -> None:
    """Lay down the entries of a trace's blocks, and let them stand in their slots."""
    s = shared.compiler[0]
    for i in typed_range(s.begun_count):
        slot = u64(s.begun[i])
        at = entry(s, slot)
        s.labels[slot] = u32(at + 1)
    fence()  # whoever finds a block finds its code
    for i in typed_range(s.begun_count):
        slot = u64(s.begun[i])
        slots_of(shared, decoded)[slot].handler = s.run + u64(s.labels[slot]) - 1
        s.labels[slot] = 0
    if s.begun_count != 0:
        s.traces += 1
        lives_here(shared, decoded)


@native
def expect(core: Core, decoded: u64, slot: u64) -> None:
    """A block begins at a slot, if its instruction is decoded and nothing stands there yet."""
    shared = core.shared[0]
    s = shared.compiler[0]
    if slot >= PAGE_SLOTS or s.pending_count == ENTRIES or s.labels[slot] != 0:
        return
    if compilable(core, decoded, slot):
        s.pending[s.pending_count] = u16(slot)
        s.pending_count += 1


@native
def compilable(core: Core, decoded: u64, slot: u64) -> bool:
    """Whether an instruction is decoded, no region's, not compiled, and not the interpreter's."""
    shared = core.shared[0]
    one = advance(slots_of(shared, decoded), slot)
    if one[0].handler == shared.handlers[Special.DECODE]:
        if shared.compiler[0].ahead == 0 or shared.parallel != 0:
            return False
        decode_slot(core, one)
    if is_compiled(shared, one[0].handler):
        return False
    return (
        decoded_page(shared, decoded).originals[slot] == 0
        and kind_at(shared, decoded, slot) != codes.INTERPRETED
    )


@native
def begin(s: Compiler, slot: u64) -> None:
    """A block begins here."""
    s.labels[slot] = u32(s.used + 1)
    s.begun[s.begun_count] = u16(slot)
    s.begun_count += 1
    s.done = 0
    s.floats = 0
    s.dirty = 0
    s.recent = 0
    end_group(s)


@native
def blocks(core: Core, decoded: u64, head: u64) -> None:
    """One block after the other, until control goes elsewhere."""
    shared = core.shared[0]
    s = shared.compiler[0]
    begin(s, head)
    slot = head
    while True:
        slot, going = instruction(core, decoded, slot)
        if not going:
            return
        if s.done == 0 and u64(s.labels[slot & 0xFFF]) == s.used + 1:
            continue  # a jump's target, whose block begins just here
        if slot >= PAGE_SLOTS or s.fix_count + 8 > ENTRIES:
            leave(shared, decoded, slot, s.done)
            return
        known = known_block(shared, decoded, slot)
        if known != 0:
            if s.done != 0:
                count_down(s, s.done)
            jump_to(s, known - 1)
            return
        if crowded(s):
            leave(shared, decoded, slot, s.done)
            mark_leader(shared, decoded, slot)
            return
        if not compilable(core, decoded, slot):
            leave(shared, decoded, slot, s.done)
            go_on(core, decoded, slot)
            return
        if mark_of(shared, decoded, slot) & LEADER != 0:
            if s.done != 0:
                count_down(s, s.done)
            begin(s, slot)


@native
def instruction(core: Core, decoded: u64, slot: u64) -> tuple[u64, bool]:
    """Compile one instruction; the slot behind it, and whether control may go on there."""
    shared = core.shared[0]
    s = shared.compiler[0]
    index = read_operands(shared, decoded, slot)
    s.instructions += 1
    recipe = s.recipes[index]
    flags = u64(recipe.flags)
    if flags & codes.FLOATS != 0:
        look_at_floats(s)
    if flags & codes.PIECE != 0:
        number = u64(recipe.piece) - 1
        if s.imm == DYNAMIC:
            number = u64(recipe.first)
        emit_piece(s, number, flags)
    else:
        first = u64(recipe.first)
        if is_access(u64(s.operations[first].code)):
            look_ahead(shared, decoded, s.operations[first])
        for i in typed_range(first, first + u64(recipe.count)):
            operation(s, s.operations[i])
    if flags & codes.DIRTIES != 0 and s.dirty == 0:
        arithmetic_core(s, u64(OR), u64(MSTATUS), u64(STATUS_FS))
        s.dirty = 1
    if flags & codes.GIVES_RD != 0:
        written(s, s.rd)
    behind = slot + (s.bytes >> 1)
    kind = u64(s.kinds[index]) & codes.KIND
    if kind == codes.PLAIN:
        s.done += 1
        return behind, True
    return control(core, decoded, kind, u64(s.operations[recipe.first].how), behind)


@native
def control(core: Core, decoded: u64, kind: u64, condition: u64, behind: u64) -> tuple[u64, bool]:
    """Behind a comparison, or with the link written: where control goes."""
    shared = core.shared[0]
    s = shared.compiler[0]
    target = target_slot(s)
    if kind == codes.BRANCH:
        expect(core, decoded, target)
        branch(s, condition)
        s.done += 1
        return behind, True
    if s.rd != SINK:
        expect(core, decoded, behind)
    if kind == codes.INDIRECT:
        indirect(s)
        return behind, False
    count_down(s, s.done + 1)
    if target >= PAGE_SLOTS:
        far(s)
        return behind, False
    signed_event(s, target)
    s.done = 0
    if known_block(shared, decoded, target) == 0 and compilable(core, decoded, target):
        if not crowded(s):
            begin(s, target)
            return target, True
    fix(s, jump_32(s), target, u64(0), TO_BLOCK)
    return behind, False


@native
def read_operands(shared: Shared, decoded: u64, slot: u64) -> u64:
    """Take over the operands of a decoded instruction; its index."""
    s = shared.compiler[0]
    one = slots_of(shared, decoded)[slot]
    number = number_at(shared, decoded, slot)
    if number >= FAR:
        number -= FAR
    s.rd = u64(one.rd)
    s.rs1 = u64(one.rs1)
    s.rs2 = u64(one.rs2)
    s.rs3 = u64(one.rs3)
    s.imm = (u64(one.imm) ^ 0x8000_0000) - 0x8000_0000
    s.bytes = 4 - 2 * (number & 1)
    s.slot = slot
    return number >> 1


@native
def look_at_floats(s: Compiler) -> None:
    """Once a block: where mstatus.FS is Off, the interpreter traps."""
    if s.floats == 0:
        arithmetic_core(s, u64(CMP), u64(FLOATS), u64(0))
        fix(s, jump_if(s, u64(4)), s.slot, s.done, TO_INTERPRETER)
        s.floats = 1


@native
def go_on(core: Core, decoded: u64, slot: u64) -> None:
    """A way out: what is behind it is to be compiled when it is warm too."""
    shared = core.shared[0]
    if decoded_page(shared, decoded).originals[slot] != 0:
        return
    handler = slots_of(shared, decoded)[slot].handler
    if handler != shared.handlers[Special.DECODE] and number_at(shared, decoded, slot) < COUNT:
        size = 2 - (number_at(shared, decoded, slot) & 1)
        expect(core, decoded, slot + size)  # behind what the interpreter does
    else:
        mark_leader(shared, decoded, slot)


# ---- counting


@native(cold=True)
def warm(core: Core, slot: ptr[Slot]) -> u64:
    """A block's first slot is executed once more: the handler to execute it with."""
    shared = core.shared[0]
    acquire(shared)
    if slot[0].handler == shared.handlers[Special.WARM]:  # no other hart has changed it meanwhile
        handler = count(core, slot)
    else:
        handler = slot[0].handler
    release(shared)
    return handler


@native
def count(core: Core, slot: ptr[Slot]) -> u64:
    """Count an execution; the last one compiles."""
    shared = core.shared[0]
    offset = slot_offset(shared, slot)
    decoded, index = page_number(offset), slot_index(offset)
    plain = shared.handlers[number_at(shared, decoded, index)]
    mark = mark_of(shared, decoded, index)
    if u64(mark & COUNTED) + 1 < shared.compiler[0].threshold:
        set_mark(shared, decoded, index, mark + 1)
        return plain
    set_mark(shared, decoded, index, mark & LEADER)
    slot[0].handler = plain
    if not compile_trace(core, decoded, index):
        slot[0].handler = shared.handlers[Special.WARM]  # to be counted again
        return plain
    return slot[0].handler
