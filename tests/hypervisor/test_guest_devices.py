"""What guests find at the board's addresses: the 16550, empty virtio slots, and memory from its
first byte on. Each expectation is the board's own, which the machine without a hypervisor has too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import Machine
from ringzero.board import uart, virtio_mmio
from ringzero.board.addresses import (
    KERNEL_BASE,
    RAM_BASE,
    UART_BASE,
    VIRTIO_BASE,
    VIRTIO_SIZE,
    VIRTIO_SLOTS,
)
from ringzero.hypervisor.host.build import Guest, GuestError, build
from ringzero.isa.tools.program import assemble_text
from ringzero.machines.virtual import VirtualMachines, Vm
from ringzero.outcome import PoweredOff
from tests.guest_files import elf
from tests.hypervisor.carriers import CARRIERS, ENTRY, RUNTIME, SMALL, carrier, small, technique
from tests.limits import HUNG

LOOPBACK = f"""
    li s1, {UART_BASE}
    li t0, {uart.FIFO_ON}
    sb t0, {uart.IIR_FCR}(s1)
    li t0, {uart.LOOPBACK | 3}
    sb t0, {uart.MCR}(s1)
    li t0, 'A'
    sb t0, {uart.DATA}(s1)
    li t0, 'B'
    sb t0, {uart.DATA}(s1)
    lbu s2, {uart.LSR}(s1)      # data has come in
    lbu s3, {uart.DATA}(s1)     # it is what went out
    lbu s4, {uart.MSR}(s1)      # the outputs come back
    li t0, {uart.FIFO_ON | uart.CLEAR_RECEIVED}
    sb t0, {uart.IIR_FCR}(s1)
    lbu s5, {uart.LSR}(s1)      # the other byte is gone
    sb x0, {uart.MCR}(s1)
    lbu s6, {uart.MSR}(s1)
    mv a0, s2
    call number
    mv a0, s3
    call number
    mv a0, s4
    andi a0, a0, 0xF0
    call number
    mv a0, s5
    call number
    mv a0, s6
    andi a0, a0, 0xF0
    call number
    li a0, 0
    call finish
"""


@technique
@carrier
def test_loopback_keeps_bytes_inside_and_fcr_empties_the_receiver(
    carrier: str, technique: str, tmp_path: Path
) -> None:
    """PC16550D: MCR bit 4 and FCR bit 1; FreeBSD looks for both."""
    ended = CARRIERS[carrier](small(LOOPBACK, technique=technique), tmp_path)
    assert "A" not in ended.output
    assert "B" not in ended.output
    ready, nothing = uart.EMPTY | uart.DATA_READY, uart.EMPTY
    lines = 0x30  # DSR for DTR, CTS for RTS
    assert [int(one, 16) for one in ended.output.split()] == [
        ready, ord("A"), lines, nothing, uart.LIVE_LINE,
    ]  # fmt: skip
    assert ended.code == 0


SLOTS = f"""
    la t0, trapped
    csrw stvec, t0
    li s1, {VIRTIO_BASE}
    li s2, {VIRTIO_SLOTS}
1:  li t0, 7
    sw t0, 0x70(s1)             # writes are ignored
    lw a0, 0(s1)
    call number
    lw a0, 4(s1)
    call number
    lw a0, 8(s1)
    call number
    lw a0, 12(s1)
    call number
    lw a0, 0x70(s1)
    call number
    lbu a0, 0x100(s1)
    call number
    call line
    li t0, {VIRTIO_SIZE}
    add s1, s1, t0
    addi s2, s2, -1
    bnez s2, 1b
    li a0, 0
    call finish
.align 2
trapped:
    li a0, 99
    call finish
"""


@technique
@carrier
def test_empty_virtio_slots_answer_as_on_the_board(
    carrier: str, technique: str, tmp_path: Path
) -> None:
    """A kernel that probes by number finds device number 0 in each (virtio 1.2, 4.2.2)."""
    ended = CARRIERS[carrier](small(SLOTS, technique=technique), tmp_path)
    assert ended.code == 0
    answers = [[int(one, 16) for one in line.split()] for line in ended.output.splitlines()]
    identity = [virtio_mmio.MAGIC, virtio_mmio.MODERN, 0, virtio_mmio.VENDOR]
    assert answers == [[*identity, 0, 0]] * VIRTIO_SLOTS
    kernel = tmp_path / "bare.elf"
    kernel.write_bytes(elf(assemble_text(SLOTS + RUNTIME, ENTRY), address=ENTRY))
    with Machine(kernel=kernel, memory=SMALL) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        bare = machine.recorder.data.decode()
    assert bare.replace("\r", "").split() == ended.output.split()


FIRST = f"""
    j begin
