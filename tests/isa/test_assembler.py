"""Assembler and disassembler against the GNU tools, and against each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringzero.isa.instruction import Instruction
from ringzero.isa.registry import BY_NAME, INSTRUCTIONS
from ringzero.isa.tools.assembler import AssemblyError, encode
from ringzero.isa.tools.disassembler import disassemble, listing
from ringzero.isa.tools.names import EXACT
from ringzero.isa.tools.program import assemble, assemble_text, labels, li
from ringzero.lang import u64

UNKNOWN_TO_GNU = frozenset({"Zicond", "Zacas"})  # binutils 2.40 has none of these
ZEROED = ("aq", "rl", "fm")  # fields that templates leave to suffixes and aliases


def sample(one: Instruction, chance: random.Random) -> int:
    """A word of an instruction with random operands, as far as a text can say them."""
    word = one.match
    for name, field in one.row.fields.items():
        if name not in one.operands and name not in ("aq", "rl"):
            continue
        value = field.extract(chance.getrandbits(32))
        if name == "rm":
            # objdump knows conversions that never round with rm = rne only
            value = 0 if one.name in EXACT else chance.choice((0, 1, 2, 3, 4, 7))
        if name in ("pred", "succ"):
            value = value or 15
        if name == "csr":
            value = chance.choice((0x001, 0x003, 0x100, 0x180, 0x300, 0x305, 0x341, 0xC00, 0xF14))
        word |= field.insert(value)
    return word


def samples(count: int, seed: int) -> list[tuple[Instruction, int]]:
    chance = random.Random(seed)
    return [(one, sample(one, chance)) for one in INSTRUCTIONS for _ in range(count)]


def test_texts_are_objdumps(gnu_texts: Callable[..., list[str]]) -> None:
    cases = [(o, w) for o, w in samples(8, seed=3) if o.extension not in UNKNOWN_TO_GNU]
    texts = gnu_texts([word for _, word in cases], "-M", "no-aliases")
    for index, ((one, word), text) in enumerate(zip(cases, texts, strict=True)):
        ours = disassemble(word, 4 * index)
        if one.may_jump_static:
            ours = "".join(ours.rpartition("0x")[::2])
        assert ours == text, f"{word:#010x}"


def test_words_are_the_gnu_assemblers(gnu_words: Callable[[Iterable[str]], list[int]]) -> None:
    cases = [(o, w) for o, w in samples(8, seed=4) if o.extension not in UNKNOWN_TO_GNU]
    cases = [(one, word) for one, word in cases if not one.may_jump_static]
    texts = [disassemble(word) for _, word in cases]
    for (_, word), text, gnu in zip(cases, texts, gnu_words(texts), strict=True):
        assert gnu == word, text


def test_text_and_word_are_inverse() -> None:
    for one, word in samples(8, seed=5):
        text = disassemble(word, 0x8000_0000)
        assert assemble(text, pc=0x8000_0000) == word, (one.name, text)


PSEUDO = """
nop; mv a0, a1; not a0, a1; neg a0, a1; negw a0, a1; sext.w a0, a1; zext.w a0, a1; zext.b a0, a1
seqz a0, a1; snez a0, a1; sltz a0, a1; sgtz a0, a1; beqz a0, .; bnez a0, . + 8; blez a0, .
bgez a0, .; bltz a0, .; bgtz a0, .; bgt a0, a1, .; ble a0, a1, .; bgtu a0, a1, .; bleu a0, a1, .
j . + 16; jal . - 4; jal t0, .; jr a0; jalr a0; jalr 8(a0); jalr a0, 8(a1); ret
csrr a0, mstatus; csrw mtvec, a0; csrs mie, a0; csrc mie, a0; csrwi fcsr, 3; csrsi mstatus, 8
csrci mstatus, 8; rdcycle a0; rdtime a1; rdinstret a2; frcsr a0; fscsr a0; frrm a0; fsrm a0
frflags a0; fsflags a0; fence; fence.tso; pause; fence rw, w; sfence.vma; sfence.vma a0
fmv.s fa0, fa1; fabs.s fa0, fa1; fneg.s fa0, fa1; fmv.d fa0, fa1; fabs.d fa0, fa1; fneg.d fa0, fa1
fadd.d fa0, fa1, fa2; fadd.d fa0, fa1, fa2, rtz; fcvt.d.w fa0, a0; fcvt.w.d a0, fa0, rtz
lr.w.aq a0, (a1); sc.d.rl a0, a1, (a2); amoadd.w.aqrl a0, a1, (a2); amoswap.d a0, a1, 0(a2)
prefetch.r 32(a0); prefetch.w -64(sp); prefetch.i 0(a0); cbo.zero (a0); cbo.clean 0(a0)
lui a0, 0xfffff; auipc a0, 0x10; lw a0, (a1); lb x5, -1(fp); csrrwi zero, 0x003, 5; sd s0, 16(sp)
"""


def test_pseudo_instructions_against_gnu(gnu_words: Callable[[Iterable[str]], list[int]]) -> None:
    texts = [text.strip() for line in PSEUDO.strip().splitlines() for text in line.split(";")]
    for text, gnu in zip(texts, gnu_words(texts), strict=True):
        assert assemble(text) == gnu, text


@given(st.one_of(st.integers(0, (1 << 64) - 1), st.integers(-(1 << 33), 1 << 33)))
def test_li_loads_the_constant(value: int) -> None:
    register, steps = u64(0), li("a0", value)
    assert len(steps) <= 8
    for step in steps:
        word = assemble(step)
        one = next(one for one in INSTRUCTIONS if word & one.mask == one.match)
        imm = u64(one.row.fields["imm" if "imm" in one.row.fields else "shamt"].extract(word))
        first = "rs1" in one.row.fields and one.row.fields["rs1"].extract(word) == 10
        given_by = {"rs1": register if first else u64(0), "imm": imm, "shamt": imm}
        register = one(*(given_by[name] for name in one.parameters))
    assert register == u64(value)


PROGRAM = """
    .equ COUNT, 3
