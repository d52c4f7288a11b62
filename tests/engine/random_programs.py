"""Random machine-mode programs with loops, traps, misses and stores into their own code.

A program is words at the start of RAM. It keeps its data near s0, counts loops in registers that
random instructions leave alone, and skips what traps. The seed decides everything.
"""

from __future__ import annotations

import random

from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM, Instruction
from ringzero.isa.registry import BY_NAME, INSTRUCTIONS
from ringzero.isa.tools.assembler import encode
from ringzero.isa.tools.program import assemble_text

BASE = 0x8000_0000
DATA = BASE + 0x1_0000
FREE = [*range(5, 8), *range(10, 18), *range(22, 32)]  # what random instructions write
DATA_REGISTER, CODE_REGISTER = 8, 9
COUNTERS = (18, 19, 20, 21)
EXCLUDED = ("Zicbom", "Zawrs", "Zifencei")

PROLOGUE = """
    la t0, handler
    csrw mtvec, t0
    li t0, 0x6000
    csrs mstatus, t0
    li s0, {data}
    li s1, {base}
    j body
.align 2
handler:
    csrw mscratch, t0
    csrr t0, mepc
    lhu t0, 0(t0)
    andi t0, t0, 3
    addi t0, t0, -3
    snez t0, t0
    slli t0, t0, 1
    neg t0, t0
    addi t0, t0, 4
    csrrw t0, mscratch, t0
    csrr t6, mscratch
    csrw mscratch, t0
    csrr t0, mepc
    add t0, t0, t6
    csrw mepc, t0
    csrr t0, mscratch
    mret
.align 3
body:
"""
EPILOGUE = "end:\n    wfi\n    j end\n"

PLAIN = [
    one
    for one in INSTRUCTIONS
    if one.kind not in (BRANCH, JUMP, SYSTEM) and one.extension not in EXCLUDED
]
FLOATS = [one for one in PLAIN if one.floats and one.extension != "Zfh"]
FLOAT_CSRS = (1, 1, 1, 2, 3)  # fflags, frm, fcsr
BRANCHES = [one for one in INSTRUCTIONS if one.kind is BRANCH]


def operands(one: Instruction, pick: random.Random) -> dict[str, int]:
    """Random operands; memory is near s0, sometimes far from it, sometimes the program itself."""
    chosen: dict[str, int] = {}
    for name, place in one.row.fields.items():
        if name in ("rd", "frd"):
            chosen[name] = pick.choice(FREE) if pick.random() < 0.95 else 0
        elif name in ("rs1", "rs2", "frs1", "frs2", "frs3"):
            chosen[name] = pick.choice(FREE)
        elif name == "imm" and place.signed:
            chosen[name] = pick.choice([pick.randint(-2048, 2047), 8 * pick.randint(-200, 200)])
        elif name == "rm":
            chosen[name] = pick.choice([0, 0, 0, 1, 2, 3, 4, 7, 7, 5])
    if one.memory and "rs1" in one.row.fields:
        chosen["rs1"] = DATA_REGISTER if pick.random() < 0.97 else pick.choice(FREE)
    return chosen


def word(one: Instruction, chosen: dict[str, int], pick: random.Random) -> int:
    """The instruction's word: bits that `chosen` does not name are random where the row is open."""
    open_bits = pick.getrandbits(32) & ~one.mask & 0xFFFF_FFFF
    value = one.match | open_bits
    for name, number in chosen.items():
        field = one.row.fields[name]
        for piece in field.pieces:
            value &= ~(piece.mask << piece.lsb)
            value |= ((number >> piece.shift) & piece.mask) << piece.lsb
    return value & 0xFFFF_FFFF


def float_csr(pick: random.Random) -> int:
    """An instruction that reads or writes fcsr or a part of it; rounding to nearest, mostly."""
    one = BY_NAME[pick.choice(["csrrs", "csrrs", "csrrsi", "csrrc", "csrrci", "csrrw", "csrrwi"])]
    csr = pick.choice(FLOAT_CSRS)
    reading = csr != 1 and pick.random() < 0.8
    if one.name.startswith("csrrw") and reading:
        one = BY_NAME["csrrs"]
    fields = {"rd": pick.choice(FREE), "csr": csr}
    if one.name.endswith("i"):
        fields["uimm"] = 0 if reading else pick.choice([0, 1, 1, 4, 16, 31])
    else:
        fields["rs1"] = 0 if reading else pick.choice(FREE)
    return word(one, fields, pick)


