"""Ways into compiled code and out of it, and jumps that wait for their targets.

An entry stands in a slot as its handler. It passes the address of its block to `enter`, which loads
the guest's registers; compiled code that finds such an entry jumps past that, with the registers in
place. A way out stores the registers, and goes on at a slot or at a handler.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import slots_of
from ringzero.engine.native.code.blocks import is_compiled, number_at
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.code.leaders import mark_leader
from ringzero.engine.native.compiler import codes
from ringzero.engine.native.compiler.operands import PAGE, X
from ringzero.engine.native.compiler.state import (
    AT_EVENT,
    FROM_PIECE,
    IN_CORE,
    TO_BLOCK,
    USES_SHIFT,
    WAYS,
    Compiler,
)
from ringzero.engine.native.compiler.x86_64 import (
    BUDGET,
    FIRST,
    MOV,
    MOV_TO,
    R13,
    R15,
    RBP,
    RBX,
    SECOND,
    SUB,
    WIDE,
    aim,
    arithmetic_number,
    code_address,
    emit,
    jump_register,
    jump_to,
    load_number,
    with_core,
)
from ringzero.engine.native.state import Core, Shared
from ringzero.lang import address_of, advance, native, peek, poke, typed_range, u32, u64
from ringzero.lang.host import view

FRAME = view(Core).frame.offset
RAM = view(Core).memory.offset
HANDLERS = view(Core).handlers.offset
PAST_ENTRY = 12  # bytes of an entry that load registers; then it jumps to its block


@native
def begin_code(s: Compiler) -> None:
    """Code memory is new: lay down what all entries and ways out share."""
    s.pool = s.low
    constants = s.pieces[0]
    for i in typed_range((u64(constants.size) + 7) // 8):
        poke(u64, s.write, s.pool + i * 8, peek(u64, s.code, u64(constants.code) + i * 8))
    s.used = s.pool + ((u64(constants.size) + 63) & ~63)
    s.enter = s.used
    with_core(s, u64(MOV_TO), u64(R15), u64(PAGE), u64(WIDE))
    with_core(s, u64(MOV_TO), u64(RBP), u64(FRAME), u64(WIDE))
    load_registers(s)
    jump_register(s, u64(FIRST))
    s.leave_slot = s.used
    return_registers(s)
    emit(s, u64(0x0065_FF41), 4)  # jmp [r13 + 0]; four bytes, so r13 needs its displacement
    s.leave_handler = s.used
    return_registers(s)
    with_core(s, u64(MOV), u64(SECOND), u64(HANDLERS), u64(WIDE))
    emit(s, u64(0x01_24FF), 3)  # jmp [rcx + rax]
    s.base = (s.used + 63) & ~63
    s.share = ((s.low + s.half - s.base) // s.arenas) & ~63
    s.arena = s.arenas - 1  # whose end is reached: the first comes next
    s.end = 0


@native
def load_registers(s: Compiler) -> None:
    """Guest registers into those of the host."""
    for number in typed_range(u64(1), u64(32)):
        at = s.places[number]
        if at & IN_CORE == 0:
            with_core(s, u64(MOV), at, X + number * 8, u64(WIDE))


@native
def return_registers(s: Compiler) -> None:
    """Guest registers out of those of the host, and the arguments of a handler but for r13."""
    store_registers(s)
    with_core(s, u64(MOV), u64(R15), u64(PAGE), u64(WIDE))
    with_core(s, u64(MOV), u64(RBP), u64(FRAME), u64(WIDE))


@native
def store_registers(s: Compiler) -> None:
    """Guest registers out of those of the host; r13 is stored by who sets it anew."""
    for number in typed_range(u64(1), u64(32)):
        at = s.places[number]
        if at & IN_CORE == 0 and at != R13:
            with_core(s, u64(MOV_TO), at, X + number * 8, u64(WIDE))


@native
def spill_host(s: Compiler, host: u64) -> None:
    """The guest register in a host register, if one is, into the core's memory."""
    for number in typed_range(u64(1), u64(32)):
        if s.places[number] == host:
            with_core(s, u64(MOV_TO), host, X + number * 8, u64(WIDE))


