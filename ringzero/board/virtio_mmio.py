"""virtio over MMIO: what identifies a slot, and what an empty one answers (virtio 1.2, §4.2.2)."""

from __future__ import annotations

from ringzero.lang import native, u64

MAGIC, VENDOR = 0x7472_6976, 0x554D_4551  # "virt", "QEMU"
MODERN, LEGACY = 2, 1  # values of the version register
MAGIC_VALUE, VERSION_NUMBER, DEVICE_ID, VENDOR_ID = 0x00, 0x04, 0x08, 0x0C
NO_DEVICE = 0  # drivers skip a slot with this device number silently


@native
def read_empty(offset: u64, size: u64) -> u64:
    """What a load from an empty slot gives."""
    if size == 4 and offset == MAGIC_VALUE:
        return u64(MAGIC)
    if size == 4 and offset == VERSION_NUMBER:
        return u64(MODERN)
    if size == 4 and offset == VENDOR_ID:
        return u64(VENDOR)
    return u64(NO_DEVICE)
