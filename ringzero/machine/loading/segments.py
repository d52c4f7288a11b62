"""A kernel that has been read: segments at physical addresses, which go into RAM."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ringzero.errors import UsageError
from ringzero.machine.loading.content import Content
from ringzero.machine.memory import GuestMemory


@dataclass(frozen=True)
class Segment:
    """Bytes at a physical address, and zeroes after them up to `size`."""

    address: int
    data: Content = field(repr=False)
    size: int


@dataclass(frozen=True)
class KernelFile:
    """What there is to load, where it starts, and the global symbols of an ELF."""

    path: Path
    entry: int
    segments: tuple[Segment, ...]
    symbols: dict[str, int] = field(repr=False)
    linux: bool

    @property
    def end(self) -> int:
        """The first address behind the kernel."""
        return max(segment.address + segment.size for segment in self.segments)

    def load(self, memory: GuestMemory) -> None:
        """Put the segments into RAM, or say that they do not fit."""
        for segment in self.segments:
            end = segment.address + segment.size
            if not memory.base <= segment.address <= end <= memory.end:
                raise UsageError(self._does_not_fit(segment.address, end, memory))
        for segment in self.segments:
            memory.write(segment.address, segment.data)
            if segment.size > len(segment.data):
                rest = segment.size - len(segment.data)
                memory.write(segment.address + len(segment.data), bytes(rest))

    def _does_not_fit(self, address: int, end: int, memory: GuestMemory) -> str:
        said = (
            f"The kernel {self.path} needs memory from {address:#x} to {end:#x}, and RAM is from "
            f"{memory.base:#x} to {memory.end:#x}: "
        )
        if address < memory.base:
            return f"{said}link it for an address in RAM."
        megabytes = 16
        while memory.base + (megabytes << 20) < end and megabytes < 1 << 24:
            megabytes *= 2
        return f"{said}give it more memory, such as -m {megabytes}M."