begin:
    la t0, trapped
    csrw stvec, t0
    li s1, {RAM_BASE + 0x1_0000}
    li s2, 0x1234
    sd s2, 0(s1)
    la t0, table                # by an own page table as well, with a page of the first 2 MiB
    li t1, {RAM_BASE >> 2 | 0xCF}
    sd t1, 16(t0)
    srli t0, t0, 12
    li t1, {8 << 60}
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    ld a0, 0(s1)
    call number
    auipc a0, 0
    srli a0, a0, 12
    call number
    li a0, 0
    call finish
.align 2
trapped:
    li a0, 99
    call finish
"""
TABLE = "\n.balign 4096\ntable:\n.zero 4096\n"


@technique
@carrier
def test_kernels_linked_at_the_start_of_memory_run_there(
    carrier: str, technique: str, tmp_path: Path
) -> None:
    """The first 512 KiB, where firmware would be, are the guest's: nothing is below it."""
    kernel = assemble_text(FIRST + RUNTIME + TABLE, RAM_BASE)
    guest = Guest(kernel, memory=SMALL, kernel_offset=0, technique=technique)
    ended = CARRIERS[carrier](build([guest]), tmp_path)
    assert [int(one, 16) for one in ended.output.split()] == [0x1234, RAM_BASE >> 12]
    assert ended.code == 0


@pytest.mark.parametrize("entry", [0, 0x40])
def test_elf_kernels_are_entered_where_they_say(entry: int, tmp_path: Path) -> None:
    """As xv6 is linked: to the first byte of memory; its entry may be elsewhere."""
    wrong, right = "li a0, 1\ncall finish\n.balign 64\n", "li a0, 7\ncall finish\n"
    code = assemble_text((wrong if entry else "") + right + RUNTIME, RAM_BASE)
    file = bytearray(elf(code))
    file[24:32] = (RAM_BASE + entry).to_bytes(8, "little")  # e_entry
    kernel = tmp_path / "kernel.elf"
    kernel.write_bytes(file)
    with VirtualMachines([Vm(kernel, memory="8M")], clock="instructions") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(7)


def test_a_kernel_that_is_not_linux_gets_any_file_as_its_initrd(tmp_path: Path) -> None:
    """It ends with the first byte of that file, whose place the device tree says: 8 MiB of memory
    are searched for its text instead, page by page."""
    source = f"""
        li s1, {KERNEL_BASE}
        la s2, text
        ld s2, 0(s2)
        li t1, 4096
    1:  add s1, s1, t1
        ld t0, 0(s1)
        bne t0, s2, 1b
        lbu a0, 8(s1)
        call finish
    {RUNTIME}
    .balign 8
    text: .dword {int.from_bytes(b"my files", "little")}
    """
    kernel, initrd = tmp_path / "kernel.elf", tmp_path / "fs.img"
    kernel.write_bytes(elf(assemble_text(source, KERNEL_BASE), address=KERNEL_BASE))
    initrd.write_bytes(b"my files\x2a and no archive")
    with VirtualMachines([Vm(kernel, initrd, memory="16M")], clock="instructions") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0x2A)


def test_memory_that_a_kernel_wants_zeroed_is_its_own(tmp_path: Path) -> None:
    """Its .bss is not in the file: initrd and device tree must not lie there."""
    kernel = tmp_path / "kernel.elf"
    code = assemble_text(f"li a0, 0\ncall finish\n{RUNTIME}", KERNEL_BASE)
    kernel.write_bytes(elf(code, address=KERNEL_BASE, memory=12 << 20))
    with pytest.raises(GuestError, match="has no room for its kernel"):
        VirtualMachines([Vm(kernel, memory="14M")])
    with VirtualMachines([Vm(kernel, memory="16M")], clock="instructions") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
