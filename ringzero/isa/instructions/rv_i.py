"""RV64I, the base integer instructions (unprivileged spec, chapters 2 and 4).

Loads and stores reach memory through `access`; `ecall` and `ebreak` stand with the other
privileged instructions in `rv_priv.py`.
"""

from __future__ import annotations

from ringzero.isa.extend import sext8, sext16, sext32
from ringzero.isa.footprint import Load, Store
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import BRANCH, JUMP, insn
from ringzero.isa.privileged.access import load, store
from ringzero.lang import fence, i32, i64, u8, u16, u32, u64

# Constants and jumps (2.4.1, 2.5.1)


@insn("lui rd, imm", "imm[31:12] rd 0110111", extension="I")
def lui(imm: u64) -> u64:
    """The upper 20 bits of a word, sign-extended."""
    return imm


@insn("auipc rd, imm", "imm[31:12] rd 0010111", extension="I")
def auipc(pc: u64, imm: u64) -> u64:
    """pc plus an upper immediate."""
    return pc + imm


@insn("jal rd, imm", "imm[20|10:1|11|19:12] rd 1101111", extension="I", kind=JUMP)
def jal(pc: u64, size: u64, imm: u64) -> tuple[u64, u64]:
    """Jump, and link."""
    return pc + size, pc + imm


@insn("jalr rd, imm(rs1)", "imm[11:0] rs1 000 rd 1100111", extension="I", kind=JUMP)
def jalr(pc: u64, size: u64, rs1: u64, imm: u64) -> tuple[u64, u64]:
    """Jump to a register plus offset, bit 0 cleared, and link."""
    return pc + size, (rs1 + imm) & ~1


# Branches (2.5.2)


@insn(
    "beq rs1, rs2, imm",
    "imm[12|10:5] rs2 rs1 000 imm[4:1|11] 1100011",
    extension="I",
    kind=BRANCH,
)
def beq(rs1: u64, rs2: u64) -> bool:
    """Branch if equal."""
    return rs1 == rs2


@insn(
    "bne rs1, rs2, imm",
    "imm[12|10:5] rs2 rs1 001 imm[4:1|11] 1100011",
    extension="I",
    kind=BRANCH,
)
def bne(rs1: u64, rs2: u64) -> bool:
    """Branch if not equal."""
    return rs1 != rs2


@insn(
    "blt rs1, rs2, imm",
    "imm[12|10:5] rs2 rs1 100 imm[4:1|11] 1100011",
    extension="I",
    kind=BRANCH,
)
def blt(rs1: u64, rs2: u64) -> bool:
    """Branch if less, signed."""
    return i64(rs1) < i64(rs2)


@insn(
    "bge rs1, rs2, imm",
    "imm[12|10:5] rs2 rs1 101 imm[4:1|11] 1100011",
    extension="I",
    kind=BRANCH,
)
def bge(rs1: u64, rs2: u64) -> bool:
    """Branch if greater or equal, signed."""
    return i64(rs1) >= i64(rs2)


@insn(
    "bltu rs1, rs2, imm",
    "imm[12|10:5] rs2 rs1 110 imm[4:1|11] 1100011",
    extension="I",
    kind=BRANCH,
)
def bltu(rs1: u64, rs2: u64) -> bool:
    """Branch if less, unsigned."""
    return rs1 < rs2


@insn(
    "bgeu rs1, rs2, imm",
    "imm[12|10:5] rs2 rs1 111 imm[4:1|11] 1100011",
    extension="I",
    kind=BRANCH,
)
def bgeu(rs1: u64, rs2: u64) -> bool:
    """Branch if greater or equal, unsigned."""
    return rs1 >= rs2


# Loads and stores (2.6, 4.3)


