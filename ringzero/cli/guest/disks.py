"""What `--disk` refuses: files that are plainly another format than a raw disk.

A guest would see their wrapping as its disk, and might write to it.
"""

from __future__ import annotations

from ringzero.errors import UsageError
from ringzero.machine.disk import DiskImage

FORMATS = {
    b"QFI\xfb": "qcow2",
    b"KDMV": "VMDK",
    b"vhdxfile": "VHDX",
    b"conectix": "VHD",
    b"<<< ": "VDI",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
}


def refuse_other_formats(disk: DiskImage) -> None:
    """Look at the first bytes; a file that cannot be read is the machine's to complain about."""
    try:
        with disk.path.open("rb") as file:
            start = file.read(8)
    except OSError:
        return
    for magic, name in FORMATS.items():
        if start.startswith(magic):
            how = "unpack it" if name in ("gzip", "xz") else "convert it: qemu-img convert -O raw"
            raise UsageError(f"The disk {disk.path} is in the format {name}, not raw: {how}.")
