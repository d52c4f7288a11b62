"""Machine code of one operation of a lowered instruction."""

from __future__ import annotations

from ringzero.engine.native.code.decoded_pages import SINK
from ringzero.engine.native.compiler import codes, x86_64
from ringzero.engine.native.compiler.accesses import load, store
from ringzero.engine.native.compiler.operands import (
    NUMBER,
    REGISTER,
    WORD,
    apply,
    apply_to_word,
    compare,
    move_from,
    move_into,
    place,
    store_number,
)
from ringzero.engine.native.compiler.state import Compiler, Operation
from ringzero.engine.native.compiler.x86_64 import (
    FIRST,
    NARROW,
    SECOND,
    THIRD,
    WIDE,
    add_into,
    add_number_into,
    between,
    between2,
    emit,
    fits,
    load_number,
    rex,
    shift_number,
    with_core,
    with_core2,
)
from ringzero.lang import native, u64


@native
def operation(s: Compiler, one: Operation) -> None:
    """Append the code of an operation; the next one may find its result in a temporary."""
    s.stored = 0
    append(s, one)
    s.recent = s.rd if one.to == codes.RD and s.stored != 0 and s.rd != SINK else u64(0)


@native
def append(s: Compiler, one: Operation) -> None:
    """Append the code of an operation."""
    code = u64(one.code)
    if code == codes.LOAD:
        load(s, one)
    elif code == codes.STORE:
        store(s, one)
    elif code == codes.SELECT:
        select(s, one)
    else:
        a_kind, a = place(s, u64(one.a), one.number)
        if code == codes.COMPARE:
            b_kind, b = place(s, u64(one.b), one.number)
            compare(s, a_kind, a, b_kind, b)
        elif code == codes.MOVE:
            to_kind, to = place(s, u64(one.to), u64(0))
            move(s, to_kind, to, a_kind, a)
        elif code <= codes.MUL:
            b_kind, b = place(s, u64(one.b), one.number)
            binary(s, one, a_kind, a, b_kind, b)
        elif code <= codes.ROL:
            b_kind, b = place(s, u64(one.b), one.number)
            shift(s, one, a_kind, a, b_kind, b)
        elif code <= codes.MULHU:
            b_kind, b = place(s, u64(one.b), one.number)
            high_product(s, one, a_kind, a, b_kind, b)
        elif code == codes.SET:
            b_kind, b = place(s, u64(one.b), one.number)
            truth(s, one, a_kind, a, b_kind, b)
        else:
            unary(s, one, a_kind, a)


@native
def move(s: Compiler, to_kind: u64, to: u64, kind: u64, value: u64) -> None:
    """From one place to another."""
    if to_kind == REGISTER:
        move_into(s, to, kind, value)
    elif kind == REGISTER:
        move_from(s, to_kind, to, value)
    elif kind == NUMBER and fits(value):
        store_number(s, to, value)
    else:
        move_into(s, u64(FIRST), kind, value)
        move_from(s, to_kind, to, u64(FIRST))


@native
def binary(s: Compiler, one: Operation, a_kind: u64, a: u64, b_kind: u64, b: u64) -> None:
    """Arithmetic of two operands."""
    to_kind, to = place(s, u64(one.to), u64(0))
    code = u64(one.code)
    wide = u64(WIDE) if one.how == 0 else u64(NARROW)
    if b_kind == NUMBER and b == 0 and code != codes.AND and code != codes.MUL and wide == WIDE:
        move(s, to_kind, to, a_kind, a)
        return
    if a_kind == NUMBER and a == 0 and (code == codes.ADD or code == codes.OR) and wide == WIDE:
        move(s, to_kind, to, b_kind, b)
        return
    if to_kind == WORD and a_kind == WORD and to == a and code != codes.MUL and wide == WIDE:
        if b_kind == REGISTER or (b_kind == NUMBER and fits(b)):
            apply_to_word(s, arithmetic_kind(code), to, b_kind, b)
            return
    host = to if to_kind == REGISTER else u64(FIRST)
    if b_kind == REGISTER and b == host and not (a_kind == REGISTER and a == host):
        if code == codes.SUB:
            host = u64(THIRD) if b == FIRST else u64(FIRST)
        else:
            b_kind, b, a_kind, a = a_kind, a, u64(REGISTER), host
    compute(s, code, host, a_kind, a, b_kind, b, wide)
    move_from(s, to_kind, to, host)


