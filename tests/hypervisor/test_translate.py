"""Translated kernels: what is rewritten means the same, also where code changes under it.

The random programs of test_same_state run several times over, so that what trapped at first is
executed as it was rewritten; self-modifying kernels put one sensitive instruction in another's
place. What they print is compared with a bare run.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ringzero.board import sbi
from ringzero.hypervisor.host import report
from ringzero.hypervisor.host.build import Guest, build
from ringzero.isa.tools.program import assemble, assemble_text
from tests.hypervisor.carriers import CARRIERS, ENTRY, RUNTIME, small, technique
from tests.hypervisor.random_privileged import HANDLER, MIX, STEPS, bare, program
from tests.limits import HUNG

ROUNDS = 3


def translated(code: bytes, eagerness: int = 1) -> Guest:
    return Guest(code, memory=8 << 20, technique="translate", eagerness=eagerness)


def run(code: bytes, folder: Path, eagerness: int = 1) -> tuple[list[str], dict[str, int]]:
    """What a guest prints on this package's machine, and what its translation came to."""
    from ringzero import Machine

    built = build([translated(code, eagerness)])
    file = folder / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory=built.memory, clock="instructions") as machine:
        machine.run(timeout=HUNG)
        (one,) = report.read(built.image, machine.read_memory)
        return machine.recorder.data.decode().split(), one.translation


def hot(seed: int) -> str:
    """A program of test_same_state, several times over."""
    text = program(seed).replace("start:", f"li s7, {ROUNDS}\nstart:", 1)
    again = "addi s7, s7, -1\nbeqz s7, ended\nj start\nended:\nli a0, 0\ncall finish"
    return text.replace("li a0, 0\ncall finish", again, 1)


@pytest.mark.parametrize("seed", range(100, 104))
def test_hot_code_same_as_bare(seed: int, tmp_path: Path) -> None:
    code = assemble_text(hot(seed), ENTRY)
    expected = bare(code, tmp_path)
    assert len(expected) == ROUNDS * STEPS // 20
    printed, translation = run(code, tmp_path)
    assert printed == expected
    assert translation["rewritten"] > 30
    assert translation["trampolines"] > 5


SENSITIVE = [
    "csrr t3, sstatus", "csrrci t3, sstatus, 2", "csrrci x0, sstatus, 2", "csrrsi t3, sstatus, 2",
    "csrr t3, sscratch", "csrw sscratch, t6", "csrrw t3, sscratch, t6", "csrw sepc, t6",
    "csrr t3, sepc", "csrr t3, scause", "csrw stval, t6", "csrr t3, stval", "csrrs t3, sstatus, s1",
    "csrrc t3, sstatus, s1", "csrrw t3, sstatus, s1", "sfence.vma t6, x0", "sfence.vma",
    "addi t3, t3, 5", "csrr t3, stvec", "csrw sstatus, s1",
]  # fmt: skip


def changing(seed: int) -> str:
    """A kernel that writes a random instruction into its own loop, and runs that a few times."""
    chance = random.Random(seed)
    words = [assemble(chance.choice(SENSITIVE)) for _ in range(60)]
    table = "\n".join(f".word {word}" for word in words)
    return f"""
start:
    la t0, trapped
    csrw stvec, t0
    csrw sie, x0
    li t6, 1
    li t3, 0
    la s5, words
    li s7, {len(words)}
next:
    lw t1, 0(s5)
    la t0, site
    sw t1, 0(t0)
    fence.i
    li s8, {chance.randrange(2, 6)}
again:
    andi s1, t6, 0x122
    nop
site:
    nop
    mv a0, t3
    call mix
    csrr a0, sstatus
    call mix
    csrr a0, sscratch
    call mix
    csrr a0, sepc
    call mix
    addi s8, s8, -1
    bnez s8, again
    addi s5, s5, 4
    addi s7, s7, -1
    mv a0, t6
    call number
    call line
    bnez s7, next
    li a0, 0
    call finish
{MIX}
{HANDLER}
{RUNTIME}
.balign 4
words:
{table}
"""


@pytest.mark.parametrize("seed", range(4))
def test_changing_code_same_as_bare(seed: int, tmp_path: Path) -> None:
    code = assemble_text(changing(seed), ENTRY)
    expected = bare(code, tmp_path)
    assert len(expected) == 60
    printed, translation = run(code, tmp_path)
    assert printed == expected
    assert translation["rewritten"] > 0
    assert translation["dropped"] > 0


TOGGLES = """
    li s1, 2000
1:  csrrci t0, sstatus, 2
    csrrsi x0, sstatus, 2
    li ra, 0
    addi s1, s1, -1
    bnez s1, 1b
    li a0, 0
    call finish
"""


def test_toggles_take_few_instructions(tmp_path: Path) -> None:
    code = assemble_text(TOGGLES + RUNTIME, ENTRY)
    built = build([translated(code, eagerness=2)], report=True)
    ended = CARRIERS["machine"](built, tmp_path)
    lines = ended.output.splitlines()
    (count,) = [int(line.split()[-1]) for line in lines if line.startswith("kernel instructions")]
    assert ended.code == 0
    assert 2 * 4 < count / 2000 - 3 < 2 * 12  # a pair, without the loop around it
    (exits,) = [int(line.split()[3]) for line in lines if "csr 0x100" in line]
    assert exits < 10


def test_sites_are_listed_with_exact_counts(tmp_path: Path) -> None:
    from ringzero import Machine
    from ringzero.hypervisor.host import listing

    code = assemble_text(TOGGLES + RUNTIME, ENTRY)
    built = build([translated(code, eagerness=2)], count_sites=True)
    file = tmp_path / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory=built.memory, clock="instructions") as machine:
        machine.run(timeout=HUNG)
        found = listing.read(built.image, machine.read_memory, 0, None)
    assert [(one.before, one.count) for one in found if one.count > 2] == [
        ("csrrci t0,sstatus,2", 2000), ("csrrsi zero,sstatus,2", 2000)
    ]  # fmt: skip
    assert all(one.after.startswith("jalr ra,-") for one in found)
    assert "csrrci t0,sstatus,2" in listing.text(found)


READ_CODE = f"""
    li t0, 3
    csrw sscratch, t0
    li s1, 8
1:  call changed                # its csrr is rewritten in the page's copy
    addi s1, s1, -1
    bnez s1, 1b
    la s2, changed
    addi s3, s2, 4
2:  li a0, 1
    mv a1, s2
    li a2, 0
    li a6, {sbi.CONSOLE_READ}
    li a7, {sbi.DBCN}
    ecall
    add s2, s2, a1
    bne s2, s3, 2b
    fence.i
    call changed
    call finish
.balign 4096
changed:
    csrr a0, sscratch
    ret
.balign 4096
"""


@technique
def test_code_that_the_console_was_read_to_is_executed(technique: str, tmp_path: Path) -> None:
    """A call stores to the guest's memory without a trap: no older copy may be left."""
    from ringzero import Machine
    from ringzero.outcome import PoweredOff

    built = small(READ_CODE, technique=technique)
    file = tmp_path / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory=built.memory, clock="instructions") as machine:
        machine.send(assemble("addi a0, x0, 7").to_bytes(4, "little"))
        assert machine.run(timeout=HUNG) == PoweredOff(7)
