"""D, double precision (unprivileged spec, "D" extension), and conversions to and from single."""

from __future__ import annotations

from ringzero.isa.floating import chosen, compared, converted, floating, fused, integer, one, two
from ringzero.isa.footprint import Load, Store
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import insn
from ringzero.isa.privileged.access import load, store
from ringzero.isa.softfloat import (
    DOUBLE,
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
    f64_add,
    f64_div,
    f64_mul,
    f64_mul_add,
    f64_sqrt,
    f64_sub,
)
from ringzero.lang import i32, i64, u32, u64

# Loads and stores


@insn("fld frd, imm(rs1)", "imm[11:0] rs1 011 frd 0000111", extension="D", access=Load(u64))
def fld(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a doubleword."""
    return load(hart, u64, rs1 + imm)


@insn(
    "fsd frs2, imm(rs1)",
    "imm[11:5] frs2 rs1 011 imm[4:0] 0100111",
    extension="D",
    access=Store(u64),
)
def fsd(hart: Hart, rs1: u64, frs2: u64, imm: u64) -> None:
    """Store a doubleword, as it stands in the register."""
    store(hart, u64, rs1 + imm, frs2)


# Arithmetic


@insn("fadd.d frd, frs1, frs2, rm", "0000001 frs2 frs1 rm frd 1010011", extension="D")
def fadd_d(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The sum."""
    return two(hart, DOUBLE, f64_add, frs1, frs2, rm)


@insn("fsub.d frd, frs1, frs2, rm", "0000101 frs2 frs1 rm frd 1010011", extension="D")
def fsub_d(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The difference."""
    return two(hart, DOUBLE, f64_sub, frs1, frs2, rm)


@insn("fmul.d frd, frs1, frs2, rm", "0001001 frs2 frs1 rm frd 1010011", extension="D")
def fmul_d(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The product."""
    return two(hart, DOUBLE, f64_mul, frs1, frs2, rm)


@insn("fdiv.d frd, frs1, frs2, rm", "0001101 frs2 frs1 rm frd 1010011", extension="D")
def fdiv_d(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The quotient."""
    return two(hart, DOUBLE, f64_div, frs1, frs2, rm)


@insn("fsqrt.d frd, frs1, rm", "0101101 00000 frs1 rm frd 1010011", extension="D")
def fsqrt_d(hart: Hart, frs1: u64, rm: u64) -> u64:
    """The square root."""
    return one(hart, DOUBLE, f64_sqrt, frs1, rm)


@insn("fmadd.d frd, frs1, frs2, frs3, rm", "frs3 01 frs2 frs1 rm frd 1000011", extension="D")
def fmadd_d(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """frs1 * frs2 + frs3, rounded once."""
    return fused(hart, DOUBLE, f64_mul_add, 0, frs1, frs2, frs3, rm)


@insn("fmsub.d frd, frs1, frs2, frs3, rm", "frs3 01 frs2 frs1 rm frd 1000111", extension="D")
def fmsub_d(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """frs1 * frs2 - frs3, rounded once."""
    return fused(hart, DOUBLE, f64_mul_add, 2, frs1, frs2, frs3, rm)


@insn("fnmsub.d frd, frs1, frs2, frs3, rm", "frs3 01 frs2 frs1 rm frd 1001011", extension="D")
def fnmsub_d(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """-(frs1 * frs2) + frs3, rounded once."""
    return fused(hart, DOUBLE, f64_mul_add, 1, frs1, frs2, frs3, rm)


@insn("fnmadd.d frd, frs1, frs2, frs3, rm", "frs3 01 frs2 frs1 rm frd 1001111", extension="D")
def fnmadd_d(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """-(frs1 * frs2) - frs3, rounded once."""
    return fused(hart, DOUBLE, f64_mul_add, 3, frs1, frs2, frs3, rm)


# Signs, choices, comparisons, classes


@insn("fsgnj.d frd, frs1, frs2", "0010001 frs2 frs1 000 frd 1010011", extension="D")
def fsgnj_d(frs1: u64, frs2: u64) -> u64:
    """The magnitude of frs1 with the sign of frs2."""
    return copy_sign(DOUBLE, frs1, frs2)


@insn("fsgnjn.d frd, frs1, frs2", "0010001 frs2 frs1 001 frd 1010011", extension="D")
def fsgnjn_d(frs1: u64, frs2: u64) -> u64:
    """The magnitude of frs1 with the opposite of frs2's sign."""
    return copy_sign(DOUBLE, frs1, ~frs2)


@insn("fsgnjx.d frd, frs1, frs2", "0010001 frs2 frs1 010 frd 1010011", extension="D")
def fsgnjx_d(frs1: u64, frs2: u64) -> u64:
    """frs1 with the product of the signs."""
    return copy_sign(DOUBLE, frs1, frs1 ^ frs2)


@insn("fmin.d frd, frs1, frs2", "0010101 frs2 frs1 000 frd 1010011", extension="D")
def fmin_d(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """The lesser; a number rather than a NaN."""
    return chosen(hart, DOUBLE, minimum, frs1, frs2)


@insn("fmax.d frd, frs1, frs2", "0010101 frs2 frs1 001 frd 1010011", extension="D")
def fmax_d(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """The greater; a number rather than a NaN."""
    return chosen(hart, DOUBLE, maximum, frs1, frs2)


@insn("feq.d rd, frs1, frs2", "1010001 frs2 frs1 010 rd 1010011", extension="D")
def feq_d(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether equal; quiet."""
    return compared(hart, DOUBLE, equal, frs1, frs2)


@insn("flt.d rd, frs1, frs2", "1010001 frs2 frs1 001 rd 1010011", extension="D")
def flt_d(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether less; signaling."""
    return compared(hart, DOUBLE, less_than, frs1, frs2)


@insn("fle.d rd, frs1, frs2", "1010001 frs2 frs1 000 rd 1010011", extension="D")
def fle_d(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether less or equal; signaling."""
    return compared(hart, DOUBLE, less_or_equal, frs1, frs2)


@insn("fclass.d rd, frs1", "1110001 00000 frs1 001 rd 1010011", extension="D")
def fclass_d(frs1: u64) -> u64:
    """The class, one bit of ten."""
    return classify(DOUBLE, frs1)


# Conversions


@insn("fcvt.w.d rd, frs1, rm", "1100001 00000 frs1 rm rd 1010011", extension="D")
def fcvt_w_d(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As a signed word."""
    return integer(hart, DOUBLE, i32, frs1, rm)


@insn("fcvt.wu.d rd, frs1, rm", "1100001 00001 frs1 rm rd 1010011", extension="D")
def fcvt_wu_d(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As an unsigned word."""
    return integer(hart, DOUBLE, u32, frs1, rm)


@insn("fcvt.l.d rd, frs1, rm", "1100001 00010 frs1 rm rd 1010011", extension="D")
def fcvt_l_d(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As a signed doubleword."""
    return integer(hart, DOUBLE, i64, frs1, rm)


@insn("fcvt.lu.d rd, frs1, rm", "1100001 00011 frs1 rm rd 1010011", extension="D")
def fcvt_lu_d(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As an unsigned doubleword."""
    return integer(hart, DOUBLE, u64, frs1, rm)


@insn("fcvt.d.w frd, rs1, rm", "1101001 00000 rs1 rm frd 1010011", extension="D")
def fcvt_d_w(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From a signed word."""
    return floating(hart, DOUBLE, i32, rs1, rm)


@insn("fcvt.d.wu frd, rs1, rm", "1101001 00001 rs1 rm frd 1010011", extension="D")
def fcvt_d_wu(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From an unsigned word."""
    return floating(hart, DOUBLE, u32, rs1, rm)


@insn("fcvt.d.l frd, rs1, rm", "1101001 00010 rs1 rm frd 1010011", extension="D")
def fcvt_d_l(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From a signed doubleword."""
    return floating(hart, DOUBLE, i64, rs1, rm)


@insn("fcvt.d.lu frd, rs1, rm", "1101001 00011 rs1 rm frd 1010011", extension="D")
def fcvt_d_lu(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From an unsigned doubleword."""
    return floating(hart, DOUBLE, u64, rs1, rm)


@insn("fcvt.s.d frd, frs1, rm", "0100000 00001 frs1 rm frd 1010011", extension="D")
def fcvt_s_d(hart: Hart, frs1: u64, rm: u64) -> u64:
    """From double to single precision."""
    return converted(hart, DOUBLE, SINGLE, frs1, rm)


@insn("fcvt.d.s frd, frs1, rm", "0100001 00000 frs1 rm frd 1010011", extension="D")
def fcvt_d_s(hart: Hart, frs1: u64, rm: u64) -> u64:
    """From single to double precision."""
    return converted(hart, SINGLE, DOUBLE, frs1, rm)


# Bits to and from integer registers


@insn("fmv.x.d rd, frs1", "1110001 00000 frs1 000 rd 1010011", extension="D")
def fmv_x_d(frs1: u64) -> u64:
    """The bits."""
    return frs1


@insn("fmv.d.x frd, rs1", "1111001 00000 rs1 000 frd 1010011", extension="D")
def fmv_d_x(rs1: u64) -> u64:
    """The bits."""
    return rs1
