"""Loads and stores: a look at the TLB in front of them; what misses leaves to the interpreter.

Accesses around one register that follow each other share a look (`groups.py`): it holds for the
lowest and the highest of them, and the page's distance stays in a register of the host.
"""

from __future__ import annotations

import ctypes

from ringzero.engine.native.compiler import codes
from ringzero.engine.native.compiler.exits import RAM, fix
from ringzero.engine.native.compiler.groups import in_group, open_group
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
    CMP,
    FIRST,
    GROUP,
    MOV,
    NARROW,
    SECOND,
    SHR,
    THIRD,
    WIDE,
    arithmetic_number,
    between,
    emit,
    emit32,
    fits,
    jump_if,
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
ENTRY = ctypes.sizeof(view(TlbEntry))
INDEX_MASK = (TLB_SIZE - 1) * ENTRY  # of an address, shifted right by 8
NOT_EQUAL, ABOVE = 5, 7
WORTH = (
    3  # loads of a group, for which a look at the TLB is worth it where RAM can be read directly
)
REACH = view(Core).reach.offset
LEA = 0x8D


@native
def load(s: Compiler, one: Operation) -> None:
    """A load, extended as its `how` says."""
    size = u64(one.how) & 15
    signed = u64(one.how) & codes.SIGNED != 0
    base, offset = address(s, one)
    if s.direct != 0 and directly(s, offset, size):
        base, offset, distance = direct(s, base, offset)
    else:
        distance = translate(s, base, offset, size, False)
    to_kind, to = place(s, u64(one.to), u64(0))
    host = to if to_kind == REGISTER else u64(FIRST)
    if size == 8:
        with_address(s, u64(MOV), host, base, distance, offset, u64(WIDE))
    elif size == 4:
        if signed:
            with_address(s, u64(0x63), host, base, distance, offset, u64(WIDE))
        else:
            with_address(s, u64(MOV), host, base, distance, offset, u64(NARROW))
    else:
        opcode = u64(0xB60F) if size == 1 else u64(0xB70F)
        if signed:
            opcode = opcode + 0x800
        with_address(s, opcode, host, base, distance, offset, u64(WIDE))
    move_from(s, to_kind, to, host)


@native
def store(s: Compiler, one: Operation) -> None:
    """A store of a register."""
    size = u64(one.how)
    base, offset = address(s, one)
    distance = translate(s, base, offset, size, True)
    kind, value = place(s, u64(one.c), u64(0))
    if kind != REGISTER:
        move_into(s, u64(THIRD), kind, value)
        value = u64(THIRD)
    wide = u64(WIDE) if size == 8 else u64(NARROW)
    if size == 2:
        emit(s, u64(0x66), 1)
    opcode = u64(0x88) if size == 1 else u64(0x89)
    with_address(s, opcode, value, base, distance, offset, wide)


@native
def with_address(
    s: Compiler, opcode: u64, reg: u64, base: u64, distance: u64, offset: u64, wide: u64
) -> None:
    """An instruction of a register and guest memory: two registers and an offset, added."""
    head = rex(wide, reg, base) | ((distance >> 3) << 1)
    modrm = 0x84 | ((reg & 7) << 3)
    sib = ((distance & 7) << 3) | (base & 7)
    short = offset + 128 < 256
    if short:
        modrm = modrm ^ 0xC0
    if opcode > 0xFF:
        emit(s, head | (opcode << 8) | (modrm << 24) | (sib << 32), 5)
    else:
        emit(s, head | (opcode << 8) | (modrm << 16) | (sib << 24), 4)
    if short:
        emit(s, offset & 0xFF, 1)
    else:
        emit32(s, offset)


@native
def address(s: Compiler, one: Operation) -> tuple[u64, u64]:
    """The host register that holds an access's base, and its offset, which fits."""
    base_kind, base = place(s, u64(one.a), one.number)
    offset = u64(0)
    if one.b != 0:
        _, offset = place(s, u64(one.b), one.number)
    if base_kind == NUMBER:
        move_into(s, u64(FIRST), base_kind, base + offset)
        return u64(FIRST), u64(0)
    if base_kind != REGISTER:
        move_into(s, u64(FIRST), base_kind, base)
        base = u64(FIRST)
    if not fits(offset):
        move_into(s, u64(THIRD), u64(NUMBER), offset)
        add_up(s, base)
        s.recent = 0
        return u64(FIRST), u64(0)
    return base, offset