@native
def compute(
    s: Compiler, code: u64, host: u64, a_kind: u64, a: u64, b_kind: u64, b: u64, wide: u64
) -> None:
    """Arithmetic into a register, which the second operand is not, unless the first is too."""
    if code == codes.ADD and a_kind == REGISTER and a != host and wide == WIDE:
        if b_kind == REGISTER:
            add_into(s, host, a, b)
            return
        if b_kind == NUMBER and fits(b) and a & 7 != 4:
            add_number_into(s, host, a, b)
            return
    move_into(s, host, a_kind, a)
    if code == codes.MUL:
        multiply(s, host, b_kind, b, wide)
    else:
        apply(s, arithmetic_kind(code), host, b_kind, b, wide)


@native
def arithmetic_kind(code: u64) -> u64:
    """The number of an arithmetic operation in the host's opcodes."""
    if code == codes.ADD:
        return u64(x86_64.ADD)
    if code == codes.SUB:
        return u64(x86_64.SUB)
    if code == codes.AND:
        return u64(x86_64.AND)
    if code == codes.OR:
        return u64(x86_64.OR)
    return u64(x86_64.XOR)


@native
def multiply(s: Compiler, host: u64, kind: u64, value: u64, wide: u64) -> None:
    """The low half of a product."""
    if kind == WORD:
        with_core2(s, u64(0xAF), host, value, wide)
    elif kind == REGISTER:
        between2(s, u64(0xAF), host, value, wide)
    else:
        load_number(s, u64(THIRD), value)
        between2(s, u64(0xAF), host, u64(THIRD), wide)


@native
def shift(s: Compiler, one: Operation, a_kind: u64, a: u64, b_kind: u64, b: u64) -> None:
    """Shifts and rotations; the host masks the count as RISC-V does."""
    to_kind, to = place(s, u64(one.to), u64(0))
    wide = u64(WIDE) if one.how == 0 else u64(NARROW)
    kind = shift_kind(u64(one.code))
    host = to if to_kind == REGISTER and to != SECOND else u64(FIRST)
    if b_kind == NUMBER:
        move_into(s, host, a_kind, a)
        count = b & 63 if wide == WIDE else b & 31
        shift_number(s, kind, host, count, wide)
    else:
        move_into(s, u64(SECOND), b_kind, b)
        move_into(s, host, a_kind, a)
        emit(
            s, rex(wide, u64(0), host) | (0xD3 << 8) | ((0xC0 | (kind << 3) | (host & 7)) << 16), 3
        )
    move_from(s, to_kind, to, host)


@native
def shift_kind(code: u64) -> u64:
    """The number of a shift in the host's opcodes."""
    if code == codes.SHL:
        return u64(x86_64.SHL)
    if code == codes.SHR:
        return u64(x86_64.SHR)
    if code == codes.SAR:
        return u64(x86_64.SAR)
    if code == codes.ROR:
        return u64(x86_64.ROR)
    return u64(x86_64.ROL)


@native
def high_product(s: Compiler, one: Operation, a_kind: u64, a: u64, b_kind: u64, b: u64) -> None:
    """The upper half of a product of 128 bits."""
    if b_kind != REGISTER or b == FIRST:
        move_into(s, u64(SECOND), b_kind, b)
        b = u64(SECOND)
    move_into(s, u64(FIRST), a_kind, a)
    kind = u64(5) if one.code == codes.MULH else u64(4)
    between(s, u64(0xF7), kind, b, u64(WIDE))
    to_kind, to = place(s, u64(one.to), u64(0))
    move_from(s, to_kind, to, u64(THIRD))


