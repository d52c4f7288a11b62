"""Zba, Zbb and Zbs, bit manipulation (unprivileged spec, "B" extension)."""

from __future__ import annotations

from ringzero.isa.extend import sext8, sext16, sext32
from ringzero.isa.instruction import insn
from ringzero.lang import byteswap, clz, ctz, i64, popcount, u16, u32, u64

# Zba: address generation


@insn("add.uw rd, rs1, rs2", "0000100 rs2 rs1 000 rd 0111011", extension="Zba", steps=True)
def add_uw(rs1: u64, rs2: u64) -> u64:
    """Add a zero-extended word."""
    return u64(u32(rs1)) + rs2


@insn("sh1add rd, rs1, rs2", "0010000 rs2 rs1 010 rd 0110011", extension="Zba", steps=True)
def sh1add(rs1: u64, rs2: u64) -> u64:
    """Add an index of halfwords."""
    return (rs1 << 1) + rs2


@insn("sh2add rd, rs1, rs2", "0010000 rs2 rs1 100 rd 0110011", extension="Zba", steps=True)
def sh2add(rs1: u64, rs2: u64) -> u64:
    """Add an index of words."""
    return (rs1 << 2) + rs2


@insn("sh3add rd, rs1, rs2", "0010000 rs2 rs1 110 rd 0110011", extension="Zba", steps=True)
def sh3add(rs1: u64, rs2: u64) -> u64:
    """Add an index of doublewords."""
    return (rs1 << 3) + rs2


@insn("sh1add.uw rd, rs1, rs2", "0010000 rs2 rs1 010 rd 0111011", extension="Zba", steps=True)
def sh1add_uw(rs1: u64, rs2: u64) -> u64:
    """Add an unsigned 32-bit index of halfwords."""
    return (u64(u32(rs1)) << 1) + rs2


@insn("sh2add.uw rd, rs1, rs2", "0010000 rs2 rs1 100 rd 0111011", extension="Zba", steps=True)
def sh2add_uw(rs1: u64, rs2: u64) -> u64:
    """Add an unsigned 32-bit index of words."""
    return (u64(u32(rs1)) << 2) + rs2


@insn("sh3add.uw rd, rs1, rs2", "0010000 rs2 rs1 110 rd 0111011", extension="Zba", steps=True)
def sh3add_uw(rs1: u64, rs2: u64) -> u64:
    """Add an unsigned 32-bit index of doublewords."""
    return (u64(u32(rs1)) << 3) + rs2


@insn("slli.uw rd, rs1, shamt", "000010 shamt[5:0] rs1 001 rd 0011011", extension="Zba", steps=True)
def slli_uw(rs1: u64, shamt: u64) -> u64:
    """Shift a zero-extended word left by an immediate."""
    return u64(u32(rs1)) << shamt


# Zbb: logic with a negated operand


@insn("andn rd, rs1, rs2", "0100000 rs2 rs1 111 rd 0110011", extension="Zbb")
def andn(rs1: u64, rs2: u64) -> u64:
    """And with the complement."""
    return rs1 & ~rs2


@insn("orn rd, rs1, rs2", "0100000 rs2 rs1 110 rd 0110011", extension="Zbb")
def orn(rs1: u64, rs2: u64) -> u64:
    """Or with the complement."""
    return rs1 | ~rs2


@insn("xnor rd, rs1, rs2", "0100000 rs2 rs1 100 rd 0110011", extension="Zbb")
def xnor(rs1: u64, rs2: u64) -> u64:
    """The complement of exclusive or."""
    return ~(rs1 ^ rs2)


# Zbb: counting bits


@insn("clz rd, rs1", "0110000 00000 rs1 001 rd 0010011", extension="Zbb")
def clz_(rs1: u64) -> u64:
    """Leading zeros; 64 for zero."""
    return clz(rs1)