@native
def add_up(s: Compiler, base: u64) -> None:
    """The first temporary: a register plus the third temporary."""
    emit(s, rex(u64(WIDE), u64(FIRST), base) | (LEA << 8) | (0x44 << 16), 3)
    emit(s, (THIRD << 3) | (base & 7), 2)


@native
def translate(s: Compiler, base: u64, offset: u64, size: u64, stores: bool) -> u64:
    """Look an access up, or know its page already; the register that holds the page's distance."""
    if in_group(s, offset, size, stores):
        return u64(GROUP)
    if s.next_group.base == 0:
        look_up_page(s, base, offset, offset, size, stores)
        return u64(SECOND)
    ahead = s.next_group
    look_up_page(s, base, ahead.low, ahead.end, ahead.align, ahead.stores != 0)
    emit(s, u64(0xCA8949), 3)  # mov r10, rcx
    open_group(s)
    return u64(GROUP)


@native
def directly(s: Compiler, offset: u64, size: u64) -> bool:
    """Whether a load looks at RAM's bounds only: it does unless a group holds it."""
    if in_group(s, offset, size, False):
        return False
    return s.next_group.base == 0 or (s.next_group.stores == 0 and s.next_group.members < WORTH)


@native
def direct(s: Compiler, base: u64, offset: u64) -> tuple[u64, u64, u64]:
    """A load in M-mode: base, offset and distance of its address in the host's memory."""
    distance = offset - s.ram_base
    if fits(distance):
        with_register(s, u64(SECOND), base, distance, u64(WIDE))
    else:
        move_into(s, u64(SECOND), u64(NUMBER), distance)
        between(s, u64((ADD << 3) | 3), u64(SECOND), base, u64(WIDE))
    with_core(s, u64((CMP << 3) | 3), u64(SECOND), u64(REACH), u64(WIDE))
    fix(s, jump_if(s, u64(ABOVE)), s.slot, s.done, TO_INTERPRETER)
    with_core(s, u64(MOV), u64(THIRD), u64(RAM), u64(WIDE))
    return u64(THIRD), u64(0), u64(SECOND)


@native
def look_up_page(s: Compiler, base: u64, low: u64, high: u64, align: u64, stores: bool) -> None:
    """The second temporary becomes the distance from guest addresses to the host's, for the page
    of base + low if base + high is on it too, and aligned.
    """
    table = u64(WRITES * ENTRY) if stores else u64(READS * ENTRY)
    with_register(s, u64(SECOND), base, low, u64(NARROW))
    shift_number(s, u64(SHR), u64(SECOND), u64(8), u64(NARROW))
    arithmetic_number(s, u64(AND), u64(SECOND), u64(INDEX_MASK), u64(NARROW))
    with_core(s, u64((ADD << 3) | 3), u64(SECOND), u64(TLB), u64(WIDE))
    with_register(s, u64(THIRD), base, high, u64(WIDE))
    arithmetic_number(s, u64(AND), u64(THIRD), (u64(0) - 4096) | (align - 1), u64(WIDE))
    with_memory(s, u64((CMP << 3) | 3), u64(THIRD), u64(SECOND), table + TAG, u64(WIDE))
    fix(s, jump_if(s, u64(NOT_EQUAL)), s.slot, s.done, TO_INTERPRETER)
    with_memory(s, u64(MOV), u64(SECOND), u64(SECOND), table + OFFSET, u64(WIDE))
    with_core(s, u64((ADD << 3) | 3), u64(SECOND), u64(RAM), u64(WIDE))


@native
def with_register(s: Compiler, host: u64, base: u64, offset: u64, wide: u64) -> None:
    """A register plus a number that fits, into another."""
    if offset == 0:
        between(s, u64(MOV), host, base, wide)
    else:
        with_memory(s, u64(LEA), host, base, offset, wide)
