"""Which disk serves an image that a user named."""

from __future__ import annotations

from ringzero.machine.disk import Disk, DiskImage
from ringzero.machine.disk.overlay import OverlayDisk
from ringzero.machine.disk.raw import RawDisk


def open_disk(image: DiskImage) -> Disk:
    """The disk that a user named; its file is locked against other writers."""
    disk = RawDisk(image.path, image.readonly or image.overlay, share=image.share)
    return OverlayDisk(disk) if image.overlay and not image.readonly else disk