@insn("ctz rd, rs1", "0110000 00001 rs1 001 rd 0010011", extension="Zbb")
def ctz_(rs1: u64) -> u64:
    """Trailing zeros; 64 for zero."""
    return ctz(rs1)


@insn("cpop rd, rs1", "0110000 00010 rs1 001 rd 0010011", extension="Zbb")
def cpop(rs1: u64) -> u64:
    """How many bits are set."""
    return popcount(rs1)


@insn("clzw rd, rs1", "0110000 00000 rs1 001 rd 0011011", extension="Zbb")
def clzw(rs1: u64) -> u64:
    """Leading zeros of a word; 32 for zero."""
    return u64(clz(u32(rs1)))


@insn("ctzw rd, rs1", "0110000 00001 rs1 001 rd 0011011", extension="Zbb")
def ctzw(rs1: u64) -> u64:
    """Trailing zeros of a word; 32 for zero."""
    return u64(ctz(u32(rs1)))


@insn("cpopw rd, rs1", "0110000 00010 rs1 001 rd 0011011", extension="Zbb")
def cpopw(rs1: u64) -> u64:
    """How many bits of a word are set."""
    return u64(popcount(u32(rs1)))


# Zbb: minimum, maximum, extension


@insn("max rd, rs1, rs2", "0000101 rs2 rs1 110 rd 0110011", extension="Zbb")
def max_(rs1: u64, rs2: u64) -> u64:
    """The greater, signed."""
    return rs1 if i64(rs1) > i64(rs2) else rs2


@insn("maxu rd, rs1, rs2", "0000101 rs2 rs1 111 rd 0110011", extension="Zbb")
def maxu(rs1: u64, rs2: u64) -> u64:
    """The greater, unsigned."""
    return rs1 if rs1 > rs2 else rs2


@insn("min rd, rs1, rs2", "0000101 rs2 rs1 100 rd 0110011", extension="Zbb")
def min_(rs1: u64, rs2: u64) -> u64:
    """The lesser, signed."""
    return rs1 if i64(rs1) < i64(rs2) else rs2


@insn("minu rd, rs1, rs2", "0000101 rs2 rs1 101 rd 0110011", extension="Zbb")
def minu(rs1: u64, rs2: u64) -> u64:
    """The lesser, unsigned."""
    return rs1 if rs1 < rs2 else rs2


@insn("sext.b rd, rs1", "0110000 00100 rs1 001 rd 0010011", extension="Zbb", steps=True)
def sext_b(rs1: u64) -> u64:
    """Sign-extend a byte."""
    return sext8(rs1)


@insn("sext.h rd, rs1", "0110000 00101 rs1 001 rd 0010011", extension="Zbb", steps=True)
def sext_h(rs1: u64) -> u64:
    """Sign-extend a halfword."""
    return sext16(rs1)


@insn("zext.h rd, rs1", "0000100 00000 rs1 100 rd 0111011", extension="Zbb", steps=True)
def zext_h(rs1: u64) -> u64:
    """Zero-extend a halfword."""
    return u64(u16(rs1))


# Zbb: rotation and byte order; shift counts wrap, so 64 - n rotates the rest also for n = 0


@insn("rol rd, rs1, rs2", "0110000 rs2 rs1 001 rd 0110011", extension="Zbb")
def rol(rs1: u64, rs2: u64) -> u64:
    """Rotate left."""
    return (rs1 << rs2) | (rs1 >> (64 - rs2))


@insn("ror rd, rs1, rs2", "0110000 rs2 rs1 101 rd 0110011", extension="Zbb")
def ror(rs1: u64, rs2: u64) -> u64:
    """Rotate right."""
    return (rs1 >> rs2) | (rs1 << (64 - rs2))


@insn("rori rd, rs1, shamt", "011000 shamt[5:0] rs1 101 rd 0010011", extension="Zbb")
def rori(rs1: u64, shamt: u64) -> u64:
    """Rotate right by an immediate."""
    return (rs1 >> shamt) | (rs1 << (64 - shamt))


