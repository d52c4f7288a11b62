"""Every hart that the board can have starts under the built-in firmware, and its fences end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import Machine
from ringzero.board import sbi
from ringzero.board.addresses import KERNEL_BASE
from ringzero.isa.tools.program import assemble_text
from tests.guest_files import elf
from tests.limits import HUNG

COUNTER = KERNEL_BASE + 0x1_0000

# Whoever boots starts all others, waits until they have counted themselves, has all of them fence,
# and ends with their number.
GUEST = f"""
    mv s0, a0
    li s1, 0
    li s4, {COUNTER}
each:
    beq s1, s0, skip
    mv a0, s1
    la a1, other
    li a2, 0
    li a6, {sbi.HART_START}
    li a7, {sbi.HSM}
    ecall
    bnez a0, all                    # there is no such hart
skip:
    addi s1, s1, 1
    j each
all:
    addi s2, s1, -1
    ld s3, 0(s4)
    bne s3, s2, all
    li a0, 0
    li a1, -1
    li a6, {sbi.REMOTE_FENCE_I}
    li a7, {sbi.RFENCE}
    ecall
    bnez a0, failed
    li a1, {sbi.EXIT_CODE_REASON}
    or a1, a1, s1
    j finish
failed:
    li a1, {sbi.SYSTEM_FAILURE}
finish:
    li a0, 0
    li a6, 0
    li a7, {sbi.SRST}
    ecall
other:
    li t0, {COUNTER}
    li t1, 1
    amoadd.d t1, t1, (t0)
asleep:
    wfi
    j asleep
"""


@pytest.mark.parametrize("harts", [16, 17, 33, 64])
def test_all_harts_start_and_fence_under_the_firmware(harts: int, tmp_path: Path) -> None:
    kernel = tmp_path / "guest.elf"
    kernel.write_bytes(elf(assemble_text(GUEST, KERNEL_BASE), address=KERNEL_BASE, memory=0x2_0000))
    with Machine(kernel=kernel, memory="64M", cpus=harts, clock="instructions") as machine:
        outcome = machine.run(timeout=HUNG)
        assert getattr(outcome, "code", None) == harts, outcome


def test_the_firmwares_stacks_are_deep_enough() -> None:
    """Nothing of the lower half of the boot hart's stack was ever written."""
    from ringzero import firmware
    from ringzero.firmware.layout import STACK_SIZE
    from tests.firmware import payload

    stacks = firmware.build().symbols["stacks"]
    with Machine(kernel=payload.build(), memory="64M", clock="instructions") as machine:
        machine.run(timeout=HUNG)
        used = machine.memory.read(stacks, STACK_SIZE)
    assert not any(used[: STACK_SIZE // 2])
    assert any(used[STACK_SIZE // 2 :])


FEATURE = f"""
    li a6, {{function}}
    li a0, {sbi.PTE_AD_HW_UPDATING}
    li a1, 1
    li a2, {sbi.FWFT_LOCK}
    li a7, {sbi.FWFT}
    ecall
"""

# One hart starts the other twice, once it has stopped; the other looks at a feature, sets and locks
# it, finds it locked, and stops. It ends the run with what it saw the second time.
TWICE = f"""
    li s0, 0
    xori s1, a0, 1
begin:
    mv a0, s1
    la a1, other
    mv a2, s0
    li a6, {sbi.HART_START}
    li a7, {sbi.HSM}
    ecall
    bnez a0, begin                  # it has not stopped yet
    addi s0, s0, 1
    li t0, 2
    bne s0, t0, begin
asleep:
    wfi
    j asleep
other:
    mv s0, a1
    li s2, 0
    {FEATURE.format(function=sbi.FWFT_GET)}
    bnez a0, seen
    bnez a1, seen
    ori s2, s2, 1                   # off, as after reset
seen:
    {FEATURE.format(function=sbi.FWFT_SET)}
    bnez a0, refused
    ori s2, s2, 2                   # not locked, as after reset
refused:
    {FEATURE.format(function=sbi.FWFT_SET)}
    li t0, {sbi.DENIED_LOCKED}
    bne a0, t0, open
    ori s2, s2, 4
open:
    bnez s0, finish
    li a6, {sbi.HART_STOP}
    li a7, {sbi.HSM}
    ecall
finish:
    li a0, 0
    li a1, {sbi.EXIT_CODE_REASON}
    or a1, a1, s2
    li a6, 0
    li a7, {sbi.SRST}
    ecall
"""


def test_features_and_their_locks_are_those_of_reset_when_a_hart_starts_again(
    tmp_path: Path,
) -> None:
    """SBI 3.0, chapter 18: "Upon hart reset, local feature values are not retained"."""
    kernel = tmp_path / "guest.elf"
    kernel.write_bytes(elf(assemble_text(TWICE, KERNEL_BASE), address=KERNEL_BASE, memory=0x2_0000))
    with Machine(kernel=kernel, memory="64M", cpus=2, clock="instructions") as machine:
        outcome = machine.run(timeout=HUNG)
    assert getattr(outcome, "code", None) == 0b111, outcome
