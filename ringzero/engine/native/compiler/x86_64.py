"""x86-64 machine code, byte by byte (Intel SDM volume 2, chapter 2).

A host register is its number; the core is in r12. Each function appends one instruction.
"""

from __future__ import annotations

from ringzero.engine.native.compiler.state import Compiler
from ringzero.lang import native, poke, u32, u64

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)
CORE, BUDGET, GROUP = R12, R14, R10  # GROUP: the distance of a group's page
FIRST, SECOND, THIRD = RAX, RCX, RDX  # temporaries; THIRD is for numbers and addresses too

# Arithmetic by its number in the opcode (SDM volume 2, table A-1).
ADD, OR, AND, SUB, XOR, CMP = 0, 1, 4, 5, 6, 7
MOV = 0x8B  # register from register or memory
MOV_TO = 0x89  # memory from register
SHL, SHR, SAR, ROL, ROR = 4, 5, 7, 0, 1
WIDE, NARROW = 8, 0  # REX.W


@native(inline=True)
def emit(s: Compiler, value: u64, count: int) -> None:
    """Append the low bytes of a value."""
    poke(u64, s.write, s.used, value)
    s.used += count


@native(inline=True)
def emit32(s: Compiler, value: u64) -> None:
    """Append the low 32 bits of a value."""
    poke(u32, s.write, s.used, u32(value))
    s.used += 4


@native(inline=True)
def rex(wide: u64, reg: u64, rm: u64) -> u64:
    """The prefix that holds the fourth bits of registers."""
    return 0x40 | wide | ((reg >> 3) << 2) | (rm >> 3)


@native
def between(s: Compiler, opcode: u64, reg: u64, rm: u64, wide: u64) -> None:
    """An instruction of two registers with a one-byte opcode."""
    modrm = 0xC0 | ((reg & 7) << 3) | (rm & 7)
    emit(s, rex(wide, reg, rm) | (opcode << 8) | (modrm << 16), 3)


@native
def between2(s: Compiler, opcode: u64, reg: u64, rm: u64, wide: u64) -> None:
    """The same with an opcode of 0F and another byte."""
    modrm = 0xC0 | ((reg & 7) << 3) | (rm & 7)
    emit(s, rex(wide, reg, rm) | 0x0F00 | (opcode << 16) | (modrm << 24), 4)


@native
def with_core(s: Compiler, opcode: u64, reg: u64, offset: u64, wide: u64) -> None:
    """An instruction of a register and a word of the core."""
    head = rex(wide, reg, u64(CORE)) | (opcode << 8)
    if offset < 128:
        emit(s, head | ((0x44 | ((reg & 7) << 3)) << 16) | (0x24 << 24) | (offset << 32), 5)
    else:
        emit(s, head | ((0x84 | ((reg & 7) << 3)) << 16) | (0x24 << 24), 4)
        emit32(s, offset)


@native
def with_core2(s: Compiler, opcode: u64, reg: u64, offset: u64, wide: u64) -> None:
    """The same with an opcode of 0F and another byte."""
    head = rex(wide, reg, u64(CORE)) | 0x0F00 | (opcode << 16)
    emit(s, head | ((0x84 | ((reg & 7) << 3)) << 24) | (0x24 << 32), 5)
    emit32(s, offset)


@native
def with_memory(s: Compiler, opcode: u64, reg: u64, base: u64, offset: u64, wide: u64) -> None:
    """An instruction of a register and memory at a register (not rsp, r12) plus an offset."""
    modrm = 0x80 | ((reg & 7) << 3) | (base & 7)
    emit(s, rex(wide, reg, base) | (opcode << 8) | (modrm << 16), 3)
    emit32(s, offset)


