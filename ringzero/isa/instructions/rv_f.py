"""F, single precision (unprivileged spec, "F" extension).

Single values stand boxed in 64-bit registers; arithmetic rounds by rm and accrues fflags.
"""

from __future__ import annotations

from ringzero.isa.extend import sext32
from ringzero.isa.floating import box, chosen, compared, floating, fused, integer, one, two, unbox
from ringzero.isa.footprint import Load, Store
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import insn
from ringzero.isa.privileged.access import load, store
from ringzero.isa.softfloat import (
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
    f32_add,
    f32_div,
    f32_mul,
    f32_mul_add,
    f32_sqrt,
    f32_sub,
)
from ringzero.lang import i32, i64, u32, u64

# Loads and stores


@insn("flw frd, imm(rs1)", "imm[11:0] rs1 010 frd 0000111", extension="F", access=Load(u32))
def flw(hart: Hart, rs1: u64, imm: u64) -> u64:
    """Load a word, boxed."""
    return box(SINGLE, load(hart, u32, rs1 + imm))


@insn(
    "fsw frs2, imm(rs1)",
    "imm[11:5] frs2 rs1 010 imm[4:0] 0100111",
    extension="F",
    access=Store(u32),
)
def fsw(hart: Hart, rs1: u64, frs2: u64, imm: u64) -> None:
    """Store a word, as it stands in the register."""
    store(hart, u32, rs1 + imm, frs2)


# Arithmetic


