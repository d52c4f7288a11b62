"""The guest's RAM: how much, and where, around the hole below 4 GiB where the devices are."""

from __future__ import annotations

import re

from ringzero.errors import UsageError
from ringzero.kvm.board import layout
from ringzero.kvm.board.wiring import HIGH_RAM, RAM_SPLIT
from ringzero.machine.memory import GuestMemory

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def memory_size(size: int | str) -> int:
    """Bytes of a number, or of a string such as 512M or 2G; whole pages."""
    if isinstance(size, int):
        value = size
    else:
        found = re.fullmatch(r"(\d+)\s*([kmg]?)i?b?", size.strip().lower())
        if not found:
            raise UsageError(f"{size!r} is no size of memory: give bytes, or 512M, or 2G.")
        value = int(found[1]) * UNITS[found[2]]
    if value < 2 * layout.HIGH_MEMORY or value % 4096:
        raise UsageError(
            f"{value} bytes of memory are too few for this board or no whole pages: give at least "
            "2M."
        )
    return value


def guest_memory(size: int) -> GuestMemory:
    """RAM from address 0; what does not fit below the devices continues at 4 GiB.

    The mapping has that hole too, so that an address is an offset; it costs no memory.
    """
    return GuestMemory(size if size <= RAM_SPLIT else HIGH_RAM + size - RAM_SPLIT, base=0)


def ram_ranges(size: int) -> list[tuple[int, int]]:
    """Start and size of each piece of RAM."""
    if size <= RAM_SPLIT:
        return [(0, size)]
    return [(0, RAM_SPLIT), (HIGH_RAM, size - RAM_SPLIT)]