@native
def load_number(s: Compiler, host: u64, number: u64) -> None:
    """A register to a number; flags stay."""
    if number < 0x1_0000_0000:
        emit(s, rex(u64(NARROW), u64(0), host) | ((0xB8 | (host & 7)) << 8), 2)
        emit32(s, number)
    elif fits(number):
        between(s, u64(0xC7), u64(0), host, u64(WIDE))
        emit32(s, number)
    else:
        emit(s, rex(u64(WIDE), u64(0), host) | ((0xB8 | (host & 7)) << 8), 2)
        emit(s, number, 8)


@native(inline=True)
def fits(number: u64) -> bool:
    """Whether 32 bits, sign-extended, hold a number."""
    return number + 0x8000_0000 < 0x1_0000_0000


@native
def arithmetic_number(s: Compiler, kind: u64, host: u64, number: u64, wide: u64) -> None:
    """`kind` of a register and a number that fits."""
    if number + 128 < 256:
        modrm = 0xC0 | (kind << 3) | (host & 7)
        emit(s, rex(wide, u64(0), host) | (0x83 << 8) | (modrm << 16) | ((number & 0xFF) << 24), 4)
    else:
        emit(
            s, rex(wide, u64(0), host) | (0x81 << 8) | ((0xC0 | (kind << 3) | (host & 7)) << 16), 3
        )
        emit32(s, number)


@native
def arithmetic_core(s: Compiler, kind: u64, offset: u64, number: u64) -> None:
    """`kind` of a word of the core and a number that fits."""
    with_core(s, u64(0x81), kind, offset, u64(WIDE))
    emit32(s, number)


@native
def shift_number(s: Compiler, kind: u64, host: u64, count: u64, wide: u64) -> None:
    """A register shifted by a number."""
    modrm = 0xC0 | (kind << 3) | (host & 7)
    emit(s, rex(wide, u64(0), host) | (0xC1 << 8) | (modrm << 16) | ((count & 63) << 24), 4)


@native
def add_into(s: Compiler, host: u64, base: u64, index: u64) -> None:
    """lea: the sum of two registers.

    Without a displacement, which costs a cycle or two more; only rbp and r13 as bases need one.
    """
    if base & 7 == RBP:
        base, index = index, base
    head = 0x48 | ((host >> 3) << 2) | ((index >> 3) << 1) | (base >> 3)
    sib = ((index & 7) << 3) | (base & 7)
    if base & 7 == RBP:
        emit(s, head | (0x8D << 8) | ((0x44 | ((host & 7) << 3)) << 16) | (sib << 24), 5)
    else:
        emit(s, head | (0x8D << 8) | ((0x04 | ((host & 7) << 3)) << 16) | (sib << 24), 4)


@native
def add_number_into(s: Compiler, host: u64, base: u64, number: u64) -> None:
    """lea: a register (not rsp, r12) plus a number that fits."""
    with_memory(s, u64(0x8D), host, base, number, u64(WIDE))


@native
def jump_32(s: Compiler) -> u64:
    """jmp; where its 32 bits are."""
    emit(s, u64(0xE9), 1)
    s.used += 4
    return s.used - 4


@native
def jump_if(s: Compiler, condition: u64) -> u64:
    """A conditional jump; where its 32 bits are."""
    emit(s, 0x0F | ((0x80 | condition) << 8), 2)
    s.used += 4
    return s.used - 4


@native(inline=True)
def aim(s: Compiler, at: u64, target: u64) -> None:
    """Let the 32 bits at a place lead to a target in code memory."""
    poke(u32, s.write, at, u32(target) - u32(at) - 4)


@native
def jump_to(s: Compiler, target: u64) -> None:
    """jmp to a place in code memory."""
    aim(s, jump_32(s), target)


@native
def jump_register(s: Compiler, host: u64) -> None:
    """jmp to the address in a register."""
    between(s, u64(0xFF), u64(4), host, u64(NARROW))


@native
def code_address(s: Compiler, host: u64, target: u64) -> None:
    """lea: the address of a place in code memory."""
    emit(s, rex(u64(WIDE), host, u64(0)) | (0x8D << 8) | ((0x05 | ((host & 7) << 3)) << 16), 3)
    s.used += 4
    aim(s, s.used - 4, target)
