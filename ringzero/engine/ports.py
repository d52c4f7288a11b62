"""What an engine asks of the machine around it, and the machine of an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Bus(Protocol):
    """Devices by physical address."""

    def read(self, address: int, size: int) -> int | None:
        """The value, or None where nothing answers."""

    def write(self, address: int, size: int, value: int) -> bool:
        """Whether anything answered."""


class Memory(Protocol):
    """Guest RAM."""

    base: int
    size: int
    on_write: Callable[[int, int], None]

    @property
    def address_of_buffer(self) -> int:
        """The host address of its first byte."""
