"""What the stage before firmware hands over in a2: OpenSBI's struct fw_dynamic_info.

The boot ROM of the machine and QEMU's write it; firmware reads it (include/sbi/fw_dynamic.h).
"""

from __future__ import annotations

from ringzero.lang import Struct, u64

MAGIC, VERSION = 0x4942_534F, 2  # "OSBI"
ANY_HART = 0xFFFF_FFFF_FFFF_FFFF  # as the boot hart: harts draw lots


class FirmwareInfo(Struct):
    """Where firmware goes on, and who does."""

    magic: u64
    version: u64
    next_address: u64
    next_mode: u64
    options: u64
    boot_hart: u64
