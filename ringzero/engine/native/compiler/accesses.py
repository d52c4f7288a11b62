"""Loads and stores: a look at the TLB in front of each; what misses leaves to the interpreter."""

from __future__ import annotations

from ringzero.engine.native.compiler import codes, x86_64
from ringzero.engine.native.compiler.exits import fix
from ringzero.engine.native.compiler.operands import (
    NUMBER,
    REGISTER,
    move_from,
    move_into,
    place,
)
from ringzero.engine.native.compiler.state import TO_INTERPRETER, Compiler, Operation
from ringzero.engine.native.compiler.x86_64 import (
    ADD,
    AND,
    FIRST,
    MEMORY,
    MOV,
    NARROW,
    SECOND,
    THIRD,
    WIDE,
    add_number_into,
    arithmetic_number,
    between,
    fits,
    jump_if,
    put,
    rex,
    shift_number,
    with_core,
    with_memory,
)
from ringzero.engine.native.state import READS, TLB_SIZE, WRITES, Core, TlbEntry
from ringzero.lang import native, u64
from ringzero.lang.host import view

TLB = view(Core).tlb.offset
TAG, OFFSET = view(TlbEntry).tag.offset, view(TlbEntry).offset.offset
ENTRY = 16  # bytes of a TlbEntry
INDEX_MASK = (TLB_SIZE - 1) * ENTRY  # of an address, shifted right by 8
NOT_EQUAL = 5


@native
def load(s: Compiler, one: Operation) -> None:
    """A load, extended as its `how` says."""
    size = u64(one.how) & 15
    signed = u64(one.how) & codes.SIGNED != 0
    translate(s, one, size, u64(READS * ENTRY))
    to_kind, to = place(s, u64(one.to), u64(0))
    host = to if to_kind == REGISTER else u64(FIRST)
    if size == 8:
        at_address(s, u64(MOV), host, u64(WIDE))
    elif size == 4:
        if signed:
            at_address(s, u64(0x63), host, u64(WIDE))
        else:
            at_address(s, u64(MOV), host, u64(NARROW))
    else:
        opcode = u64(0xB6) if size == 1 else u64(0xB7)
        if signed:
            opcode = opcode + 8
        at_address2(s, opcode, host)
    move_from(s, to_kind, to, host)


@native
def store(s: Compiler, one: Operation) -> None:
    """A store of a register."""
    size = u64(one.how)
    translate(s, one, size, u64(WRITES * ENTRY))
    kind, value = place(s, u64(one.c), u64(0))
    if kind != REGISTER:
        move_into(s, u64(THIRD), kind, value)
        value = u64(THIRD)
    if size == 8:
        at_address(s, u64(0x89), value, u64(WIDE))
    elif size == 4:
        at_address(s, u64(0x89), value, u64(NARROW))
    elif size == 2:
        put(s, u64(0x66), 1)
        at_address(s, u64(0x89), value, u64(NARROW))
    else:
        at_address(s, u64(0x88), value, u64(NARROW))


@native
def at_address(s: Compiler, opcode: u64, reg: u64, wide: u64) -> None:
    """An instruction of a register and guest memory at the first temporary."""
    put(s, rex(wide, reg, u64(MEMORY)) | (opcode << 8) | ((0x04 | ((reg & 7) << 3)) << 16), 3)
    put(s, u64((FIRST << 3) | (MEMORY & 7)), 1)


@native
def at_address2(s: Compiler, opcode: u64, reg: u64) -> None:
    """The same, 64 bits wide, with an opcode of 0F and another byte."""
    head = rex(u64(WIDE), reg, u64(MEMORY)) | 0x0F00 | (opcode << 16)
    put(s, head | ((0x04 | ((reg & 7) << 3)) << 24), 4)
    put(s, u64((FIRST << 3) | (MEMORY & 7)), 1)


@native
def address(s: Compiler, one: Operation) -> None:
    """The first temporary becomes the address of an access."""
    base_kind, base = place(s, u64(one.a), one.number)
    offset = u64(0)
    if one.b != 0:
        _, offset = place(s, u64(one.b), one.number)
    if base_kind == NUMBER:
        move_into(s, u64(FIRST), base_kind, base + offset)
    elif base_kind == REGISTER and base & 7 != 4 and offset != 0 and fits(offset):
        add_number_into(s, u64(FIRST), base, offset)
    else:
        move_into(s, u64(FIRST), base_kind, base)
        if offset != 0:
            arithmetic_number(s, u64(ADD), u64(FIRST), offset, u64(WIDE))


@native
def translate(s: Compiler, one: Operation, size: u64, table: u64) -> None:
    """The first temporary becomes where an access is in the backing memory; else leave."""
    address(s, one)
    between(s, u64(MOV), u64(SECOND), u64(FIRST), u64(NARROW))
    shift_number(s, u64(x86_64.SHR), u64(SECOND), u64(8), u64(NARROW))
    arithmetic_number(s, u64(AND), u64(SECOND), u64(INDEX_MASK), u64(NARROW))
    with_core(s, u64((ADD << 3) | 3), u64(SECOND), u64(TLB), u64(WIDE))
    between(s, u64(MOV), u64(THIRD), u64(FIRST), u64(WIDE))
    arithmetic_number(s, u64(AND), u64(THIRD), (u64(0) - 4096) | (size - 1), u64(WIDE))
    with_memory(s, u64((x86_64.CMP << 3) | 3), u64(THIRD), u64(SECOND), table + TAG, u64(WIDE))
    fix(s, jump_if(s, u64(NOT_EQUAL)), s.slot, s.done, TO_INTERPRETER)
    with_memory(s, u64((ADD << 3) | 3), u64(FIRST), u64(SECOND), table + OFFSET, u64(WIDE))