def block(pick: random.Random, count: int, floats: bool = False) -> list[int]:
    """Straight code with short forward branches; all kinds of it, or mostly floating point."""
    words = []
    for _ in range(count):
        if floats and pick.random() < 0.85:
            one = pick.choice(FLOATS)
            words.append(
                float_csr(pick) if pick.random() < 0.06 else word(one, operands(one, pick), pick)
            )
        elif pick.random() < 0.12:
            one = pick.choice(BRANCHES)
            fields = {"rs1": pick.choice(FREE), "rs2": pick.choice(FREE), "imm": 8}
            words.append(word(one, fields, pick))
        else:
            one = pick.choice(PLAIN)
            words.append(word(one, operands(one, pick), pick))
    words.append(0x0000_0013)
    return words


def patch(pick: random.Random, at: int) -> list[int]:
    """Replace the word at an offset from BASE by another instruction, then fence.i."""
    new = block(pick, 1)[0]
    high = (new + 0x800) >> 12 & 0xFFFFF
    low = new - (high << 12)
    low = (low + 2048) % 4096 - 2048
    address = [(at + 0x800) >> 12, (at + 2048) % 4096 - 2048]
    return [
        encode(BY_NAME["lui"], rd=5, imm=(high << 12) - (1 << 32) * (high >> 19)),
        encode(BY_NAME["addiw"], rd=5, rs1=5, imm=low),
        encode(BY_NAME["lui"], rd=6, imm=address[0] << 12),
        encode(BY_NAME["add"], rd=6, rs1=6, rs2=CODE_REGISTER),
        encode(BY_NAME["sw"], rs1=6, rs2=5, imm=address[1]),
        encode(BY_NAME["fence.i"], rd=0, rs1=0, imm=0),
    ]


def program(
    seed: int, loops: int = 4, turns: int = 40, floats: bool = False, base: int = BASE
) -> bytes:
    """The bytes of a random program at an address."""
    pick = random.Random(seed)
    start = assemble_text(PROLOGUE.format(data=DATA, base=base), base)
    words: list[int] = []
    for index in range(loops):
        counter = COUNTERS[index % len(COUNTERS)]
        words.append(encode(BY_NAME["addi"], rd=counter, rs1=0, imm=turns))
        head = len(words)
        words += block(pick, pick.randint(4, 30), floats)
        if pick.random() < 0.5:
            words += patch(pick, len(start) + 4 * pick.randrange(head, len(words) - 1))
        words.append(encode(BY_NAME["addi"], rd=counter, rs1=counter, imm=-1))
        back = 4 * (head - len(words))
        words.append(encode(BY_NAME["bne"], rs1=counter, rs2=0, imm=back))
    body = b"".join(w.to_bytes(4, "little") for w in words)
    return start + body + assemble_text(EPILOGUE, base + len(start) + len(body))


def page_of_loops(pick: random.Random) -> bytes:
    """A page of loops that end; some of them call the machine mode in between."""
    words: list[int] = []
    while len(words) < 940:
        counter = pick.choice(COUNTERS)
        words.append(encode(BY_NAME["addi"], rd=counter, rs1=0, imm=pick.randint(2, 30)))
        head = len(words)
        words += block(pick, pick.randint(3, 24))
        if pick.random() < 0.3:
            words.append(encode(BY_NAME["ecall"]))
        words.append(encode(BY_NAME["addi"], rd=counter, rs1=counter, imm=-1))
        words.append(encode(BY_NAME["blt"], rs1=0, rs2=counter, imm=4 * (head - len(words))))
    words += [0x0000_0013] * (1023 - len(words))
    words.append(encode(BY_NAME["jal"], rd=0, imm=-4 * 1023))
    return b"".join(word.to_bytes(4, "little") for word in words)


def registers(seed: int) -> list[int]:
    """Random initial values for x1..x31 and f0..f31."""
    pick = random.Random(seed ^ 0x5EED)
    special = [0, 1, (1 << 64) - 1, 1 << 63, 0x7FF0 << 48, 0xFFFF_FFFF_3F80_0000, DATA]
    return [
        pick.choice(special) if pick.random() < 0.4 else pick.getrandbits(64) for _ in range(64)
    ]
