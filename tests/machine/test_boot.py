"""Placement of what is loaded, and the boot ROM's words."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from ringzero import Machine
from ringzero.errors import UsageError
from ringzero.machine.loading.boot import RESET_CODE, place_initrd, place_tree, reset_vector
from ringzero.machine.memory import GuestMemory
from ringzero.outcome import PoweredOff
from tests.guest_files import elf, program
from tests.limits import HUNG
from tests.machine.driver import RAM

MEGABYTE = 1 << 20


def test_reset_vector_points_to_its_data() -> None:
    rom = reset_vector(0x8000_0000, 0x8FE0_0000, 0x8020_0000)
    code = 4 * len(RESET_CODE)
    assert struct.unpack_from("<QQ", rom, code) == (0x8000_0000, 0x8FE0_0000)
    assert struct.unpack_from("<6Q", rom, code + 16) == (
        0x4942_534F, 2, 0x8020_0000, 1, 0, (1 << 64) - 1,
    )  # fmt: skip


@pytest.mark.needs_binutils
def test_reset_code_disassembles_to_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "rom"
    path.write_bytes(struct.pack("<6I", *RESET_CODE))
    run = subprocess.run(
        ["riscv64-linux-gnu-objdump", "-D", "-b", "binary", "-m", "riscv:rv64"]
        + ["-M", "no-aliases", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.split("\t")[2:] for line in run.stdout.splitlines() if "\t" in line]
    assert [" ".join(line).split(" #")[0] for line in lines] == [
        "auipc t0,0x0", "addi a2,t0,40", "csrrs a0,mhartid,zero", "ld a1,32(t0)", "ld t0,24(t0)",
        "jalr zero,0(t0)",
    ]  # fmt: skip


@pytest.mark.parametrize("megabytes", [64, 128, 512, 8192])
def test_kernel_disk_and_tree_do_not_overlap(megabytes: int) -> None:
    memory = GuestMemory(megabytes * MEGABYTE)
    kernel_end = RAM + 24 * MEGABYTE + 123
    size = 20 * MEGABYTE + 1
    initrd = place_initrd(memory, kernel_end, size)
    tree = place_tree(memory, 9000, initrd + size)
    assert not initrd & 4095
    assert not tree & 7
    assert initrd >= RAM + 26 * MEGABYTE, "the kernel has all of its last page of 2 MiB"
    assert kernel_end <= initrd < initrd + size <= tree < tree + 9000 <= memory.end
    assert tree + 9000 <= 1 << 32 or memory.base >= 1 << 32 or tree < RAM + (3 << 30)


def test_what_does_not_fit_is_a_sentence() -> None:
    memory = GuestMemory(32 * MEGABYTE)
    with pytest.raises(UsageError, match="RAM disk of 30 MiB does not fit"):
        place_initrd(memory, RAM + 4 * MEGABYTE, 30 * MEGABYTE)
    with pytest.raises(UsageError, match="device tree does not fit"):
        place_tree(memory, 9000, memory.end - 100)


@pytest.mark.parametrize("engine", ["reference", "interpreter"])
def test_harts_set_accessed_and_dirty_until_firmware_says_otherwise(
    engine: str, tmp_path: Path
) -> None:
    """As on QEMU's board: kernels that begin in M-mode, as xv6, map pages without A and D."""
    lines = [
        "auipc s0, 0",
        "lui t0, 4",
        "add s1, s0, t0",  # the page table, 16 KiB on
        "addi t0, s0, 104",  # `trapped`
        "csrrw zero, mtvec, t0",
        "addi t0, zero, -1",
        "csrrw zero, pmpaddr0, t0",
        "addi t0, zero, 31",
        "csrrw zero, pmpcfg0, t0",
        "lui t0, 0x20000",  # a gigabyte at 0x80000000, readable and writable, A and D clear
        "addi t0, t0, 7",
        "sd t0, 16(s1)",
        "srli t1, s1, 12",
        "addi t0, zero, 8",
        "slli t0, t0, 60",
        "or t0, t0, t1",
        "csrrw zero, satp, t0",
        "lui t1, 0x21",  # mstatus.MPRV, and MPP for S
        "addi t1, t1, -2048",
        "csrrs zero, mstatus, t1",
        "sd zero, 512(s1)",  # through the mapping
        "lui t1, 0x20",
        "csrrc zero, mstatus, t1",
        "ld a0, 16(s1)",
        "srli a0, a0, 6",
        "jal zero, 8",
        "addi a0, zero, 99",  # trapped
        "andi a0, a0, 127",
        "slli a0, a0, 1",
        "ori a0, a0, 1",
        "lui t0, 1",
        "add t0, s0, t0",
        "sd a0, 0(t0)",  # tohost
        "jal zero, 0",
    ]
    code = program(lines)
    kernel = tmp_path / "kernel"
    image = code + bytes(0x6000 - len(code))
    kernel.write_bytes(elf(image, symbols={"tohost": RAM + 0x1000}))
    with Machine(memory="16M", kernel=kernel, engine=engine) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(3)