@native
def truth(s: Compiler, one: Operation, a_kind: u64, a: u64, b_kind: u64, b: u64) -> None:
    """1 if a comparison holds, else 0."""
    compare(s, a_kind, a, b_kind, b)
    emit(s, 0xC0_900F | (u64(one.how) << 8), 3)  # setcc al
    to_kind, to = place(s, u64(one.to), u64(0))
    host = to if to_kind == REGISTER else u64(FIRST)
    between2(s, u64(0xB6), host, u64(FIRST), u64(NARROW))
    move_from(s, to_kind, to, host)


@native
def select(s: Compiler, one: Operation) -> None:
    """The third operand if a comparison of the first two holds, else the fourth."""
    d_kind, d = place(s, u64(one.d), one.number)
    move_into(s, u64(FIRST), d_kind, d)
    a_kind, a = place(s, u64(one.a), one.number)
    b_kind, b = place(s, u64(one.b), one.number)
    compare(s, a_kind, a, b_kind, b)
    c_kind, c = place(s, u64(one.c), one.number)
    if c_kind == NUMBER:
        load_number(s, u64(SECOND), c)
        c_kind = u64(REGISTER)
        c = u64(SECOND)
    if c_kind == WORD:
        with_core2(s, 0x40 | u64(one.how), u64(FIRST), c, u64(WIDE))
    else:
        between2(s, 0x40 | u64(one.how), u64(FIRST), c, u64(WIDE))
    to_kind, to = place(s, u64(one.to), u64(0))
    move_from(s, to_kind, to, u64(FIRST))


@native
def unary(s: Compiler, one: Operation, a_kind: u64, a: u64) -> None:
    """Operations of one operand: extensions, counts of bits, the order of bytes."""
    to_kind, to = place(s, u64(one.to), u64(0))
    host = to if to_kind == REGISTER else u64(FIRST)
    code = u64(one.code)
    if a_kind == NUMBER:
        load_number(s, u64(SECOND), a)
        a_kind = u64(REGISTER)
        a = u64(SECOND)
    if code == codes.BYTESWAP:
        move_into(s, host, a_kind, a)
        emit(s, rex(u64(WIDE), u64(0), host) | 0x0F00 | ((0xC8 | (host & 7)) << 16), 3)
    elif code == codes.SEXT:
        extend(s, host, a_kind, a, u64(one.how), True)
    elif code == codes.ZEXT:
        extend(s, host, a_kind, a, u64(one.how), False)
    else:
        count_bits(s, one, host, a_kind, a)
    move_from(s, to_kind, to, host)


@native
def count_bits(s: Compiler, one: Operation, host: u64, a_kind: u64, a: u64) -> None:
    """lzcnt, tzcnt, popcnt: F3, then REX, 0F, and one of three opcodes."""
    opcode = u64(0xB8)
    if one.code == codes.CLZ:
        opcode = u64(0xBD)
    elif one.code == codes.CTZ:
        opcode = u64(0xBC)
    if a_kind == WORD:
        move_into(s, u64(SECOND), a_kind, a)
        a = u64(SECOND)
    wide = u64(WIDE) if one.how == 0 else u64(NARROW)
    emit(s, u64(0xF3), 1)
    between2(s, opcode, host, a, wide)


@native
def extend(s: Compiler, host: u64, kind: u64, value: u64, bits: u64, signed: bool) -> None:
    """The low bits of a register or a word of the core, extended."""
    if bits == 32:
        opcode = u64(0x63) if signed else u64(x86_64.MOV)
        wide = u64(WIDE) if signed else u64(NARROW)
        if kind == WORD:
            with_core(s, opcode, host, value, wide)
        else:
            between(s, opcode, host, value, wide)
        return
    opcode = u64(0xB6) if bits == 8 else u64(0xB7)
    if signed:
        opcode = opcode + 8
    if kind == WORD:
        with_core2(s, opcode, host, value, u64(WIDE))
    else:
        between2(s, opcode, host, value, u64(WIDE))
