"""The guest's RAM: how much, and where, around the hole below 4 GiB where the devices are."""

from __future__ import annotations

from ringzero.errors import UsageError
from ringzero.kvm.board import layout
from ringzero.kvm.board.wiring import HIGH_RAM, RAM_SPLIT
from ringzero.machine.memory import GuestMemory


def check_size(size: int) -> int:
    """Refuse what is too small for the board, or no whole number of pages."""
    if size < 2 * layout.HIGH_MEMORY or size % 4096:
        raise UsageError(
            f"{size} bytes of memory are too few for this board or no whole pages: give at least "
            "2M."
        )
    return size


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
