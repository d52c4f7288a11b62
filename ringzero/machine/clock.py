"""Guest time: `mtime` in ticks of 10 MHz, taken from the host or from the instructions retired.

Host time makes a guest feel like hardware; instruction time (1 instruction = 1 ns) makes a run
repeatable, and lets an idle machine jump to its next deadline instead of waiting for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Protocol

from ringzero.board.addresses import TIMEBASE
from ringzero.machine.state import Stateful

NANOSECONDS_PER_TICK = 1_000_000_000 // TIMEBASE
MASK = (1 << 64) - 1


class Clock(Protocol):
    """Where `mtime` comes from."""

    deterministic: ClassVar[bool]
    offset: int
    """Added to the source's ticks; native code that counts by itself must add it too."""

    def now(self) -> int:
        """`mtime` now."""

    def set(self, ticks: int) -> None:
        """The guest wrote `mtime`."""

    def pause(self) -> None:
        """Stop guest time, for instance while a debugger holds the machine."""

    def resume(self) -> None:
        """Continue where `pause` stopped."""

    def skip_to(self, ticks: int) -> bool:
        """Every hart is idle until `ticks`: jump there if this clock can; False means wait."""


class HostClock(Stateful):
    """Ticks of the host's monotonic clock; begins at zero, stands still while paused."""

    deterministic: ClassVar[bool] = False
    stored: ClassVar[tuple[str, ...]] = ("ticks",)

    def __init__(self) -> None:
        self._paused_at: int | None = None
        self.offset = -self._source()

    @staticmethod
    def _source() -> int:
        return time.monotonic_ns() // NANOSECONDS_PER_TICK

    def now(self) -> int:
        """`mtime` now."""
        source = self._paused_at
        if source is None:
            source = time.monotonic_ns() // NANOSECONDS_PER_TICK
        return (source + self.offset) & MASK

    def set(self, ticks: int) -> None:
        """The guest wrote `mtime`."""
        self.offset += ticks - self.now()

    ticks = property(now, set)

    def pause(self) -> None:
        """Stop guest time."""
        if self._paused_at is None:
            self._paused_at = self._source()

    def resume(self) -> None:
        """Continue where `pause` stopped."""
        if self._paused_at is not None:
            self.offset += self._paused_at - self._source()
            self._paused_at = None

    def skip_to(self, ticks: int) -> bool:
        """Host time cannot be hurried."""
        return False


class InstructionClock(Stateful):
    """One instruction is one nanosecond: equal runs see equal times."""

    deterministic: ClassVar[bool] = True
    stored: ClassVar[tuple[str, ...]] = ("offset",)

    def __init__(self, retired: Callable[[], int]) -> None:
        self.retired = retired
        self.offset = 0

    def now(self) -> int:
        """`mtime` now."""
        return (self.retired() // NANOSECONDS_PER_TICK + self.offset) & MASK

    def set(self, ticks: int) -> None:
        """The guest wrote `mtime`."""
        self.offset += ticks - self.now()

    def pause(self) -> None:
        """Nothing to do: no instruction retires meanwhile."""

    def resume(self) -> None:
        """Nothing to do, as for `pause`."""

    def skip_to(self, ticks: int) -> bool:
        """Jump over the time in which nothing would happen."""
        if ticks > self.now():
            self.set(ticks)
        return True
