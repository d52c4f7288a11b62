"""What is behind a block device: a raw file, or a copy-on-write overlay over one.

Disks move bytes between a position and views of guest memory; the block device has checked the
range. Host errors are `OSError`, which the device reports to the guest as an I/O error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

SECTOR = 512

Bus = Literal["pci", "mmio"]


@dataclass(frozen=True)
class DiskImage:
    """A disk image as a user names it."""

    path: Path
    readonly: bool = False
    overlay: bool = False
    """What is written is forgotten at the end; the file stays as it is."""
    share: bool = False
    """Others may write to the file at the same time: the user answers for that."""
    bus: Bus | None = None
    """None leaves it to the board."""
    legacy: bool = False
    """On virtio-mmio, the registers of drivers older than virtio 1.0."""


class Disk(Protocol):
    """Bytes that a block device serves."""

    size: int
    read_only: bool
    name: str

    def read(self, position: int, segments: Sequence[memoryview]) -> None:
        """Fill the segments from `position` on."""

    def write(self, position: int, segments: Sequence[memoryview]) -> None:
        """Store the segments from `position` on."""

    def zero(self, position: int, size: int, *, unmap: bool) -> None:
        """Let a range read as zeroes; `unmap` allows to give its storage back."""

    def discard(self, position: int, size: int) -> None:
        """Free a range's storage where possible; what it reads as afterwards is not said."""

    def flush(self) -> None:
        """Make what was written durable."""

    def close(self) -> None:
        """Let the host's files go."""
