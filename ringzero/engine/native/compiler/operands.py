"""Operands of operations: where each is on the host, and moves between these places.

A place is a host register, a word of the core, or a number. Guest registers that the host holds
throughout compiled code are host registers, all others words of the core; x0 is the number 0.
"""

from __future__ import annotations

from ringzero.engine.native.code.decoded_pages import SINK
from ringzero.engine.native.compiler import codes, x86_64
from ringzero.engine.native.compiler.state import IN_CORE, Compiler
from ringzero.engine.native.compiler.x86_64 import (
    MOV,
    MOV_TO,
    NARROW,
    THIRD,
    WIDE,
    arithmetic_core,
    arithmetic_number,
    between,
    emit32,
    fits,
    load_number,
    with_core,
)
from ringzero.engine.native.state import Core
from ringzero.lang import native, u64
from ringzero.lang.host import view

REGISTER, WORD, NUMBER = range(3)  # kinds of places

X = view(Core.fields["hart"]).x.offset
F = view(Core.fields["hart"]).f.offset
PAGE = view(Core).page.offset


@native
def place_of_x(s: Compiler, number: u64) -> tuple[u64, u64]:
    """Where an x register is read."""
    if number == 0:
        return u64(NUMBER), u64(0)
    if number == s.recent:
        return u64(REGISTER), u64(x86_64.FIRST)
    at = s.places[number]
    if at & IN_CORE != 0:
        return u64(WORD), at & 0xFFFF_FFFF
    return u64(REGISTER), at


@native
def place(s: Compiler, operand: u64, number: u64) -> tuple[u64, u64]:
    """Where an operand of an operation is; the pc is put into the third temporary."""
    if operand == codes.RS1:
        return place_of_x(s, s.rs1)
    if operand == codes.RS2:
        return place_of_x(s, s.rs2)
    if operand == codes.IMM:
        return u64(NUMBER), s.imm
    if operand == codes.T0:
        return u64(REGISTER), u64(x86_64.FIRST)
    if operand == codes.T1:
        return u64(REGISTER), u64(x86_64.SECOND)
    if operand == codes.NUMBER:
        return u64(NUMBER), number
    if operand == codes.RD:
        return destination_x(s)
    if operand == codes.FRD:
        return u64(WORD), F + s.rd * 8
    if operand == codes.FRS1:
        return u64(WORD), F + s.rs1 * 8
    if operand == codes.FRS2:
        return u64(WORD), F + s.rs2 * 8
    if operand == codes.FRS3:
        return u64(WORD), F + s.rs3 * 8
    if operand == codes.SMALL:
        return u64(NUMBER), s.rs2
    if operand == codes.SIZE:
        return u64(NUMBER), s.bytes
    if operand == codes.PC:
        with_core(s, u64(MOV), u64(THIRD), u64(PAGE), u64(WIDE))
        if s.slot != 0:
            arithmetic_number(s, u64(x86_64.ADD), u64(THIRD), s.slot * 2, u64(WIDE))
        return u64(REGISTER), u64(THIRD)
    return place_of_x(s, s.rs3)


@native
def destination_x(s: Compiler) -> tuple[u64, u64]:
    """Where the result goes; for x0 a word that nobody reads."""
    if s.rd == SINK:
        return u64(WORD), u64(X + SINK * 8)
    at = s.places[s.rd]
    if at & IN_CORE != 0:
        return u64(WORD), at & 0xFFFF_FFFF
    return u64(REGISTER), at


@native
def move_into(s: Compiler, host: u64, kind: u64, value: u64) -> None:
    """A host register takes what is at a place."""
    if host == x86_64.FIRST and not (kind == REGISTER and value == host):
        s.recent = 0
    if kind == NUMBER:
        load_number(s, host, value)
    elif kind == WORD:
        with_core(s, u64(MOV), host, value, u64(WIDE))
    elif host != value:
        between(s, u64(MOV), host, value, u64(WIDE))


@native
def move_from(s: Compiler, kind: u64, value: u64, host: u64) -> None:
    """A place (no number) takes what is in a host register."""
    if kind == WORD:
        with_core(s, u64(MOV_TO), host, value, u64(WIDE))
        s.stored = u64(host == x86_64.FIRST)
    elif host != value:
        between(s, u64(MOV), value, host, u64(WIDE))


@native
def apply(s: Compiler, arithmetic: u64, host: u64, kind: u64, value: u64, wide: u64) -> None:
    """`host` op= what is at a place; a big number goes through the third temporary."""
    if kind == NUMBER:
        if fits(value) or wide == NARROW:
            arithmetic_number(s, arithmetic, host, value, wide)
        else:
            load_number(s, u64(THIRD), value)
            between(s, (arithmetic << 3) | 3, host, u64(THIRD), wide)
    elif kind == WORD:
        with_core(s, (arithmetic << 3) | 3, host, value, wide)
    else:
        between(s, (arithmetic << 3) | 3, host, value, wide)


@native
def apply_to_word(s: Compiler, arithmetic: u64, offset: u64, kind: u64, value: u64) -> None:
    """A word of the core op= a register or a number that fits."""
    if kind == NUMBER:
        arithmetic_core(s, arithmetic, offset, value)
    else:
        with_core(s, (arithmetic << 3) | 1, value, offset, u64(WIDE))


@native
def compare(s: Compiler, a_kind: u64, a: u64, b_kind: u64, b: u64) -> None:
    """Set the host's flags by two places; the second temporary may be used."""
    if a_kind == WORD and b_kind != WORD and (b_kind == REGISTER or fits(b)):
        apply_to_word(s, u64(x86_64.CMP), a, b_kind, b)
        return
    first = a
    if a_kind != REGISTER:
        first = u64(x86_64.SECOND)
        move_into(s, first, a_kind, a)
    if b_kind == NUMBER and b == 0:
        between(s, u64(0x85), first, first, u64(WIDE))  # test
    else:
        apply(s, u64(x86_64.CMP), first, b_kind, b, u64(WIDE))


@native
def store_number(s: Compiler, offset: u64, number: u64) -> None:
    """A word of the core becomes a number that fits."""
    with_core(s, u64(0xC7), u64(0), offset, u64(WIDE))
    emit32(s, number)
