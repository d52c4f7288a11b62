"""The disks of `--disk`: raw files, with an overlay where the file is to stay as it is.

A file that is plainly another format is refused: a guest would see its wrapping as its disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringzero.cli.options import Disk
from ringzero.errors import UsageError

if TYPE_CHECKING:
    from ringzero.machine import disk

FORMATS = {
    b"QFI\xfb": "qcow2",
    b"KDMV": "VMDK",
    b"vhdxfile": "VHDX",
    b"conectix": "VHD",
    b"<<< ": "VDI",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
}


def open_disk(given: Disk) -> disk.Disk:
    """The opened disk; what is written to an overlay is forgotten at the end."""
    from ringzero.machine.disk import OverlayDisk, RawDisk

    opened = RawDisk(given.path, read_only=given.readonly or given.overlay)
    start = memoryview(bytearray(8))
    opened.read(0, [start])
    for magic, name in FORMATS.items():
        if start.tobytes().startswith(magic):
            opened.close()
            how = "unpack it" if name in ("gzip", "xz") else "convert it: qemu-img convert -O raw"
            raise UsageError(f"The disk {given.path} is in the format {name}, not raw: {how}.")
    return OverlayDisk(opened) if given.overlay else opened
