"""Kernel files: RISC-V ELF executables and Linux's Image, packed or not, checked before use.

A file that is cut off, of another machine or of no known kind is refused in a sentence.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ringzero.errors import UsageError
from ringzero.machine.loading import elf_file, linux_image
from ringzero.machine.loading.content import Content, file_content
from ringzero.machine.loading.segments import KernelFile
from ringzero.machine.loading.unpack import METHODS, TOOLS, compression, unpack

OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (56, b"ARM\x64", "a Linux Image for AArch64"),
    (514, b"HdrS", "a Linux bzImage for x86"),
    (0, b"070701", "a cpio archive (an initial RAM disk?)"),
    (0, b"070702", "a cpio archive (an initial RAM disk?)"),
    (0, b"QFI\xfb", "a QEMU disk image"),
    (0, b"\x27\x05\x19\x56", "a U-Boot image (`dumpimage` takes the kernel out of it)"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree, or U-Boot's FIT (`dumpimage` takes it apart)"),
    (0, b"!<arch>", "an archive, such as a .deb package (unpack it, and name the kernel in it)"),
    (0, b"MZ", "an EFI program (a unified kernel image has its kernel in the section .linux)"),
)
"""What else a file may be, by what is where in it."""


def read_kernel(path: Path, ram_base: int) -> KernelFile:
    """The kernel in a file; an Image goes to its offset from the start of RAM."""
    data = plain_kernel(path, file_content(path, "kernel"))
    if data[:4] == elf_file.MAGIC:
        return elf_file.parse_elf(path, data, ram_base)
    if linux_image.is_image(data):
        return linux_image.read_image(path, data, ram_base)
    raise UsageError(
        f"The kernel {path} is {_kind(data)}, and neither an ELF executable for RISC-V nor a "
        "RISC-V Linux Image."
    )


def plain_kernel(path: Path, data: Content) -> Content:
    """A kernel's content without what it is packed in."""
    if data[:8] == linux_image.ZBOOT:
        packed, how = linux_image.zboot_payload(path, data)
        method = METHODS.get(how)
        if method is None:
            raise UsageError(
                f"The EFI zboot kernel {path} is compressed by {how!r}, which is not known here: "
                "boot the Image that it was made from."
            )
        if method in TOOLS:  # which refuse what is behind: the build appends the plain size
            with contextlib.suppress(UsageError):
                return unpack(packed[: -linux_image.ZBOOT_SIZE], method, path)
        return unpack(packed, method, path)
    packing = compression(data)
    return data if packing is None else unpack(data, packing, path)


def _kind(data: Content) -> str:
    """What else a file may be, for the sentence that refuses it."""
    for place, magic, name in OTHERS:
        if data[place : place + len(magic)] == magic:
            return name
    if len(data) < linux_image.HEADER:
        return f"only {len(data)} bytes long"
    return "of an unknown kind"