@insn("lb rd, imm(rs1)", "imm[11:0] rs1 000 rd 0000011", extension="I", access=Load(u8))
def lb(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a byte, sign-extended."""
    return sext8(load(hart, u8, rs1 + imm))


@insn("lh rd, imm(rs1)", "imm[11:0] rs1 001 rd 0000011", extension="I", access=Load(u16))
def lh(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a halfword, sign-extended."""
    return sext16(load(hart, u16, rs1 + imm))


@insn("lw rd, imm(rs1)", "imm[11:0] rs1 010 rd 0000011", extension="I", access=Load(u32))
def lw(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a word, sign-extended."""
    return sext32(load(hart, u32, rs1 + imm))


@insn("ld rd, imm(rs1)", "imm[11:0] rs1 011 rd 0000011", extension="I", access=Load(u64))
def ld(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a doubleword."""
    return load(hart, u64, rs1 + imm)


@insn("lbu rd, imm(rs1)", "imm[11:0] rs1 100 rd 0000011", extension="I", access=Load(u8))
def lbu(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a byte, zero-extended."""
    return load(hart, u8, rs1 + imm)


@insn("lhu rd, imm(rs1)", "imm[11:0] rs1 101 rd 0000011", extension="I", access=Load(u16))
def lhu(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a halfword, zero-extended."""
    return load(hart, u16, rs1 + imm)


@insn("lwu rd, imm(rs1)", "imm[11:0] rs1 110 rd 0000011", extension="I", access=Load(u32))
def lwu(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a word, zero-extended."""
    return load(hart, u32, rs1 + imm)


@insn("sb rs2, imm(rs1)", "imm[11:5] rs2 rs1 000 imm[4:0] 0100011", extension="I", access=Store(u8))
def sb(hart: Hart, rs1: u64, rs2: u64, imm: u64) -> None:
    """Store a byte."""
    store(hart, u8, rs1 + imm, rs2)


@insn(
    "sh rs2, imm(rs1)", "imm[11:5] rs2 rs1 001 imm[4:0] 0100011", extension="I", access=Store(u16)
)
def sh(hart: Hart, rs1: u64, rs2: u64, imm: u64) -> None:
    """Store a halfword."""
    store(hart, u16, rs1 + imm, rs2)


@insn(
    "sw rs2, imm(rs1)", "imm[11:5] rs2 rs1 010 imm[4:0] 0100011", extension="I", access=Store(u32)
)
def sw(hart: Hart, rs1: u64, rs2: u64, imm: u64) -> None:
    """Store a word."""
    store(hart, u32, rs1 + imm, rs2)


@insn(
    "sd rs2, imm(rs1)", "imm[11:5] rs2 rs1 011 imm[4:0] 0100011", extension="I", access=Store(u64)
)
def sd(hart: Hart, rs1: u64, rs2: u64, imm: u64) -> None:
    """Store a doubleword."""
    store(hart, u64, rs1 + imm, rs2)


# Register with immediate (2.4.1, 4.2.1)


@insn("addi rd, rs1, imm", "imm[11:0] rs1 000 rd 0010011", extension="I", steps=True)
def addi(rs1: u64, imm: u64) -> u64:
    """Add an immediate."""
    return rs1 + imm


@insn("slti rd, rs1, imm", "imm[11:0] rs1 010 rd 0010011", extension="I")
def slti(rs1: u64, imm: u64) -> u64:
    """Whether less than an immediate, signed."""
    return u64(i64(rs1) < i64(imm))


@insn("sltiu rd, rs1, imm", "imm[11:0] rs1 011 rd 0010011", extension="I")
def sltiu(rs1: u64, imm: u64) -> u64:
    """Whether less than a sign-extended immediate, unsigned."""
    return u64(rs1 < imm)


@insn("xori rd, rs1, imm", "imm[11:0] rs1 100 rd 0010011", extension="I")
def xori(rs1: u64, imm: u64) -> u64:
    """Exclusive or with an immediate."""
    return rs1 ^ imm


@insn("ori rd, rs1, imm", "imm[11:0] rs1 110 rd 0010011", extension="I")
def ori(rs1: u64, imm: u64) -> u64:
    """Or with an immediate; to x0 it is a hint (Zicbop's prefetches), which does nothing."""
    return rs1 | imm


@insn("andi rd, rs1, imm", "imm[11:0] rs1 111 rd 0010011", extension="I")
def andi(rs1: u64, imm: u64) -> u64:
    """And with an immediate."""
    return rs1 & imm


@insn("slli rd, rs1, shamt", "000000 shamt[5:0] rs1 001 rd 0010011", extension="I", steps=True)
def slli(rs1: u64, shamt: u64) -> u64:
    """Shift left by an immediate."""
    return rs1 << shamt


@insn("srli rd, rs1, shamt", "000000 shamt[5:0] rs1 101 rd 0010011", extension="I", steps=True)
def srli(rs1: u64, shamt: u64) -> u64:
    """Shift right by an immediate, filling with zeros."""
    return rs1 >> shamt


@insn("srai rd, rs1, shamt", "010000 shamt[5:0] rs1 101 rd 0010011", extension="I", steps=True)
def srai(rs1: u64, shamt: u64) -> u64:
    """Shift right by an immediate, filling with the sign."""
    return u64(i64(rs1) >> i64(shamt))


@insn("addiw rd, rs1, imm", "imm[11:0] rs1 000 rd 0011011", extension="I", steps=True)
def addiw(rs1: u64, imm: u64) -> u64:
    """Add an immediate to a word."""
    return sext32(rs1 + imm)


@insn("slliw rd, rs1, shamt", "0000000 shamt[4:0] rs1 001 rd 0011011", extension="I", steps=True)
def slliw(rs1: u64, shamt: u64) -> u64:
    """Shift a word left by an immediate."""
    return sext32(rs1 << shamt)


@insn("srliw rd, rs1, shamt", "0000000 shamt[4:0] rs1 101 rd 0011011", extension="I", steps=True)
def srliw(rs1: u64, shamt: u64) -> u64:
    """Shift a word right by an immediate, filling with zeros."""
    return sext32(u64(u32(rs1) >> u32(shamt)))


@insn("sraiw rd, rs1, shamt", "0100000 shamt[4:0] rs1 101 rd 0011011", extension="I", steps=True)
def sraiw(rs1: u64, shamt: u64) -> u64:
    """Shift a word right by an immediate, filling with the sign."""
    return u64(i32(rs1) >> i32(shamt))


# Register with register (2.4.2, 4.2.2)


@insn("add rd, rs1, rs2", "0000000 rs2 rs1 000 rd 0110011", extension="I", steps=True)
def add(rs1: u64, rs2: u64) -> u64:
    """Add."""
    return rs1 + rs2


@insn("sub rd, rs1, rs2", "0100000 rs2 rs1 000 rd 0110011", extension="I", steps=True)
def sub(rs1: u64, rs2: u64) -> u64:
    """Subtract."""
    return rs1 - rs2


@insn("sll rd, rs1, rs2", "0000000 rs2 rs1 001 rd 0110011", extension="I")
def sll(rs1: u64, rs2: u64) -> u64:
    """Shift left."""
    return rs1 << rs2


@insn("slt rd, rs1, rs2", "0000000 rs2 rs1 010 rd 0110011", extension="I")
def slt(rs1: u64, rs2: u64) -> u64:
    """Whether less, signed."""
    return u64(i64(rs1) < i64(rs2))


@insn("sltu rd, rs1, rs2", "0000000 rs2 rs1 011 rd 0110011", extension="I")
def sltu(rs1: u64, rs2: u64) -> u64:
    """Whether less, unsigned."""
    return u64(rs1 < rs2)


@insn("xor rd, rs1, rs2", "0000000 rs2 rs1 100 rd 0110011", extension="I")
def xor(rs1: u64, rs2: u64) -> u64:
    """Exclusive or."""
    return rs1 ^ rs2


@insn("srl rd, rs1, rs2", "0000000 rs2 rs1 101 rd 0110011", extension="I")
def srl(rs1: u64, rs2: u64) -> u64:
    """Shift right, filling with zeros."""
    return rs1 >> rs2


@insn("sra rd, rs1, rs2", "0100000 rs2 rs1 101 rd 0110011", extension="I")
def sra(rs1: u64, rs2: u64) -> u64:
    """Shift right, filling with the sign."""
    return u64(i64(rs1) >> i64(rs2))


@insn("or rd, rs1, rs2", "0000000 rs2 rs1 110 rd 0110011", extension="I")
def or_(rs1: u64, rs2: u64) -> u64:
    """Or."""
    return rs1 | rs2


@insn("and rd, rs1, rs2", "0000000 rs2 rs1 111 rd 0110011", extension="I")
def and_(rs1: u64, rs2: u64) -> u64:
    """And."""
    return rs1 & rs2


@insn("addw rd, rs1, rs2", "0000000 rs2 rs1 000 rd 0111011", extension="I", steps=True)
def addw(rs1: u64, rs2: u64) -> u64:
    """Add words."""
    return sext32(rs1 + rs2)


@insn("subw rd, rs1, rs2", "0100000 rs2 rs1 000 rd 0111011", extension="I", steps=True)
def subw(rs1: u64, rs2: u64) -> u64:
    """Subtract words."""
    return sext32(rs1 - rs2)


@insn("sllw rd, rs1, rs2", "0000000 rs2 rs1 001 rd 0111011", extension="I")
def sllw(rs1: u64, rs2: u64) -> u64:
    """Shift a word left."""
    return sext32(u64(u32(rs1) << u32(rs2)))


@insn("srlw rd, rs1, rs2", "0000000 rs2 rs1 101 rd 0111011", extension="I")
def srlw(rs1: u64, rs2: u64) -> u64:
    """Shift a word right, filling with zeros."""
    return sext32(u64(u32(rs1) >> u32(rs2)))


@insn("sraw rd, rs1, rs2", "0100000 rs2 rs1 101 rd 0111011", extension="I")
def sraw(rs1: u64, rs2: u64) -> u64:
    """Shift a word right, filling with the sign."""
    return u64(i32(rs1) >> i32(rs2))


# Ordering (2.7)


@insn("fence pred, succ", "fm pred succ rs1 000 rd 0001111", extension="I")
def fence_() -> None:
    """Order memory accesses: always fully. fence.tso and Zihintpause's pause are forms of it."""
    fence()
