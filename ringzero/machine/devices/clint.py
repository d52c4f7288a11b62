"""CLINT, which is also ACLINT's MSWI and MTIMER at their usual offsets: software and timer
interrupts.

`mtime` is the board's clock. A timer is due when `mtime >= mtimecmp`; nothing counts down, the
board asks for the next `deadline` and evaluates `lines` again when it has come.
"""

from __future__ import annotations

from typing import ClassVar

from ringzero.machine.clock import MASK, Clock
from ringzero.machine.device import Device

MSIP, MTIP = 1 << 3, 1 << 7
COMPARE, TIME = 0x4000, 0xBFF8
LOW = 0xFFFF_FFFF


class Clint(Device):
    """Registers of all harts."""

    name = "clint"
    size = 0x1_0000
    stored: ClassVar[tuple[str, ...]] = ("msip", "mtimecmp")

    def __init__(self, harts: int, clock: Clock) -> None:
        super().__init__()
        self.harts = harts
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """No interrupt until a hart sets its comparator."""
        self.msip = [0] * self.harts
        self.mtimecmp = [MASK] * self.harts

    def deadline(self, hart: int) -> int:
        """The `mtime` at which the hart's timer is due."""
        return self.mtimecmp[hart]

    def lines(self, hart: int) -> int:
        """MSIP and MTIP of a hart now."""
        due = self.clock.now() >= self.mtimecmp[hart]
        return (MSIP if self.msip[hart] else 0) | (MTIP if due else 0)

    def read(self, offset: int, size: int) -> int:
        """Registers are 32 or 64 bits wide; either half of the latter may be read."""
        if size == 4 or (size == 8 and not offset & 7):
            if offset < COMPARE:
                if size == 4 and not offset & 3 and offset >> 2 < self.harts:
                    return self.msip[offset >> 2]
            elif not offset & 3:
                value = self._wide(offset & ~7) >> 8 * (offset & 7)
                return value & LOW if size == 4 else value
        return 0

    def _wide(self, offset: int) -> int:
        if offset == TIME:
            return self.clock.now()
        hart = (offset - COMPARE) >> 3
        return self.mtimecmp[hart] if hart < self.harts else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """As `read`; what is not a register ignores it."""
        if size not in (4, 8) or offset & (size - 1):
            return
        if offset < COMPARE:
            if size == 4 and offset >> 2 < self.harts:
                self.msip[offset >> 2] = value & 1
            return
        if size == 4:
            shift = 8 * (offset & 4)
            value = self._wide(offset & ~7) & ~(LOW << shift) | value << shift
        hart = ((offset & ~7) - COMPARE) >> 3
        if hart < self.harts:
            self.mtimecmp[hart] = value
        elif offset & ~7 == TIME:
            self.clock.set(value)
