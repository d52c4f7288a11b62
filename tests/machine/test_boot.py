"""Placement of what is loaded, and the boot ROM's words."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from ringzero.errors import UsageError
from ringzero.machine.loading.boot import RESET_CODE, place_initrd, place_tree, reset_vector
from ringzero.machine.memory import GuestMemory
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
    assert kernel_end <= initrd < initrd + size <= tree < tree + 9000 <= memory.end
    assert tree + 9000 <= 1 << 32 or memory.base >= 1 << 32 or tree < RAM + (3 << 30)


def test_what_does_not_fit_is_a_sentence() -> None:
    memory = GuestMemory(32 * MEGABYTE)
    with pytest.raises(UsageError, match="RAM disk of 30 MiB does not fit"):
        place_initrd(memory, RAM + 4 * MEGABYTE, 30 * MEGABYTE)
    with pytest.raises(UsageError, match="device tree does not fit"):
        place_tree(memory, 9000, memory.end - 100)
