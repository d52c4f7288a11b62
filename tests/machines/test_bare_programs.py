"""Kernels that are not Linux: programs that end through HTIF, and files that are handed to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import Machine
from ringzero.board.addresses import KERNEL_BASE
from ringzero.errors import UsageError
from ringzero.isa.tools.program import assemble_text
from ringzero.machines.virtual import VirtualMachines, Vm
from ringzero.outcome import PoweredOff
from tests.guest_files import elf, htif_exit, image
from tests.hypervisor.carriers import RUNTIME


@pytest.mark.parametrize("bios", [None, "none"])
def test_a_program_with_tohost_keeps_htif_without_firmware(
    bios: str | None, tmp_path: Path
) -> None:
    kernel = tmp_path / "program.elf"
    kernel.write_bytes(htif_exit(5))
    with Machine(kernel=kernel, bios=bios, memory="16M", clock="instructions") as machine:
        assert machine.run(timeout=10) == PoweredOff(5)


@pytest.mark.parametrize("hypervised", [False, True])
def test_a_kernel_that_is_not_linux_gets_any_file_as_its_initrd(
    hypervised: bool, tmp_path: Path
) -> None:
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
    if hypervised:
        with VirtualMachines([Vm(kernel, initrd, memory="16M")], clock="instructions") as machine:
            assert machine.run(timeout=30) == PoweredOff(0x2A)
    else:
        with Machine(kernel=kernel, initrd=initrd, memory="16M", clock="instructions") as machine:
            assert machine.run(timeout=30) == PoweredOff(0x2A)


def test_linux_gets_archives_only(tmp_path: Path) -> None:
    kernel, initrd = tmp_path / "Image", tmp_path / "fs.img"
    kernel.write_bytes(image())
    initrd.write_bytes(b"my files\x2a and no archive")
    with pytest.raises(UsageError, match="neither a cpio archive"):
        Machine(kernel=kernel, initrd=initrd, memory="16M")
