"""Linux's flat Image for RISC-V, and the EFI zboot file that holds one compressed.

Documentation/arch/riscv/boot-image-header.rst, drivers/firmware/efi/libstub/zboot-header.S.
"""

from __future__ import annotations

import struct
from pathlib import Path

from ringzero.errors import UsageError
from ringzero.machine.loading.content import Content, cut_off
from ringzero.machine.loading.segments import KernelFile, Segment

MAGIC, MAGIC2 = b"RISCV\0\0\0", b"RSC\x05"
HEADER = 64
ZBOOT = b"MZ\0\0zimg"
ZBOOT_SIZE = 4  # bytes behind packed data that tell how long it is unpacked


def is_image(data: Content, start: int = 0) -> bool:
    """Whether the header of an Image is there."""
    return data[start + 48 : start + 56] == MAGIC or data[start + 56 : start + 60] == MAGIC2


def text_offset(data: Content, start: int = 0) -> int:
    """How far from the start of RAM the kernel wants to be."""
    (offset,) = struct.unpack_from("<Q", data, start + 8)
    return int(offset)


def zboot_payload(path: Path, data: Content) -> tuple[bytes, str]:
    """What an EFI zboot file holds, and how it is packed."""
    if len(data) < HEADER:
        raise UsageError(cut_off(path, len(data), HEADER))
    offset, size = struct.unpack_from("<II", data, 8)
    how = bytes(data[24:56]).partition(b"\0")[0].decode("ascii", "replace")
    if len(data) < offset + size:
        raise UsageError(cut_off(path, len(data), offset + size))
    return bytes(data[offset : offset + size]), how


def read_image(path: Path, data: Content, ram_base: int) -> KernelFile:
    """The kernel, at its offset from the start of RAM."""
    offset, image_size = struct.unpack_from("<QQ", data, 8) if len(data) >= HEADER else (0, 0)
    needed = _length_by_sections(data)
    if len(data) < max(needed, HEADER):
        raise UsageError(cut_off(path, len(data), needed))
    address = ram_base + offset
    if image_size > 1 << 40 or offset > 1 << 40:
        raise UsageError(f"The header of the kernel {path} is damaged: fetch or build it again.")
    # Before 4.6 kernels left image_size at zero.
    segment = Segment(address, data, max(image_size, len(data)))
    return KernelFile(path, address, (segment,), {}, linux=True)


def _length_by_sections(data: Content) -> int:
    """How long an Image is by the PE sections of its EFI stub; without a stub nothing tells."""
    if data[:2] != b"MZ" or len(data) < HEADER:
        return 0
    header = int.from_bytes(data[60:64], "little")
    if data[header : header + 4] != b"PE\0\0" or len(data) < header + 24:
        return header + 24
    count, optional = struct.unpack_from("<H12xH", data, header + 6)
    needed = 0
    for place in range(header + 24 + optional, header + 24 + optional + 40 * count, 40):
        if len(data) < place + 40:
            return place + 40
        size, start = struct.unpack_from("<II", data, place + 16)
        needed = max(needed, start + size)
    return needed
