"""A buffer in which the code of a trampoline is written, instruction by instruction.

A trampoline keeps the registers that it uses in fields of the CSR page (`begin`), asks the
hypervisor by an ebreak at its end where it cannot go on (`ask_if`), and gives the registers back
after its commit (`finish`).
"""

from __future__ import annotations

from ringzero.hypervisor.techniques.translate import csr_page
from ringzero.isa.encoding import Field
from ringzero.isa.registry import BY_NAME
from ringzero.lang import Array, Struct, field, native, typed_range, u32, u64

TEMPORARIES = (5, 6, 7, 28, 29, 30, 31, 10, 11)  # t0 to t6, a0, a1
LD, SD, LBU, JALR, JAL, BNE, BEQ, BGEU = (
    BY_NAME[name].match for name in ("ld", "sd", "lbu", "jalr", "jal", "bne", "beq", "bgeu")
)
ANDI, ORI, XORI, ADDI, SLLI, SRLI = (
    BY_NAME[name].match for name in ("andi", "ori", "xori", "addi", "slli", "srli")
)
LUI, ADD, SRL = BY_NAME["lui"].match, BY_NAME["add"].match, BY_NAME["srl"].match
AND, XOR, EBREAK = BY_NAME["and"].match, BY_NAME["xor"].match, BY_NAME["ebreak"].match
JUMP_FIELD: Field = BY_NAME["jal"].row.fields["imm"]
BRANCH_FIELD: Field = BY_NAME["beq"].row.fields["imm"]


class CodeBuffer(Struct):
    """The code of one trampoline."""

    code: Array[u32] = field(48)
    count: u64
    commit: u64  # the index of the first instruction after which all is done
    first: u64  # registers that are kept in SAVED and SAVED_TOO; 0 for none
    second: u64
    outs: u64  # a bit for each branch to the end, where the hypervisor is asked
    stores: bool  # its landing pad is one of those for stores


buffer = CodeBuffer()


@native
def add(word: u64) -> None:
    """One more instruction."""
    buffer.code[buffer.count] = u32(word)
    buffer.count += 1


@native
def with_immediate(match: int, rd: u64, rs1: u64, value: int) -> None:
    """`rd, rs1, value`, or `rd, value(rs1)`."""
    add(rd << 7 | rs1 << 15 | (match | (value & 0xFFF) << 20))


@native
def with_registers(match: int, rd: u64, rs1: u64, rs2: u64) -> None:
    """`rd, rs1, rs2`."""
    add(rd << 7 | rs1 << 15 | rs2 << 20 | match)


@native
def load_field(rd: u64, field: int) -> None:
    """ld rd, field(x0)"""
    with_immediate(LD, rd, u64(0), field)


@native
def store_field(rs2: u64, field: int) -> None:
    """sd rs2, field(x0)"""
    add(store_to(rs2, field))


@native
def store_to(rs2: u64, field: int) -> u64:
    """The instruction `sd rs2, field(x0)`."""
    return rs2 << 20 | (SD | (field & 31) << 7 | (field >> 5 & 127) << 25)


@native
def scatter(value: u64, field: Field) -> u64:
    """The bits of a word that say an immediate."""
    word = u64(0)
    for piece in field.pieces:
        word = word | (value >> piece.shift & piece.mask) << piece.lsb
    return word


@native
def other(taken: u64) -> u64:
    """A temporary register whose bit is not in `taken`."""
    for register in TEMPORARIES:
        if taken >> register & 1 == 0:
            return u64(register)
    return u64(0)


@native
def bits(a: u64, b: u64, c: u64) -> u64:
    """The bits of registers."""
    return u64(1) << a | u64(1) << b | u64(1) << c


@native
def begin(first: u64, second: u64) -> None:
    """A new piece of code, with the registers that it keeps and uses."""
    buffer.count, buffer.outs, buffer.stores = 0, 0, False
    buffer.first, buffer.second = first, second
    store_field(first, csr_page.SAVED)
    if second != 0:
        store_field(second, csr_page.SAVED_TOO)


@native
def ask_if(match: int, register: u64) -> None:
    """Ask the hypervisor if a register is zero (BEQ), or if it is not (BNE)."""
    ask_if_both(match, register, u64(0))


@native
def ask_if_both(match: int, one: u64, two: u64) -> None:
    """Ask the hypervisor if a branch on two registers is taken."""
    buffer.outs = buffer.outs | u64(1) << buffer.count
    with_registers(match, u64(0), one, two)


@native
def finish(link: u64, result: u64) -> None:
    """What comes after the commit: the result is in OLD; registers come back; so does the guest."""
    buffer.commit = buffer.count
    if result != 0:
        load_field(result, csr_page.OLD)
    if buffer.second != 0:
        load_field(buffer.second, csr_page.SAVED_TOO)
    if buffer.first != result:
        load_field(buffer.first, csr_page.SAVED)
    with_immediate(JALR, u64(0), link, 0)
    if buffer.outs != 0:
        for i in typed_range(buffer.count):
            if buffer.outs >> i & 1 != 0:
                patch(i)
        add(u64(EBREAK))


@native
def patch(index: u64) -> None:
    """Let a branch go to what comes next."""
    distance = scatter((buffer.count - index) * 4, BRANCH_FIELD)
    buffer.code[index] = buffer.code[index] | u32(distance)
