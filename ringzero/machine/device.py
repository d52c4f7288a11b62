"""What every device on the board looks like from the bus.

A device knows offsets inside its own window, never addresses. Its interrupt line is a function of
its state. Other threads only hand over data and call `changed`; the thread that runs the machine
then calls `poll`. All of that happens under the bus's lock: no device needs one for its registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ringzero.machine.state import Stateful


def nothing() -> None:
    """The callback of whoever has nobody to tell."""


class Device(Stateful):
    """A window of registers; `size` is the number of bytes it covers."""

    name: str = "device"
    size: int = 0x1000
    widths: ClassVar[frozenset[int]] = frozenset({1, 2, 4, 8})

    def __init__(self) -> None:
        self.changed: Callable[[], None] = nothing

    def read(self, offset: int, size: int) -> int:
        """The value of `size` bytes at `offset`; registers that are not there read as zero."""
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Store `size` bytes at `offset`; registers that are not there ignore it."""

    @property
    def interrupt(self) -> bool:
        """The level of the interrupt line."""
        return False

    def poll(self) -> None:
        """Take what other threads handed over; called by the harts' thread after `changed`."""

    def reset(self) -> None:
        """Return to the state after power-on."""
