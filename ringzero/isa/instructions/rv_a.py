"""A, atomic instructions: Zalrsc and Zaamo (unprivileged spec, "A" extension).

An AMO or sc is sequentially consistent, which is stronger than any aq and rl bits ask for; lr is an
acquire, whatever its bits. They must be naturally aligned; `access` raises where they are not.
"""

from __future__ import annotations

from ringzero.isa.extend import sext32
from ringzero.isa.footprint import Amo, LoadReserved, StoreConditional
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import insn
from ringzero.isa.privileged.access import amo, load_reserved, store_conditional
from ringzero.lang import u32, u64


@insn(
    "lr.w rd, (rs1)",
    "00010 aq rl 00000 rs1 010 rd 0101111",
    extension="A",
    access=LoadReserved(u32),
)
def lr_w(hart: Hart, rs1: u64) -> u64:
    """Load a word, sign-extended, and reserve its place."""
    return sext32(load_reserved(hart, u32, rs1))


@insn(
    "sc.w rd, rs2, (rs1)",
    "00011 aq rl rs2 rs1 010 rd 0101111",
    extension="A",
    access=StoreConditional(u32),
)
def sc_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Store a word if the reservation holds: 0 if it did."""
    return store_conditional(hart, u32, rs1, rs2)


@insn(
    "lr.d rd, (rs1)",
    "00010 aq rl 00000 rs1 011 rd 0101111",
    extension="A",
    access=LoadReserved(u64),
)
def lr_d(hart: Hart, rs1: u64) -> u64:
    """Load a doubleword and reserve its place."""
    return load_reserved(hart, u64, rs1)


@insn(
    "sc.d rd, rs2, (rs1)",
    "00011 aq rl rs2 rs1 011 rd 0101111",
    extension="A",
    access=StoreConditional(u64),
)
def sc_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Store a doubleword if the reservation holds: 0 if it did."""
    return store_conditional(hart, u64, rs1, rs2)


@insn(
    "amoswap.w rd, rs2, (rs1)", "00001 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amoswap_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Exchange a register with a word; what it held before."""
    return sext32(amo(hart, "xchg", u32, rs1, rs2))


@insn(
    "amoadd.w rd, rs2, (rs1)", "00000 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amoadd_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Add to a word; what it held before."""
    return sext32(amo(hart, "add", u32, rs1, rs2))


@insn(
    "amoxor.w rd, rs2, (rs1)", "00100 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amoxor_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Exclusive or into a word; what it held before."""
    return sext32(amo(hart, "xor", u32, rs1, rs2))


@insn(
    "amoand.w rd, rs2, (rs1)", "01100 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amoand_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """And into a word; what it held before."""
    return sext32(amo(hart, "and", u32, rs1, rs2))


@insn(
    "amoor.w rd, rs2, (rs1)", "01000 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amoor_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Or into a word; what it held before."""
    return sext32(amo(hart, "or", u32, rs1, rs2))


@insn(
    "amomin.w rd, rs2, (rs1)", "10000 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amomin_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Put the lesser, signed, into a word; what it held before."""
    return sext32(amo(hart, "min", u32, rs1, rs2))


@insn(
    "amomax.w rd, rs2, (rs1)", "10100 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amomax_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Put the greater, signed, into a word; what it held before."""
    return sext32(amo(hart, "max", u32, rs1, rs2))


@insn(
    "amominu.w rd, rs2, (rs1)", "11000 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amominu_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Put the lesser, unsigned, into a word; what it held before."""
    return sext32(amo(hart, "umin", u32, rs1, rs2))


@insn(
    "amomaxu.w rd, rs2, (rs1)", "11100 aq rl rs2 rs1 010 rd 0101111", extension="A", access=Amo(u32)
)
def amomaxu_w(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Put the greater, unsigned, into a word; what it held before."""
    return sext32(amo(hart, "umax", u32, rs1, rs2))


@insn(
    "amoswap.d rd, rs2, (rs1)", "00001 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amoswap_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Exchange a register with a doubleword; what it held before."""
    return amo(hart, "xchg", u64, rs1, rs2)


@insn(
    "amoadd.d rd, rs2, (rs1)", "00000 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amoadd_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Add to a doubleword; what it held before."""
    return amo(hart, "add", u64, rs1, rs2)


@insn(
    "amoxor.d rd, rs2, (rs1)", "00100 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amoxor_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Exclusive or into a doubleword; what it held before."""
    return amo(hart, "xor", u64, rs1, rs2)


@insn(
    "amoand.d rd, rs2, (rs1)", "01100 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amoand_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """And into a doubleword; what it held before."""
    return amo(hart, "and", u64, rs1, rs2)


@insn(
    "amoor.d rd, rs2, (rs1)", "01000 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amoor_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Or into a doubleword; what it held before."""
    return amo(hart, "or", u64, rs1, rs2)


@insn(
    "amomin.d rd, rs2, (rs1)", "10000 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amomin_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Put the lesser, signed, into a doubleword; what it held before."""
    return amo(hart, "min", u64, rs1, rs2)


@insn(
    "amomax.d rd, rs2, (rs1)", "10100 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amomax_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Put the greater, signed, into a doubleword; what it held before."""
    return amo(hart, "max", u64, rs1, rs2)


@insn(
    "amominu.d rd, rs2, (rs1)", "11000 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amominu_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Put the lesser, unsigned, into a doubleword; what it held before."""
    return amo(hart, "umin", u64, rs1, rs2)


@insn(
    "amomaxu.d rd, rs2, (rs1)", "11100 aq rl rs2 rs1 011 rd 0101111", extension="A", access=Amo(u64)
)
def amomaxu_d(hart: Hart, rs1: u64, rs2: u64) -> u64:
    """Put the greater, unsigned, into a doubleword; what it held before."""
    return amo(hart, "umax", u64, rs1, rs2)
