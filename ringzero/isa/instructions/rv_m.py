"""M, multiplication and division (unprivileged spec, "M" extension).

Division never traps: by zero the quotient is all ones and the remainder the dividend, and the one
signed overflow wraps.
"""

from __future__ import annotations

from ringzero.isa.extend import sext32
from ringzero.isa.instruction import insn
from ringzero.lang import i32, i64, i128, sdiv, srem, u32, u64, u128

MIN64, MIN32 = 1 << 63, 1 << 31
ALL64, ALL32 = (1 << 64) - 1, (1 << 32) - 1


@insn("mul rd, rs1, rs2", "0000001 rs2 rs1 000 rd 0110011", extension="M")
def mul(rs1: u64, rs2: u64) -> u64:
    """The low half of the product."""
    return rs1 * rs2


@insn("mulh rd, rs1, rs2", "0000001 rs2 rs1 001 rd 0110011", extension="M")
def mulh(rs1: u64, rs2: u64) -> u64:
    """The high half of the product, signed."""
    return u64((i128(i64(rs1)) * i128(i64(rs2))) >> 64)


@insn("mulhsu rd, rs1, rs2", "0000001 rs2 rs1 010 rd 0110011", extension="M")
def mulhsu(rs1: u64, rs2: u64) -> u64:
    """The high half of the product of a signed and an unsigned number."""
    return u64((i128(i64(rs1)) * i128(rs2)) >> 64)


@insn("mulhu rd, rs1, rs2", "0000001 rs2 rs1 011 rd 0110011", extension="M")
def mulhu(rs1: u64, rs2: u64) -> u64:
    """The high half of the product, unsigned."""
    return u64((u128(rs1) * u128(rs2)) >> 64)


@insn("div rd, rs1, rs2", "0000001 rs2 rs1 100 rd 0110011", extension="M")
def div(rs1: u64, rs2: u64) -> u64:
    """The quotient, signed."""
    if rs2 == 0:
        return ALL64
    if rs1 == MIN64 and rs2 == ALL64:
        return rs1
    return u64(sdiv(i64(rs1), i64(rs2)))


@insn("divu rd, rs1, rs2", "0000001 rs2 rs1 101 rd 0110011", extension="M")
def divu(rs1: u64, rs2: u64) -> u64:
    """The quotient, unsigned."""
    if rs2 == 0:
        return ALL64
    return rs1 // rs2


@insn("rem rd, rs1, rs2", "0000001 rs2 rs1 110 rd 0110011", extension="M")
def rem(rs1: u64, rs2: u64) -> u64:
    """The remainder, signed as the dividend."""
    if rs2 == 0:
        return rs1
    if rs1 == MIN64 and rs2 == ALL64:
        return 0
    return u64(srem(i64(rs1), i64(rs2)))


@insn("remu rd, rs1, rs2", "0000001 rs2 rs1 111 rd 0110011", extension="M")
def remu(rs1: u64, rs2: u64) -> u64:
    """The remainder, unsigned."""
    if rs2 == 0:
        return rs1
    return rs1 % rs2


@insn("mulw rd, rs1, rs2", "0000001 rs2 rs1 000 rd 0111011", extension="M")
def mulw(rs1: u64, rs2: u64) -> u64:
    """The product of words."""
    return sext32(rs1 * rs2)


@insn("divw rd, rs1, rs2", "0000001 rs2 rs1 100 rd 0111011", extension="M")
def divw(rs1: u64, rs2: u64) -> u64:
    """The quotient of words, signed."""
    if u32(rs2) == 0:
        return ALL64
    if u32(rs1) == MIN32 and u32(rs2) == ALL32:
        return sext32(rs1)
    return u64(sdiv(i32(rs1), i32(rs2)))


@insn("divuw rd, rs1, rs2", "0000001 rs2 rs1 101 rd 0111011", extension="M")
def divuw(rs1: u64, rs2: u64) -> u64:
    """The quotient of words, unsigned."""
    if u32(rs2) == 0:
        return ALL64
    return sext32(u64(u32(rs1) // u32(rs2)))


@insn("remw rd, rs1, rs2", "0000001 rs2 rs1 110 rd 0111011", extension="M")
def remw(rs1: u64, rs2: u64) -> u64:
    """The remainder of words, signed as the dividend."""
    if u32(rs2) == 0:
        return sext32(rs1)
    if u32(rs1) == MIN32 and u32(rs2) == ALL32:
        return 0
    return u64(srem(i32(rs1), i32(rs2)))


@insn("remuw rd, rs1, rs2", "0000001 rs2 rs1 111 rd 0111011", extension="M")
def remuw(rs1: u64, rs2: u64) -> u64:
    """The remainder of words, unsigned."""
    if u32(rs2) == 0:
        return sext32(rs1)
    return sext32(u64(u32(rs1) % u32(rs2)))
