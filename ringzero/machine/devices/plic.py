"""SiFive's PLIC: 127 level-triggered sources, and an M and an S context for each hart.

A gateway forwards a level once and then waits for the completion; the pending bit stays set even if
the level drops before the claim (PLIC specification, "Interrupt Gateways"). Sets of sources are
integers.
"""

from __future__ import annotations

from typing import ClassVar

from ringzero.machine.device import Device

MEIP, SEIP = 1 << 11, 1 << 9
SOURCES = 128  # number 0 means "no interrupt"
PRIORITY_MASK = 7
PENDING, ENABLE, CONTEXT = 0x1000, 0x2000, 0x20_0000
ENABLE_STRIDE, CONTEXT_STRIDE = 0x80, 0x1000
LOW = 0xFFFF_FFFF


class Plic(Device):
    """Context 2h is hart h's machine mode, 2h+1 its supervisor mode."""

    name = "plic"
    size = 0x60_0000
    stored: ClassVar[tuple[str, ...]] = (
        "priority", "threshold", "enable", "pending", "claimed", "levels",
    )  # fmt: skip

    def __init__(self, harts: int) -> None:
        super().__init__()
        self.contexts = 2 * harts
        self.reset()

    def reset(self) -> None:
        """Nothing enabled."""
        self.priority = [0] * SOURCES
        self.threshold = [0] * self.contexts
        self.enable = [0] * self.contexts
        self.pending = self.claimed = self.levels = 0

    def set_level(self, source: int, level: bool) -> bool:
        """A device's line; True if that changes anything."""
        bit = 1 << source
        if bool(self.levels & bit) == level:
            return False
        self.levels ^= bit
        if level and not self.claimed & bit:
            self.pending |= bit
        return level

    def lines(self, hart: int) -> int:
        """MEIP and SEIP of a hart."""
        if not self.pending:
            return 0
        threshold, context = self.threshold, 2 * hart
        machine = MEIP if self._best(context, threshold[context]) else 0
        return machine | (SEIP if self._best(context + 1, threshold[context + 1]) else 0)

    def _best(self, context: int, threshold: int) -> int:
        """The source above a threshold with the highest priority, then the lowest number."""
        candidates = self.pending & self.enable[context]
        best, best_priority = 0, threshold
        while candidates:
            source = (candidates & -candidates).bit_length() - 1
            candidates &= candidates - 1
            if self.priority[source] > best_priority:
                best, best_priority = source, self.priority[source]
        return best

    def _claim(self, context: int) -> int:
        source = self._best(context, 0)  # a claim is not affected by the threshold
        if source:
            self.pending &= ~(1 << source)
            self.claimed |= 1 << source
        return source

    def _complete(self, context: int, source: int) -> None:
        bit = 1 << source if source < SOURCES else 0
        if not bit & self.enable[context]:  # the specification ignores these silently
            return
        self.claimed &= ~bit
        self.pending |= self.levels & bit

    def read(self, offset: int, size: int) -> int:
        """All registers are 32 bits wide."""
        if size != 4 or offset & 3:
            return 0
        if offset >= CONTEXT:
            context, register = divmod(offset - CONTEXT, CONTEXT_STRIDE)
            if context >= self.contexts:
                return 0
            if register == 4:
                return self._claim(context)
            return self.threshold[context] if register == 0 else 0
        if offset >= ENABLE:
            context, register = divmod(offset - ENABLE, ENABLE_STRIDE)
            return self.enable[context] >> 8 * register & LOW if context < self.contexts else 0
        if offset >= PENDING:
            return self.pending >> 8 * (offset - PENDING) & LOW
        return self.priority[offset >> 2] if offset >> 2 < SOURCES else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Pending bits are read-only; fields without storage ignore what is written."""
        if size != 4 or offset & 3:
            return
        if offset >= CONTEXT:
            context, register = divmod(offset - CONTEXT, CONTEXT_STRIDE)
            if context < self.contexts:
                if register == 0:
                    self.threshold[context] = value & PRIORITY_MASK
                elif register == 4:
                    self._complete(context, value)
        elif offset >= ENABLE:
            context, register = divmod(offset - ENABLE, ENABLE_STRIDE)
            if context < self.contexts and register < SOURCES // 8:
                shift = 8 * register
                kept = self.enable[context] & ~(LOW << shift)
                self.enable[context] = (kept | value << shift) & ~1
        elif 0 < offset >> 2 < SOURCES:
            self.priority[offset >> 2] = value & PRIORITY_MASK
