"""Zfh, half precision (unprivileged spec, "Zfh" extension), and conversions to wider formats."""

from __future__ import annotations

from ringzero.isa.extend import sext16
from ringzero.isa.floating import (
    box,
    chosen,
    compared,
    converted,
    floating,
    fused,
    integer,
    one,
    two,
    unbox,
)
from ringzero.isa.footprint import Load, Store
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import insn
from ringzero.isa.privileged.access import load, store
from ringzero.isa.softfloat import (
    DOUBLE,
    HALF,
    SINGLE,
    classify,
    copy_sign,
    equal,
    less_or_equal,
    less_than,
    maximum,
    minimum,
)
from ringzero.isa.softfloat.operations import (
    f16_add,
    f16_div,
    f16_mul,
    f16_mul_add,
    f16_sqrt,
    f16_sub,
)
from ringzero.lang import i32, i64, u16, u32, u64

# Loads and stores


@insn("flh frd, imm(rs1)", "imm[11:0] rs1 001 frd 0000111", extension="Zfh", access=Load(u16))
def flh(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a halfword, boxed."""
    return box(HALF, load(hart, u16, rs1 + imm))


@insn(
    "fsh frs2, imm(rs1)",
    "imm[11:5] frs2 rs1 001 imm[4:0] 0100111",
    extension="Zfh",
    access=Store(u16),
)
def fsh(hart: Hart, rs1: u64, frs2: u64, imm: u64) -> None:
    """Store a halfword, as it stands in the register."""
    store(hart, u16, rs1 + imm, frs2)


# Arithmetic


@insn("fadd.h frd, frs1, frs2, rm", "0000010 frs2 frs1 rm frd 1010011", extension="Zfh")
def fadd_h(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The sum."""
    return two(hart, HALF, f16_add, frs1, frs2, rm)


@insn("fsub.h frd, frs1, frs2, rm", "0000110 frs2 frs1 rm frd 1010011", extension="Zfh")
def fsub_h(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The difference."""
    return two(hart, HALF, f16_sub, frs1, frs2, rm)


@insn("fmul.h frd, frs1, frs2, rm", "0001010 frs2 frs1 rm frd 1010011", extension="Zfh")
def fmul_h(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The product."""
    return two(hart, HALF, f16_mul, frs1, frs2, rm)


@insn("fdiv.h frd, frs1, frs2, rm", "0001110 frs2 frs1 rm frd 1010011", extension="Zfh")
def fdiv_h(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The quotient."""
    return two(hart, HALF, f16_div, frs1, frs2, rm)


@insn("fsqrt.h frd, frs1, rm", "0101110 00000 frs1 rm frd 1010011", extension="Zfh")
def fsqrt_h(hart: Hart, frs1: u64, rm: u64) -> u64:
    """The square root."""
    return one(hart, HALF, f16_sqrt, frs1, rm)


@insn("fmadd.h frd, frs1, frs2, frs3, rm", "frs3 10 frs2 frs1 rm frd 1000011", extension="Zfh")
def fmadd_h(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """frs1 * frs2 + frs3, rounded once."""
    return fused(hart, HALF, f16_mul_add, 0, frs1, frs2, frs3, rm)


@insn("fmsub.h frd, frs1, frs2, frs3, rm", "frs3 10 frs2 frs1 rm frd 1000111", extension="Zfh")
def fmsub_h(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """frs1 * frs2 - frs3, rounded once."""
    return fused(hart, HALF, f16_mul_add, 2, frs1, frs2, frs3, rm)


@insn("fnmsub.h frd, frs1, frs2, frs3, rm", "frs3 10 frs2 frs1 rm frd 1001011", extension="Zfh")
def fnmsub_h(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """-(frs1 * frs2) + frs3, rounded once."""
    return fused(hart, HALF, f16_mul_add, 1, frs1, frs2, frs3, rm)


@insn("fnmadd.h frd, frs1, frs2, frs3, rm", "frs3 10 frs2 frs1 rm frd 1001111", extension="Zfh")
def fnmadd_h(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """-(frs1 * frs2) - frs3, rounded once."""
    return fused(hart, HALF, f16_mul_add, 3, frs1, frs2, frs3, rm)


# Signs, choices, comparisons, classes


@insn("fsgnj.h frd, frs1, frs2", "0010010 frs2 frs1 000 frd 1010011", extension="Zfh")
def fsgnj_h(frs1: u64, frs2: u64) -> u64:
    """The magnitude of frs1 with the sign of frs2."""
    return box(HALF, copy_sign(HALF, unbox(HALF, frs1), unbox(HALF, frs2)))


@insn("fsgnjn.h frd, frs1, frs2", "0010010 frs2 frs1 001 frd 1010011", extension="Zfh")
def fsgnjn_h(frs1: u64, frs2: u64) -> u64:
    """The magnitude of frs1 with the opposite of frs2's sign."""
    return box(HALF, copy_sign(HALF, unbox(HALF, frs1), ~unbox(HALF, frs2)))


@insn("fsgnjx.h frd, frs1, frs2", "0010010 frs2 frs1 010 frd 1010011", extension="Zfh")
def fsgnjx_h(frs1: u64, frs2: u64) -> u64:
    """frs1 with the product of the signs."""
    return box(HALF, copy_sign(HALF, unbox(HALF, frs1), unbox(HALF, frs1) ^ unbox(HALF, frs2)))


@insn("fmin.h frd, frs1, frs2", "0010110 frs2 frs1 000 frd 1010011", extension="Zfh")
def fmin_h(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """The lesser; a number rather than a NaN."""
    return chosen(hart, HALF, minimum, frs1, frs2)


@insn("fmax.h frd, frs1, frs2", "0010110 frs2 frs1 001 frd 1010011", extension="Zfh")
def fmax_h(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """The greater; a number rather than a NaN."""
    return chosen(hart, HALF, maximum, frs1, frs2)


@insn("feq.h rd, frs1, frs2", "1010010 frs2 frs1 010 rd 1010011", extension="Zfh")
def feq_h(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether equal; quiet."""
    return compared(hart, HALF, equal, frs1, frs2)


@insn("flt.h rd, frs1, frs2", "1010010 frs2 frs1 001 rd 1010011", extension="Zfh")
def flt_h(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether less; signaling."""
    return compared(hart, HALF, less_than, frs1, frs2)


@insn("fle.h rd, frs1, frs2", "1010010 frs2 frs1 000 rd 1010011", extension="Zfh")
def fle_h(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether less or equal; signaling."""
    return compared(hart, HALF, less_or_equal, frs1, frs2)


@insn("fclass.h rd, frs1", "1110010 00000 frs1 001 rd 1010011", extension="Zfh")
def fclass_h(frs1: u64) -> u64:
    """The class, one bit of ten."""
    return classify(HALF, unbox(HALF, frs1))


# Conversions


@insn("fcvt.w.h rd, frs1, rm", "1100010 00000 frs1 rm rd 1010011", extension="Zfh")
def fcvt_w_h(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As a signed word."""
    return integer(hart, HALF, i32, frs1, rm)


@insn("fcvt.wu.h rd, frs1, rm", "1100010 00001 frs1 rm rd 1010011", extension="Zfh")
def fcvt_wu_h(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As an unsigned word."""
    return integer(hart, HALF, u32, frs1, rm)


@insn("fcvt.l.h rd, frs1, rm", "1100010 00010 frs1 rm rd 1010011", extension="Zfh")
def fcvt_l_h(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As a signed doubleword."""
    return integer(hart, HALF, i64, frs1, rm)


@insn("fcvt.lu.h rd, frs1, rm", "1100010 00011 frs1 rm rd 1010011", extension="Zfh")
def fcvt_lu_h(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As an unsigned doubleword."""
    return integer(hart, HALF, u64, frs1, rm)


@insn("fcvt.h.w frd, rs1, rm", "1101010 00000 rs1 rm frd 1010011", extension="Zfh")
def fcvt_h_w(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From a signed word."""
    return floating(hart, HALF, i32, rs1, rm)


@insn("fcvt.h.wu frd, rs1, rm", "1101010 00001 rs1 rm frd 1010011", extension="Zfh")
def fcvt_h_wu(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From an unsigned word."""
    return floating(hart, HALF, u32, rs1, rm)


@insn("fcvt.h.l frd, rs1, rm", "1101010 00010 rs1 rm frd 1010011", extension="Zfh")
def fcvt_h_l(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From a signed doubleword."""
    return floating(hart, HALF, i64, rs1, rm)


@insn("fcvt.h.lu frd, rs1, rm", "1101010 00011 rs1 rm frd 1010011", extension="Zfh")
def fcvt_h_lu(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From an unsigned doubleword."""
    return floating(hart, HALF, u64, rs1, rm)


@insn("fcvt.s.h frd, frs1, rm", "0100000 00010 frs1 rm frd 1010011", extension="Zfh")
def fcvt_s_h(hart: Hart, frs1: u64, rm: u64) -> u64:
    """From half to single precision."""
    return converted(hart, HALF, SINGLE, frs1, rm)


@insn("fcvt.h.s frd, frs1, rm", "0100010 00000 frs1 rm frd 1010011", extension="Zfh")
def fcvt_h_s(hart: Hart, frs1: u64, rm: u64) -> u64:
    """From single to half precision."""
    return converted(hart, SINGLE, HALF, frs1, rm)


@insn("fcvt.d.h frd, frs1, rm", "0100001 00010 frs1 rm frd 1010011", extension="Zfh")
def fcvt_d_h(hart: Hart, frs1: u64, rm: u64) -> u64:
    """From half to double precision."""
    return converted(hart, HALF, DOUBLE, frs1, rm)


@insn("fcvt.h.d frd, frs1, rm", "0100010 00001 frs1 rm frd 1010011", extension="Zfh")
def fcvt_h_d(hart: Hart, frs1: u64, rm: u64) -> u64:
    """From double to half precision."""
    return converted(hart, DOUBLE, HALF, frs1, rm)


# Bits to and from integer registers


@insn("fmv.x.h rd, frs1", "1110010 00000 frs1 000 rd 1010011", extension="Zfh")
def fmv_x_h(frs1: u64) -> u64:
    """The bits, sign-extended, boxed or not."""
    return sext16(frs1)


@insn("fmv.h.x frd, rs1", "1111010 00000 rs1 000 frd 1010011", extension="Zfh")
def fmv_h_x(rs1: u64) -> u64:
    """The bits, boxed."""
    return box(HALF, rs1)
