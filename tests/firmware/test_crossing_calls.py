"""Harts that ask one another at the same time: calls of all to all come to an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import Machine, firmware
from ringzero.board import sbi
from ringzero.board.addresses import KERNEL_BASE
from ringzero.isa.tools.program import assemble_text
from tests.guest_files import elf
from tests.guests.qemu import run
from tests.limits import HUNG

HARTS, ROUNDS = 4, 100
DONE, FAILED = KERNEL_BASE + 0x1_0000, KERNEL_BASE + 0x1_0008
CODE = 42

# Every hart, whoever boots included, makes each call of RFENCE and an IPI to all harts, in rounds,
# and counts itself. The one that boots ends the run when all have.
GUEST = f"""
    mv s0, a0
    li s1, 0
each:
    mv a0, s1
    la a1, other
    li a6, {sbi.HART_START}
    li a7, {sbi.HSM}
    ecall
    addi s1, s1, 1
    li t0, {HARTS}
    bne s1, t0, each
    call work
    li s4, {DONE}
    li t0, {HARTS}
all:
    ld t1, 0(s4)
    bne t1, t0, all
    li t0, {FAILED}
    ld a1, 0(t0)
    snez a1, a1
    bnez a1, finish
    li a1, {sbi.EXIT_CODE_REASON | CODE}
finish:
    li a0, 0
    li a6, 0
    li a7, {sbi.SRST}
    ecall
other:
    call work
asleep:
    wfi
    j asleep
work:
    mv s6, ra
    li s2, {ROUNDS}
round:
    li s3, 0
function:
    mv a6, s3
    li a0, 0
    li a1, -1
    li a2, 0x1800
    li a3, 0x1000
    li a4, 1
    li a7, {sbi.RFENCE}
    ecall
    call check
    addi s3, s3, 1
    li t0, 7
    bne s3, t0, function
    li a0, {(1 << HARTS) - 1}
    li a1, 0
    li a6, {sbi.SEND_IPI}
    li a7, {sbi.IPI}
    ecall
    call check
    csrci sip, 2
    addi s2, s2, -1
    bnez s2, round
    li t0, {DONE}
    li t1, 1
    amoadd.d t1, t1, (t0)
    jr s6
check:
    beqz a0, good
    li t0, {FAILED}
    sd a0, 0(t0)
good:
    ret
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    file = tmp_path / "guest.elf"
    code = assemble_text(GUEST, KERNEL_BASE)
    file.write_bytes(elf(code, address=KERNEL_BASE, memory=0x2_0000))
    return file


@pytest.mark.parametrize("parallel", [True, False])
def test_calls_of_all_harts_to_all_harts_come_to_an_end(parallel: bool, kernel: Path) -> None:
    with Machine(kernel=kernel, memory="64M", cpus=HARTS, parallel=parallel) as machine:
        outcome = machine.run(timeout=HUNG)
    assert getattr(outcome, "code", None) == CODE, outcome


@pytest.mark.needs_qemu
def test_they_do_on_qemu_too(kernel: Path, tmp_path: Path) -> None:
    bios = tmp_path / "firmware.elf"
    bios.write_bytes(firmware.build().elf)
    ended = run(kernel, "-cpu", "rv64,h=true", "-smp", str(HARTS), bios=str(bios))
    assert ended.code == CODE, ended.output
