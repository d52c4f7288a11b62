"""Random privileged instructions as a program that prints a hash of what they leave behind.

A seed makes CSR accesses, legal or not, returns, fences and system calls. Hashed is what each
leaves in a register, and the scause and stval of each trap. Left out is what may differ by nature:
time and counters' values.
"""

from __future__ import annotations

import random
from pathlib import Path

from ringzero.isa.csrs.registry import NUMBERS
from ringzero.lang.image import READ, WRITE, Label, Segment, write
from tests.hypervisor.carriers import ENTRY, RUNTIME
from tests.limits import HUNG

STEPS = 400
FREE = ["sscratch", "sepc", "scause", "stval", "scounteren", "sie", "sip", "senvcfg", "sstatus",
        "fcsr", "frm", "fflags", "sstateen0", "sstateen1"]  # fmt: skip
GUARDED = ["stvec", "satp", "stimecmp"]  # written with care: see `step`
COUNTERS = {"cycle", "time", "instret"}
READ_ONLY = [name for name, number in NUMBERS.items() if number >> 10 == 3]
MACHINE = [name for name, number in NUMBERS.items() if number >> 8 & 3 == 3]
NOWHERE = [0x000 + 0x0F0, 0x5C0, 0x7C0, 0x9C0, 0x240, 0x600]
OPERATIONS = ["csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"]
PLAIN = ["mret", "sfence.vma", "sfence.vma t1, t2", "wfi", "ebreak", "sret", "ecall_u", "fadd"]


def step(chance: random.Random) -> list[str]:
    kind = chance.random()
    if kind < 0.12:
        return plain(chance.choice(PLAIN))
    if kind < 0.7:
        name = chance.choice(FREE)
    elif kind < 0.85:
        name = str(chance.choice([*MACHINE, *READ_ONLY, *NOWHERE]))
    else:
        name = chance.choice(GUARDED)
    operation = chance.choice(OPERATIONS)
    if name in COUNTERS:
        operation, target = "csrrw", "x0"  # a write to what is read-only
    else:
        target = chance.choice(["t3", "t3", "x0", "s1", "t1"])
    if name == "stvec":
        return [f"csrr {target if target != 'x0' else 't3'}, stvec"]
    if name == "satp":
        return [f"li t1, {chance.choice([1, 7, 11, 15]) << 60 | 5}", "csrrw t3, satp, t1"]
    if name == "stimecmp":
        return [f"li t1, {1 << 62 | chance.getrandbits(60)}", f"csrrw {target}, stimecmp, t1"]
    value = chance.choice([chance.getrandbits(64), 1 << chance.randrange(64), 0, 2**64 - 1])
    source = chance.choice(["t1", "x0"])
    if operation.endswith("i"):
        source = str(chance.randrange(32))
    return [f"li t1, {value}", f"{operation} {target}, {name}, {source}"]


def plain(what: str) -> list[str]:
    if what == "sret":  # to S or to U, where the next instruction traps back
        return ["la t1, 1f", "csrw sepc, t1", "sret", "1: csrr t3, sstatus"]
    if what == "wfi":  # something must be pending, or it would wait
        return ["csrci sstatus, 2", "csrsi sip, 2", "csrsi sie, 2", "wfi", "csrci sip, 2"]
    if what == "ecall_u":
        return ["li t1, 0x100", "csrc sstatus, t1", "la t1, 1f", "csrw sepc, t1", "sret",
                "1: ecall"]  # fmt: skip
    if what == "fadd":
        return ["fadd.d f1, f2, f3", "csrr t3, sstatus"]
    return [what]


MIX = """
mix:                            # t6 is the hash; a0 goes into it
    xor t6, t6, a0
    li t5, 0x9E3779B97F4A7C15
    mul t6, t6, t5
    srli t5, t6, 29
    xor t6, t6, t5
    ret
"""


HANDLER = """
.align 2
trapped:                        # every trap comes back to S after its instruction
    mv s2, ra
    mv s3, a0
    mv s4, t5
    csrr a0, scause
    csrr s6, sepc
    bltz a0, 1f
    addi s6, s6, 4
    j 2f
1:  csrci sip, 2                # an interrupt: withdraw it, and go on where it struck
2:  call mix
    csrr a0, stval
    call mix
    la t5, start
    sub a0, s6, t5
    call mix
    csrr a0, sstatus
    call mix
    csrw sepc, s6
    li t5, 0x100
    csrs sstatus, t5
    mv t5, s4
    mv a0, s3
    mv ra, s2
    sret
"""


def program(seed: int) -> str:
    chance = random.Random(seed)
    lines = ["start:", "la t0, trapped", "csrw stvec, t0", "csrw satp, x0", "li t6, 1"]
    lines += ["li t3, 0", "li s1, 0", "li t1, 0", "li t2, 0", "csrw scounteren, x0"]
    lines += ["csrw sie, x0", "csrw sip, x0", "li t4, -1", "csrw stimecmp, t4"]
    lines += ["li t4, 0x6000", "csrs sstatus, t4", "fmv.d.x f2, x0", "fmv.d.x f3, x0"]
    for index in range(STEPS):
        lines += step(chance)
        # registers are mixed in S: an ebreak-free way back from U is any trap
        lines += ["csrr t4, sscratch", "mv a0, t3", "call mix", "mv a0, s1", "call mix"]
        if index % 20 == 19:
            lines += ["li t4, 0x40000", "csrci sstatus, 2", "csrw sie, x0", "mv a0, t6"]
            lines += ["call number", "call line"]
    lines += ["li a0, 0", "call finish"]
    return "\n".join([*lines, MIX, HANDLER, RUNTIME])


def bare(code: bytes, folder: Path) -> list[str]:
    """What the program prints above the built-in firmware."""
    from ringzero import Machine

    file = folder / "kernel.elf"
    segment = Segment(ENTRY, code, len(code), READ | WRITE | 1)
    file.write_bytes(write([segment], {"start": Label(ENTRY, 4, True)}, ENTRY))
    # Without H, as for guests of the hypervisor.
    with Machine(
        kernel=file, memory="64M", clock="instructions", hypervisor_extension=False
    ) as machine:
        machine.run(timeout=HUNG)
        return machine.recorder.data.decode().split()