@insn("rolw rd, rs1, rs2", "0110000 rs2 rs1 001 rd 0111011", extension="Zbb")
def rolw(rs1: u64, rs2: u64) -> u64:
    """Rotate a word left."""
    word, count = u32(rs1), u32(rs2)
    return sext32(u64((word << count) | (word >> (32 - count))))


@insn("rorw rd, rs1, rs2", "0110000 rs2 rs1 101 rd 0111011", extension="Zbb")
def rorw(rs1: u64, rs2: u64) -> u64:
    """Rotate a word right."""
    word, count = u32(rs1), u32(rs2)
    return sext32(u64((word >> count) | (word << (32 - count))))


@insn("roriw rd, rs1, shamt", "0110000 shamt[4:0] rs1 101 rd 0011011", extension="Zbb")
def roriw(rs1: u64, shamt: u64) -> u64:
    """Rotate a word right by an immediate."""
    word, count = u32(rs1), u32(shamt)
    return sext32(u64((word >> count) | (word << (32 - count))))


LOW_BITS = 0x7F7F_7F7F_7F7F_7F7F
ONES = 0x0101_0101_0101_0101


@insn("orc.b rd, rs1", "001010000111 rs1 101 rd 0010011", extension="Zbb")
def orc_b(rs1: u64) -> u64:
    """Each byte that is not zero becomes all ones."""
    high = ((rs1 & LOW_BITS) + LOW_BITS) | rs1  # bit 7 of a byte: some bit of it was set
    return ((high >> 7) & ONES) * 0xFF


@insn("rev8 rd, rs1", "011010111000 rs1 101 rd 0010011", extension="Zbb")
def rev8(rs1: u64) -> u64:
    """Reverse the bytes."""
    return byteswap(rs1)


# Zbs: single bits


@insn("bclr rd, rs1, rs2", "0100100 rs2 rs1 001 rd 0110011", extension="Zbs")
def bclr(rs1: u64, rs2: u64) -> u64:
    """Clear a bit."""
    return rs1 & ~(u64(1) << rs2)


@insn("bclri rd, rs1, shamt", "010010 shamt[5:0] rs1 001 rd 0010011", extension="Zbs")
def bclri(rs1: u64, shamt: u64) -> u64:
    """Clear a bit by immediate."""
    return rs1 & ~(u64(1) << shamt)


@insn("bext rd, rs1, rs2", "0100100 rs2 rs1 101 rd 0110011", extension="Zbs")
def bext(rs1: u64, rs2: u64) -> u64:
    """Read a bit."""
    return (rs1 >> rs2) & 1


@insn("bexti rd, rs1, shamt", "010010 shamt[5:0] rs1 101 rd 0010011", extension="Zbs")
def bexti(rs1: u64, shamt: u64) -> u64:
    """Read a bit by immediate."""
    return (rs1 >> shamt) & 1


@insn("binv rd, rs1, rs2", "0110100 rs2 rs1 001 rd 0110011", extension="Zbs")
def binv(rs1: u64, rs2: u64) -> u64:
    """Flip a bit."""
    return rs1 ^ (u64(1) << rs2)


@insn("binvi rd, rs1, shamt", "011010 shamt[5:0] rs1 001 rd 0010011", extension="Zbs")
def binvi(rs1: u64, shamt: u64) -> u64:
    """Flip a bit by immediate."""
    return rs1 ^ (u64(1) << shamt)


@insn("bset rd, rs1, rs2", "0010100 rs2 rs1 001 rd 0110011", extension="Zbs")
def bset(rs1: u64, rs2: u64) -> u64:
    """Set a bit."""
    return rs1 | (u64(1) << rs2)


@insn("bseti rd, rs1, shamt", "001010 shamt[5:0] rs1 001 rd 0010011", extension="Zbs")
def bseti(rs1: u64, shamt: u64) -> u64:
    """Set a bit by immediate."""
    return rs1 | (u64(1) << shamt)
