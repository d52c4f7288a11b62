"""CLINT, which is also ACLINT's MSWI and MTIMER at their usual offsets: software and timer
interrupts. What its registers do is `board.clint`'s.

`mtime` is the board's clock. A timer is due when `mtime >= mtimecmp`; nothing counts down, the
board asks for the next `deadline` and evaluates `lines` again when it has come. Engines may access
`registers` by themselves, at any time and from any thread.
"""

from __future__ import annotations

import mmap
from typing import ClassVar

from ringzero.board import clint
from ringzero.isa.privileged.trap import MSI, MTI
from ringzero.lang import u64
from ringzero.machine.clock import MASK, Clock
from ringzero.machine.device import Device

MSIP, MTIP = 1 << MSI, 1 << MTI


class Clint(Device):
    """Registers of all harts."""

    name = "clint"
    size = clint.SIZE
    stored: ClassVar[tuple[str, ...]] = ("msip", "mtimecmp")

    def __init__(self, harts: int, clock: Clock) -> None:
        super().__init__()
        self.harts = harts
        self.clock = clock
        self.registers = mmap.mmap(-1, self.size)
        self._words = memoryview(self.registers).cast("I")
        self._wide = memoryview(self.registers).cast("Q")
        self.reset()

    def reset(self) -> None:
        """No interrupt until a hart sets its comparator."""
        self.msip = [0] * self.harts
        self.mtimecmp = [MASK] * self.harts

    @property
    def msip(self) -> list[int]:
        """Each hart's software interrupt."""
        return [self._words[clint.MSIP // 4 + hart] for hart in range(self.harts)]

    @msip.setter
    def msip(self, values: list[int]) -> None:
        for hart, value in enumerate(values):
            self._words[clint.MSIP // 4 + hart] = value

    @property
    def mtimecmp(self) -> list[int]:
        """Each hart's comparator."""
        return [self.deadline(hart) for hart in range(self.harts)]

    @mtimecmp.setter
    def mtimecmp(self, values: list[int]) -> None:
        for hart, value in enumerate(values):
            self._wide[clint.MTIMECMP // 8 + hart] = value

    def deadline(self, hart: int) -> int:
        """The `mtime` at which the hart's timer is due."""
        return self._wide[clint.MTIMECMP // 8 + hart]

    def lines(self, hart: int) -> int:
        """MSIP and MTIP of a hart now."""
        due = self.clock.now() >= self.deadline(hart)
        return (MSIP if self._words[clint.MSIP // 4 + hart] else 0) | (MTIP if due else 0)

    def read(self, offset: int, size: int) -> int:
        """Registers are 32 or 64 bits wide; either half of the latter may be read."""
        now = u64(self.clock.now())
        return int(
            clint.read_register(self.registers, u64(self.harts), now, u64(offset), u64(size))
        )

    def write(self, offset: int, size: int, value: int) -> None:
        """As `read`; what is not a register ignores it."""
        if offset & ~7 != clint.MTIME:
            clint.write_register(
                self.registers, u64(self.harts), u64(offset), u64(size), u64(value)
            )
        elif clint.is_register(u64(self.harts), u64(offset), u64(size)):
            shift, ones = 8 * (offset & 4), (1 << 8 * size) - 1
            self.clock.set(self.clock.now() & ~(ones << shift) | value << shift)