start:
    li t0, COUNT          # a comment
1:  addi t0, t0, -1
    bnez t0, 1b
    beqz t0, 1f
    nop
1:  la a0, message        // another
    call start
    tail end
end: j .
    .align 3
message: .asciz "a # \\"b\\"\\n"
    .byte 1, -1, 'x'
    .balign 4
    .word end, 0x12345678
    .dword message + 1
    .zero 2
"""


def test_a_program() -> None:
    origin = 0x8000_0000
    code, names = assemble_text(PROGRAM, origin), labels(PROGRAM, origin)
    texts = {address: text for address, _, text in listing(code[:60], origin)}
    assert texts[origin + 8] == "bne t0,zero,0x80000004"
    assert texts[origin + 12] == "beq t0,zero,0x80000014"
    assert texts[names["end"]] == f"jal zero,{names['end']:#x}"
    assert names["message"] % 8 == 0
    data = code[names["message"] - origin :]
    assert data[:12] == b'a # "b"\n\0\x01\xffx'
    assert data[12:20] == names["end"].to_bytes(4, "little") + bytes.fromhex("78563412")
    assert data[20:] == (names["message"] + 1).to_bytes(8, "little") + b"\0\0"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("foo a0", "foo is not an instruction"),
        ("addi a0, a0, 2048", "2048 does not fit imm"),
        ("addi a0, a9, 1", "'a9' is not an integer register"),
        ("fadd.d a0, fa1, fa2", "'a0' is not a floating-point register"),
        ("lw a0, 4", "written 'lw rd, imm\\(rs1\\)', not '4'"),
        ("add a0, a1", "written 'add rd, rs1, rs2'"),
        ("amoadd.w a0, a1, 4(a2)", "takes no offset"),
        ("j nowhere", "nowhere is not defined"),
        ("beq a0, a1, 3", "does not fit imm"),
        ("lui a0, 0x100000", "does not fit 20 bits"),
        ("add.aq a0, a1, a2", "add.aq is not an instruction"),
        ("fence rw, wr", "'wr' is not a set of accesses"),
        ("csrr a0, nosuch", "'nosuch' is not a CSR"),
        ("prefetch.r 8(a0)", "not a multiple of 32"),
        ("addi a0, a0, 1 +", "not a number"),
        ("addi a0, a0,", "is missing"),
        (".frob 1", "not a directive"),
        (".byte 256", "does not fit 1 bytes"),
        (".ascii hello", "in quotes"),
        ("a: a: nop", "defined twice"),
        ("la a0, far", "2 GiB"),
    ],
)
def test_refused(text: str, sentence: str) -> None:
    with pytest.raises(AssemblyError, match=f"line 1.*{sentence}"):
        assemble_text(text, symbols={"far": 1 << 40})


def test_one_line_is_one_instruction() -> None:
    with pytest.raises(AssemblyError, match="8 bytes"):
        assemble("la a0, .")


def test_encode_refuses_what_is_not_there() -> None:
    assert encode(BY_NAME["addi"], rd=10, rs1=10, imm=1) == 0x0015_0513
    with pytest.raises(AssemblyError, match="no operand rs2; it takes imm, rs1, rd"):
        encode(BY_NAME["addi"], rs2=1)
    with pytest.raises(AssemblyError, match="addi: 32 does not fit rd"):
        encode(BY_NAME["addi"], rd=32)


def test_not_an_instruction() -> None:
    assert disassemble(0xFFFF_FFFF) == ".word 0xffffffff"
    assert disassemble(0) == ".half 0x0000"
    assert disassemble(0x4501) == "addi a0,zero,0"
