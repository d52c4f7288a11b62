"""The fences of guests that RFENCE has: a hypervisor changes a table, asks, and reads anew.

It runs in HS-mode and reads as its guest would, by HLV: first what a page was, then, after the
table has changed and the firmware has fenced, what it is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import Machine, firmware
from ringzero.board import sbi
from ringzero.board.addresses import KERNEL_BASE
from ringzero.isa.csrs.hypervisor import hstatus
from ringzero.isa.tools.program import assemble_text
from tests.guest_files import elf
from tests.guests.qemu import run
from tests.limits import HUNG

OUTER, OUTER_LOW = KERNEL_BASE + 0x10_0000, KERNEL_BASE + 0x10_4000  # tables of hgatp
INNER, INNER_LOW = KERNEL_BASE + 0x10_8000, KERNEL_BASE + 0x10_9000  # and of vsatp
OLD, NEW = KERNEL_BASE + 0x20_0000, KERNEL_BASE + 0x40_0000
GUEST_PAGE = 0x4000_0000  # a guest's physical page of 2 MiB, which is OLD or NEW
OF_GUEST, OF_KERNEL = 0xDF, 0xCF  # V R W X A D; pages behind hgatp have U too
SPACE, GUEST = 5, 3
SV39 = 8 << 60
EXPECTED = 0b1111


def entry(address: int, flags: int = 1) -> int:
    """A table's entry; V alone points to the next table."""
    return address >> 12 << 10 | flags


def store(address: int, value: int) -> str:
    return f"li t0, {address}\nli t1, {value}\nsd t1, 0(t0)\n"


def change(function: int, table: int, flags: int, address: int, bit: int) -> str:
    """Read OLD through an address, change the table, fence by `function`, and want NEW."""
    space = f"li a4, {SPACE}" if function == sbi.REMOTE_HFENCE_VVMA_ASID else "mv a4, s2"
    return f"""
    {store(table, entry(OLD, flags))}
    hfence.gvma zero, zero
    hfence.vvma zero, zero
    li s0, {address}
    hlv.d s3, (s0)
    {store(table, entry(NEW, flags))}
    li a0, 0
    li a1, -1
    mv a2, s0
    li a3, 0x200000
    {space}
    li a6, {function}
    li a7, {sbi.RFENCE}
    ecall
    bnez a0, failed{bit}
    hlv.d s4, (s0)
    li t0, 1
    bne s3, t0, failed{bit}
    li t0, 2
    bne s4, t0, failed{bit}
    ori s1, s1, {1 << bit}
failed{bit}:
"""


SOURCE = f"""
    li s1, 0
    {store(OLD, 1)}
    {store(NEW, 2)}
    {store(OUTER + 8 * 1, entry(OUTER_LOW))}
    {store(OUTER + 8 * 2, entry(0x8000_0000, OF_GUEST))}
    {store(INNER, entry(INNER_LOW))}
    li t0, {SV39 | GUEST << 44 | OUTER >> 12}
    csrw hgatp, t0
    csrr s2, hgatp                  # with as much of the VMID as the hart keeps
    slli s2, s2, 6
    srli s2, s2, 50
    csrw vsatp, zero
    li t0, {hstatus.SPVP.bits}
    csrs hstatus, t0
    {change(sbi.REMOTE_HFENCE_GVMA, OUTER_LOW, OF_GUEST, GUEST_PAGE, 0)}
    {change(sbi.REMOTE_HFENCE_GVMA_VMID, OUTER_LOW, OF_GUEST, GUEST_PAGE, 1)}
    li t0, {SV39 | SPACE << 44 | INNER >> 12}
    csrw vsatp, t0
    {change(sbi.REMOTE_HFENCE_VVMA, INNER_LOW, OF_KERNEL, 0, 2)}
    {change(sbi.REMOTE_HFENCE_VVMA_ASID, INNER_LOW, OF_KERNEL, 0, 3)}
    csrr t1, hgatp                  # the firmware borrows it, and gives it back
    li t0, {SV39 | OUTER >> 12}
    and t1, t1, t0
    beq t1, t0, end
    li s1, 0
end:
    li a0, 0
    li a1, {sbi.EXIT_CODE_REASON}
    or a1, a1, s1
    li a6, 0
    li a7, {sbi.SRST}
    ecall
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    file = tmp_path / "hypervisor.elf"
    code = assemble_text(SOURCE, KERNEL_BASE)
    file.write_bytes(elf(code, address=KERNEL_BASE, memory=0x60_0000))
    return file


@pytest.mark.parametrize("harts", [1, 3])
def test_a_hypervisors_fences_reach_its_guests_translations(harts: int, kernel: Path) -> None:
    with Machine(kernel=kernel, memory="64M", cpus=harts) as machine:
        outcome = machine.run(timeout=HUNG)
    assert getattr(outcome, "code", None) == EXPECTED, outcome


@pytest.mark.needs_qemu
def test_they_do_on_qemu_too(kernel: Path, tmp_path: Path) -> None:
    bios = tmp_path / "firmware.elf"
    bios.write_bytes(firmware.build().elf)
    assert run(kernel, "-cpu", "rv64,h=true", "-smp", "2", bios=str(bios)).code == EXPECTED