@native
def reload_used(s: Compiler, uses: u64) -> None:
    """What a piece uses and its convention does not hold."""
    if uses & codes.USES_RBX != 0:
        reload_host(s, u64(RBX))
    if uses & codes.USES_RBP != 0:
        reload_host(s, u64(RBP))


@native
def reload_host(s: Compiler, host: u64) -> None:
    """The guest register in a host register, if one is, loaded from the core's memory again."""
    for number in typed_range(u64(1), u64(32)):
        if s.places[number] == host:
            with_core(s, u64(MOV), host, X + number * 8, u64(WIDE))


# ---- jumps that wait


@native
def fix(s: Compiler, at: u64, slot: u64, done: u64, way: u64) -> None:
    """Remember a jump."""
    one = s.fixes[s.fix_count]
    one.at = u32(at)
    one.slot = u32(slot & 0xFFF)
    one.done = u32(done)
    one.way = u32(way)
    s.fix_count += 1


@native
def count_down(s: Compiler, done: u64) -> None:
    """Instructions leave the budget; the host's sign flag tells whether it is spent."""
    arithmetic_number(s, u64(SUB), u64(BUDGET), done, u64(WIDE))


@native
def block_at(s: Compiler, entry: u64) -> u64:
    """Where in code memory the block of an entry begins."""
    after = entry + PAST_ENTRY + 5
    distance = peek(u32, s.write, after - 4)
    return after + ((u64(distance) ^ 0x8000_0000) - 0x8000_0000)


@native
def known_block(shared: Shared, decoded: u64, slot: u64) -> u64:
    """1 + where the block of a slot begins, of this trace or an earlier one; 0 for none."""
    s = shared.compiler[0]
    if s.labels[slot] != 0:
        return u64(s.labels[slot])
    handler = slots_of(shared, decoded)[slot].handler
    if is_compiled(shared, handler):
        return 1 + block_at(s, handler - s.run)
    return u64(0)


@native
def resolve(shared: Shared, decoded: u64) -> None:
    """Let all jumps go to their blocks, or to ways out laid down behind the trace."""
    s = shared.compiler[0]
    for i in typed_range(s.fix_count):
        one = s.fixes[i]
        slot = u64(one.slot)
        block = u64(0)
        if one.way == TO_BLOCK:
            block = known_block(shared, decoded, slot)
        if block != 0:
            aim(s, u64(one.at), block - 1)
        else:
            aim(s, u64(one.at), s.used)
            way_out(shared, decoded, slot, u64(one.done), u64(one.way))


@native
def way_out(shared: Shared, decoded: u64, slot: u64, done: u64, way: u64) -> None:
    """Leave for a slot, or for a handler that is given it."""
    s = shared.compiler[0]
    if way & WAYS == FROM_PIECE:
        reload_used(s, way >> USES_SHIFT)
    if done != 0:
        count_down(s, done)
    spill_host(s, u64(R13))
    where = address_of(advance(slots_of(shared, decoded), slot))
    load_number(s, u64(R13), where)
    if way == TO_BLOCK:
        jump_to(s, s.leave_slot)
        mark_leader(shared, decoded, slot)
    else:
        number = u64(Special.EVENT)
        if way != AT_EVENT:
            number = number_at(shared, decoded, slot)
        load_number(s, u64(FIRST), number * 8)
        jump_to(s, s.leave_handler)


@native
def leave(shared: Shared, decoded: u64, slot: u64, done: u64) -> None:
    """A trace ends: go on at a slot, whatever stands there."""
    s = shared.compiler[0]
    if done != 0:
        count_down(s, done)
    spill_host(s, u64(R13))
    where = address_of(advance(slots_of(shared, decoded), slot))
    load_number(s, u64(R13), where)
    jump_to(s, s.leave_slot)


@native
def entry(s: Compiler, slot: u64) -> u64:
    """Lay down the entry of a block of this trace; where it is."""
    begin = s.used
    block = u64(s.labels[slot]) - 1
    code_address(s, u64(FIRST), block)
    jump_to(s, s.enter)
    jump_to(s, block)
    return begin


@native
def signed_event(s: Compiler, slot: u64) -> None:
    """Behind `count_down`: where the budget is spent, the slice ends at a slot."""
    emit(s, u64(0x880F), 2)  # js
    s.used += 4
    fix(s, s.used - 4, slot, u64(0), AT_EVENT)
