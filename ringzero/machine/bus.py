"""The physical address map beside RAM: which device answers at which address.

Windows are sorted and never overlap, so one bisection finds the device. After each access the bus
calls the window's `after`, through which the board re-reads the interrupt line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from threading import RLock

from ringzero.errors import UsageError
from ringzero.machine.device import Device, nothing


class Bus:
    """Dispatches physical accesses to devices."""

    def __init__(self) -> None:
        self.lock = RLock()  # whoever uses devices holds it: harts may have threads of their own
        self._bases: list[int] = []
        self._windows: list[tuple[int, int, Device, Callable[[], None]]] = []

    def attach(self, base: int, device: Device, after: Callable[[], None] = nothing) -> None:
        """Let `device` answer from `base` on; `after` is called after each access."""
        end = base + device.size
        for other_base, other_end, other, _ in self._windows:
            if base < other_end and other_base < end:
                raise UsageError(
                    f"Device {device.name} at {base:#x} overlaps {other.name} at {other_base:#x}: "
                    "give it another address."
                )
        index = bisect_right(self._bases, base)
        self._bases.insert(index, base)
        self._windows.insert(index, (base, end, device, after))

    def clear(self) -> None:
        """Detach everything."""
        self._bases.clear()
        self._windows.clear()

    def __iter__(self) -> Iterator[tuple[int, Device]]:
        return ((base, device) for base, _, device, _ in self._windows)

    def find(self, address: int) -> tuple[int, Device] | None:
        """The base and the device of the window that covers an address."""
        index = bisect_right(self._bases, address) - 1
        if index < 0 or address >= self._windows[index][1]:
            return None
        base, _, device, _ = self._windows[index]
        return base, device

    def read(self, address: int, size: int) -> int | None:
        """Read 1, 2, 4 or 8 bytes; None where nothing answers."""
        index = bisect_right(self._bases, address) - 1
        if index < 0:
            return None
        base, end, device, after = self._windows[index]
        if address + size > end:
            return None
        value = device.read(address - base, size)
        after()
        return value

    def write(self, address: int, size: int, value: int) -> bool:
        """Write 1, 2, 4 or 8 bytes; False where nothing answers."""
        index = bisect_right(self._bases, address) - 1
        if index < 0:
            return False
        base, end, device, after = self._windows[index]
        if address + size > end:
            return False
        device.write(address - base, size, value)
        after()
        return True
