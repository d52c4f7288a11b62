"""Branches, calls and jumps: where the budget is counted down and looked at.

It is looked at where the interpreter does: wherever control goes elsewhere. Another page is found
through the execute table, and if compiled code stands there, registers stay in place.
"""

from __future__ import annotations

from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.compiler.accesses import ENTRY, INDEX_MASK, NOT_EQUAL, OFFSET, TAG, TLB
from ringzero.engine.native.compiler.exits import (
    PAST_ENTRY,
    count_down,
    fix,
    signed_event,
    spill_host,
)
from ringzero.engine.native.compiler.operands import PAGE
from ringzero.engine.native.compiler.state import TO_BLOCK, Compiler
from ringzero.engine.native.compiler.x86_64 import (
    ADD,
    AND,
    CMP,
    FIRST,
    MOV,
    MOV_TO,
    NARROW,
    R13,
    SECOND,
    SHR,
    SUB,
    THIRD,
    WIDE,
    aim,
    arithmetic_number,
    between,
    code_address,
    emit,
    emit32,
    fits,
    jump_32,
    jump_if,
    jump_register,
    jump_to,
    load_number,
    shift_number,
    with_core,
    with_memory,
)
from ringzero.engine.native.state import EXECUTES, PAGE_SLOTS, Core
from ringzero.lang import i64, native, u64
from ringzero.lang.host import view

SLOTS = view(Core).slots.offset
EXECUTE = EXECUTES * ENTRY
NOT_BELOW = 3
FURTHER = 9  # jns


@native
def target_slot(s: Compiler) -> u64:
    """The slot that a branch or a call leads to; out of range where it is on another page."""
    return s.slot + u64(i64(s.imm) >> 1)


@native
def branch(s: Compiler, condition: u64) -> None:
    """A conditional branch, behind its comparison; falls through with the count unchanged."""
    target = target_slot(s)
    done = s.done + 1
    over = jump_if(s, condition ^ 1)
    count_down(s, done)
    if target < PAGE_SLOTS:
        signed_event(s, target)
        fix(s, jump_32(s), target, u64(0), TO_BLOCK)
    else:
        far(s)
    aim(s, over, s.used)


@native
def far(s: Compiler) -> None:
    """To pc + imm on another page; the budget is counted down."""
    with_core(s, u64(MOV), u64(FIRST), u64(PAGE), u64(WIDE))
    distance = s.slot * 2 + s.imm
    if fits(distance):
        arithmetic_number(s, u64(ADD), u64(FIRST), distance, u64(WIDE))
    else:
        load_number(s, u64(THIRD), distance)
        between(s, u64((ADD << 3) | 3), u64(FIRST), u64(THIRD), u64(WIDE))
    look_up(s)


@native
def indirect(s: Compiler) -> None:
    """To the address in the second temporary."""
    between(s, u64(MOV), u64(FIRST), u64(SECOND), u64(WIDE))
    count_down(s, s.done + 1)
    look_up(s)


@native
def look_up(s: Compiler) -> None:
    """To the address in the first temporary, behind a `count_down` that set the flags or before.

    The handler JUMP_TO does it where the execute table misses, or where the budget is spent.
    """
    emit(s, u64(0xF6854D), 3)  # test r14, r14
    spent = jump_if(s, u64(8))
    missed = find_slot(s)
    jump_to_block(s)
    aim(s, spent, s.used)
    aim(s, missed, s.used)
    spill_host(s, u64(R13))
    between(s, u64(MOV), u64(R13), u64(FIRST), u64(WIDE))
    load_number(s, u64(FIRST), u64(Special.JUMP_TO * 8))
    jump_to(s, s.leave_handler)


@native
def find_slot(s: Compiler) -> u64:
    """The second temporary becomes the slot of the address in the first, by the execute table.

    Where the 32 bits of the jump are that is taken when the table misses.
    """
    between(s, u64(MOV), u64(SECOND), u64(FIRST), u64(NARROW))
    shift_number(s, u64(SHR), u64(SECOND), u64(8), u64(NARROW))
    arithmetic_number(s, u64(AND), u64(SECOND), u64(INDEX_MASK), u64(NARROW))
    with_core(s, u64((ADD << 3) | 3), u64(SECOND), u64(TLB), u64(WIDE))
    between(s, u64(MOV), u64(THIRD), u64(FIRST), u64(WIDE))
    arithmetic_number(s, u64(AND), u64(THIRD), u64(0) - 4096, u64(WIDE))
    with_memory(s, u64((CMP << 3) | 3), u64(THIRD), u64(SECOND), u64(EXECUTE + TAG), u64(WIDE))
    missed = jump_if(s, u64(NOT_EQUAL))
    with_core(s, u64(MOV_TO), u64(THIRD), u64(PAGE), u64(WIDE))
    with_memory(s, u64(MOV), u64(SECOND), u64(SECOND), u64(EXECUTE + OFFSET), u64(WIDE))
    with_core(s, u64((ADD << 3) | 3), u64(SECOND), u64(SLOTS), u64(WIDE))
    arithmetic_number(s, u64(AND), u64(FIRST), u64(0xFFE), u64(NARROW))
    emit(s, u64(0xC10C_8D48), 4)  # lea rcx, [rcx + 8 * rax]
    return missed


@native
def jump_to_block(s: Compiler) -> None:
    """To what stands at the slot in the second temporary: past the entry of a block of this
    generation, with registers in place; by the slot's handler otherwise.
    """
    emit(s, u64(0x018B_48), 3)  # mov rax, [rcx]
    code_address(s, u64(THIRD), s.low)
    between(s, u64((SUB << 3) | 3), u64(FIRST), u64(THIRD), u64(WIDE))
    emit(s, u64(0x3D48), 2)  # cmp rax, the size of a half
    emit32(s, s.half)
    foreign = jump_if(s, u64(NOT_BELOW))
    emit(s, u64(0x02_448D48) | (u64(PAST_ENTRY) << 32), 5)  # lea rax, [rdx + rax + 12]
    jump_register(s, u64(FIRST))
    aim(s, foreign, s.used)
    spill_host(s, u64(R13))
    between(s, u64(MOV), u64(R13), u64(SECOND), u64(WIDE))
    jump_to(s, s.leave_slot)
