"""How a hart gets from reset to firmware or kernel: the boot ROM's words and what they point to.

The convention is QEMU's `virt` machine's and RISC-V Linux's: a0 is the hart, a1 the device tree,
and for OpenSBI's fw_dynamic a2 is a structure that says what comes next.
"""

from __future__ import annotations

import os
import struct

from ringzero.board import fw_dynamic
from ringzero.errors import UsageError
from ringzero.machine.memory import GuestMemory

SUPERVISOR = 1
MEGABYTE = 1 << 20
TREE_ALIGNMENT = 2 * MEGABYTE
LINUX_PAGE = 2 * MEGABYTE  # in which it maps itself
LOW_MEMORY = 3 << 30  # device trees stay below 4 GiB of the address space, for 32-bit loaders

COMMAND_LINE_SIZE = 1024
"""Linux's, in arch/riscv/include/uapi/asm/setup.h, with the NUL; it cuts what is longer."""

RESET_CODE = (
    0x0000_0297,  # 1: auipc t0, %pcrel_hi(data)
    0x0282_8613,  #    addi a2, t0, 40 (fw_dynamic_info)
    0xF140_2573,  #    csrr a0, mhartid
    0x0202_B583,  #    ld a1, 32(t0)
    0x0182_B283,  #    ld t0, 24(t0)
    0x0002_8067,  #    jr t0
)


def reset_vector(entry: int, tree: int, next_stage: int, mode: int = SUPERVISOR) -> bytes:
    """The boot ROM: code, the entry point, the device tree's address, fw_dynamic_info."""
    return struct.pack("<6IQQ", *RESET_CODE, entry, tree) + fw_dynamic_info(next_stage, mode)


def fw_dynamic_info(next_stage: int, mode: int = SUPERVISOR, boot_hart: int | None = None) -> bytes:
    """struct fw_dynamic_info; without a boot hart, harts draw lots."""
    hart = fw_dynamic.ANY_HART if boot_hart is None else boot_hart
    info = (fw_dynamic.MAGIC, fw_dynamic.VERSION, next_stage, mode, 0, hart)
    return struct.pack("<6Q", *info)


def check_command_line(append: str, linux: bool) -> None:
    """Refuse words that Linux would cut."""
    length = len(os.fsencode(append))
    if linux and length >= COMMAND_LINE_SIZE:
        raise UsageError(
            f"The kernel's command line is {length} bytes long, more than the "
            f"{COMMAND_LINE_SIZE - 1} that Linux keeps: shorten --append."
        )


def place_initrd(memory: GuestMemory, kernel_end: int, size: int) -> int:
    """An address behind the kernel: half of RAM or 128 MiB on, as QEMU and Linux like it."""
    # Linux reserves whole pages for itself, and drops an initrd that is in the last of them.
    kernel_end = -(-kernel_end // LINUX_PAGE) * LINUX_PAGE
    distance = min(memory.size // 2, 128 * MEGABYTE)
    address = max(memory.base + distance, kernel_end)
    address = (address + 4095) & ~4095
    if address + size > memory.end - TREE_ALIGNMENT:
        address = kernel_end
    if address + size > memory.end - TREE_ALIGNMENT:
        raise UsageError(
            f"The initial RAM disk of {size >> 20} MiB does not fit behind the kernel in "
            f"{memory.size >> 20} MiB of memory: give more with --memory."
        )
    return address


def place_tree(memory: GuestMemory, size: int, used_end: int) -> int:
    """The highest aligned address that leaves room for the tree behind what is loaded."""
    top = min(memory.end, memory.base + LOW_MEMORY)
    address = (top - size) // TREE_ALIGNMENT * TREE_ALIGNMENT
    if address < max(used_end, memory.base):
        address = (top - size) & ~7
    if address < max(used_end, memory.base):
        raise UsageError(
            f"The device tree does not fit behind kernel and RAM disk in {memory.size >> 20} MiB "
            "of memory: give more with --memory."
        )
    return address