@insn("fadd.s frd, frs1, frs2, rm", "0000000 frs2 frs1 rm frd 1010011", extension="F")
def fadd_s(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The sum."""
    return two(hart, SINGLE, f32_add, frs1, frs2, rm)


@insn("fsub.s frd, frs1, frs2, rm", "0000100 frs2 frs1 rm frd 1010011", extension="F")
def fsub_s(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The difference."""
    return two(hart, SINGLE, f32_sub, frs1, frs2, rm)


@insn("fmul.s frd, frs1, frs2, rm", "0001000 frs2 frs1 rm frd 1010011", extension="F")
def fmul_s(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The product."""
    return two(hart, SINGLE, f32_mul, frs1, frs2, rm)


@insn("fdiv.s frd, frs1, frs2, rm", "0001100 frs2 frs1 rm frd 1010011", extension="F")
def fdiv_s(hart: Hart, frs1: u64, frs2: u64, rm: u64) -> u64:
    """The quotient."""
    return two(hart, SINGLE, f32_div, frs1, frs2, rm)


@insn("fsqrt.s frd, frs1, rm", "0101100 00000 frs1 rm frd 1010011", extension="F")
def fsqrt_s(hart: Hart, frs1: u64, rm: u64) -> u64:
    """The square root."""
    return one(hart, SINGLE, f32_sqrt, frs1, rm)


@insn("fmadd.s frd, frs1, frs2, frs3, rm", "frs3 00 frs2 frs1 rm frd 1000011", extension="F")
def fmadd_s(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """frs1 * frs2 + frs3, rounded once."""
    return fused(hart, SINGLE, f32_mul_add, 0, frs1, frs2, frs3, rm)


@insn("fmsub.s frd, frs1, frs2, frs3, rm", "frs3 00 frs2 frs1 rm frd 1000111", extension="F")
def fmsub_s(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """frs1 * frs2 - frs3, rounded once."""
    return fused(hart, SINGLE, f32_mul_add, 2, frs1, frs2, frs3, rm)


@insn("fnmsub.s frd, frs1, frs2, frs3, rm", "frs3 00 frs2 frs1 rm frd 1001011", extension="F")
def fnmsub_s(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """-(frs1 * frs2) + frs3, rounded once."""
    return fused(hart, SINGLE, f32_mul_add, 1, frs1, frs2, frs3, rm)


@insn("fnmadd.s frd, frs1, frs2, frs3, rm", "frs3 00 frs2 frs1 rm frd 1001111", extension="F")
def fnmadd_s(hart: Hart, frs1: u64, frs2: u64, frs3: u64, rm: u64) -> u64:
    """-(frs1 * frs2) - frs3, rounded once."""
    return fused(hart, SINGLE, f32_mul_add, 3, frs1, frs2, frs3, rm)


# Signs, choices, comparisons, classes


@insn("fsgnj.s frd, frs1, frs2", "0010000 frs2 frs1 000 frd 1010011", extension="F")
def fsgnj_s(frs1: u64, frs2: u64) -> u64:
    """The magnitude of frs1 with the sign of frs2."""
    return box(SINGLE, copy_sign(SINGLE, unbox(SINGLE, frs1), unbox(SINGLE, frs2)))


@insn("fsgnjn.s frd, frs1, frs2", "0010000 frs2 frs1 001 frd 1010011", extension="F")
def fsgnjn_s(frs1: u64, frs2: u64) -> u64:
    """The magnitude of frs1 with the opposite of frs2's sign."""
    return box(SINGLE, copy_sign(SINGLE, unbox(SINGLE, frs1), ~unbox(SINGLE, frs2)))


@insn("fsgnjx.s frd, frs1, frs2", "0010000 frs2 frs1 010 frd 1010011", extension="F")
def fsgnjx_s(frs1: u64, frs2: u64) -> u64:
    """frs1 with the product of the signs."""
    return box(
        SINGLE, copy_sign(SINGLE, unbox(SINGLE, frs1), unbox(SINGLE, frs1) ^ unbox(SINGLE, frs2))
    )


@insn("fmin.s frd, frs1, frs2", "0010100 frs2 frs1 000 frd 1010011", extension="F")
def fmin_s(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """The lesser; a number rather than a NaN."""
    return chosen(hart, SINGLE, minimum, frs1, frs2)


@insn("fmax.s frd, frs1, frs2", "0010100 frs2 frs1 001 frd 1010011", extension="F")
def fmax_s(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """The greater; a number rather than a NaN."""
    return chosen(hart, SINGLE, maximum, frs1, frs2)


@insn("feq.s rd, frs1, frs2", "1010000 frs2 frs1 010 rd 1010011", extension="F")
def feq_s(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether equal; quiet."""
    return compared(hart, SINGLE, equal, frs1, frs2)


@insn("flt.s rd, frs1, frs2", "1010000 frs2 frs1 001 rd 1010011", extension="F")
def flt_s(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether less; signaling."""
    return compared(hart, SINGLE, less_than, frs1, frs2)


@insn("fle.s rd, frs1, frs2", "1010000 frs2 frs1 000 rd 1010011", extension="F")
def fle_s(hart: Hart, frs1: u64, frs2: u64) -> u64:
    """Whether less or equal; signaling."""
    return compared(hart, SINGLE, less_or_equal, frs1, frs2)


@insn("fclass.s rd, frs1", "1110000 00000 frs1 001 rd 1010011", extension="F")
def fclass_s(frs1: u64) -> u64:
    """The class, one bit of ten."""
    return classify(SINGLE, unbox(SINGLE, frs1))


# Conversions


@insn("fcvt.w.s rd, frs1, rm", "1100000 00000 frs1 rm rd 1010011", extension="F")
def fcvt_w_s(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As a signed word."""
    return integer(hart, SINGLE, i32, frs1, rm)


@insn("fcvt.wu.s rd, frs1, rm", "1100000 00001 frs1 rm rd 1010011", extension="F")
def fcvt_wu_s(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As an unsigned word."""
    return integer(hart, SINGLE, u32, frs1, rm)


@insn("fcvt.l.s rd, frs1, rm", "1100000 00010 frs1 rm rd 1010011", extension="F")
def fcvt_l_s(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As a signed doubleword."""
    return integer(hart, SINGLE, i64, frs1, rm)


@insn("fcvt.lu.s rd, frs1, rm", "1100000 00011 frs1 rm rd 1010011", extension="F")
def fcvt_lu_s(hart: Hart, frs1: u64, rm: u64) -> u64:
    """As an unsigned doubleword."""
    return integer(hart, SINGLE, u64, frs1, rm)


@insn("fcvt.s.w frd, rs1, rm", "1101000 00000 rs1 rm frd 1010011", extension="F")
def fcvt_s_w(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From a signed word."""
    return floating(hart, SINGLE, i32, rs1, rm)


@insn("fcvt.s.wu frd, rs1, rm", "1101000 00001 rs1 rm frd 1010011", extension="F")
def fcvt_s_wu(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From an unsigned word."""
    return floating(hart, SINGLE, u32, rs1, rm)


@insn("fcvt.s.l frd, rs1, rm", "1101000 00010 rs1 rm frd 1010011", extension="F")
def fcvt_s_l(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From a signed doubleword."""
    return floating(hart, SINGLE, i64, rs1, rm)


@insn("fcvt.s.lu frd, rs1, rm", "1101000 00011 rs1 rm frd 1010011", extension="F")
def fcvt_s_lu(hart: Hart, rs1: u64, rm: u64) -> u64:
    """From an unsigned doubleword."""
    return floating(hart, SINGLE, u64, rs1, rm)


# Bits to and from integer registers


@insn("fmv.x.w rd, frs1", "1110000 00000 frs1 000 rd 1010011", extension="F")
def fmv_x_w(frs1: u64) -> u64:
    """The bits, sign-extended, boxed or not."""
    return sext32(frs1)


@insn("fmv.w.x frd, rs1", "1111000 00000 rs1 000 frd 1010011", extension="F")
def fmv_w_x(rs1: u64) -> u64:
    """The bits, boxed."""
    return box(SINGLE, rs1)
