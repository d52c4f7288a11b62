"""Disks and shared folders as a user names them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ringzero.errors import UsageError
from ringzero.machine.disk import DiskImage
from ringzero.machines.arguments import StrPath, file_path, text, wrong


@dataclass(frozen=True, init=False)
class Mount:
    """A host folder that the guest mounts by its tag."""

    tag: str
    path: Path
    readonly: bool = False

    def __init__(self, tag: str, path: StrPath, readonly: bool = False) -> None:
        from ringzero.machine.virtio.fs import TAG_SIZE  # all of FUSE: for those who share folders

        if not 0 < len(text("a mount's tag", tag).encode()) <= TAG_SIZE:
            raise UsageError(
                f"The tag {tag!r} is empty or longer than the {TAG_SIZE} bytes virtio-fs allows."
            )
        object.__setattr__(self, "tag", tag)
        object.__setattr__(self, "path", file_path("a mount's folder", path))
        object.__setattr__(self, "readonly", bool(readonly))


def as_disk(named: object) -> DiskImage:
    """A disk image, or the path of one that is written to."""
    if isinstance(named, DiskImage):
        return replace(named, path=file_path("a disk's path", named.path))
    if isinstance(named, (str, os.PathLike)):
        return DiskImage(file_path("a disk's path", named))
    raise wrong("a disk", named, "a path, or DiskImage(path, readonly=True) and the like")


def as_mount(named: object) -> Mount:
    """A mount, or its tag, folder and whether it is only read, as a tuple."""
    if isinstance(named, Mount):
        return named
    if isinstance(named, tuple) and 2 <= len(named) <= 3:
        return Mount(*named)
    raise wrong("a mount", named, "Mount(tag, folder), or (tag, folder, readonly)")
