"""Goldfish RTC: wall-clock time in nanoseconds since 1970, and one alarm."""

from __future__ import annotations

from typing import ClassVar

from ringzero.machine.clock import NANOSECONDS_PER_TICK, Clock
from ringzero.machine.device import Device

TIME_LOW, TIME_HIGH, ALARM_LOW, ALARM_HIGH = 0x00, 0x04, 0x08, 0x0C
IRQ_ENABLED, CLEAR_ALARM, ALARM_STATUS, CLEAR_INTERRUPT = 0x10, 0x14, 0x18, 0x1C
LOW = 0xFFFF_FFFF
MASK = (1 << 64) - 1


class GoldfishRtc(Device):
    """Reading the low half latches the high half, as the Android emulator does it."""

    name = "rtc"
    size = 0x1000
    stored: ClassVar[tuple[str, ...]] = (
        "epoch", "high", "alarm", "alarm_high", "armed", "pending", "enabled",
    )  # fmt: skip

    def __init__(self, clock: Clock, epoch: int) -> None:
        """`epoch` is the time, in nanoseconds since 1970, at which `mtime` was zero."""
        super().__init__()
        self.clock = clock
        self.epoch = epoch
        self.reset()

    def reset(self) -> None:
        """No alarm; time goes on."""
        self.high = self.alarm = self.alarm_high = 0
        self.armed = self.pending = self.enabled = False

    def now(self) -> int:
        """Nanoseconds since 1970."""
        return (self.epoch + self.clock.now() * NANOSECONDS_PER_TICK) & MASK

    def deadline(self) -> int | None:
        """The value of `mtime` at which the alarm rings."""
        if not self.armed:
            return None
        return max(0, -((self.epoch - self.alarm) // NANOSECONDS_PER_TICK))

    def poll(self) -> None:
        """Ring if it is time."""
        if self.armed and self.now() >= self.alarm:
            self.armed = False
            self.pending = True

    @property
    def interrupt(self) -> bool:
        """The alarm rang and its interrupt is enabled."""
        return self.pending and self.enabled

    def read(self, offset: int, size: int) -> int:
        """32-bit registers; others read as zero."""
        if size != 4:
            return 0
        if offset == TIME_LOW:
            now = self.now()
            self.high = now >> 32
            return now & LOW
        if offset == TIME_HIGH:
            return self.high
        if offset == ALARM_LOW:
            return self.alarm & LOW
        if offset == ALARM_HIGH:
            return self.alarm >> 32
        if offset == IRQ_ENABLED:
            return int(self.enabled)
        if offset == ALARM_STATUS:
            return int(self.armed)
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Set time or alarm; the high half comes first, the low half acts."""
        if size != 4:
            return
        if offset == TIME_LOW:
            self.epoch += (self.now() & ~LOW | value) - self.now()
        elif offset == TIME_HIGH:
            self.epoch += (value << 32 | self.now() & LOW) - self.now()
        elif offset == ALARM_LOW:
            self.alarm = self.alarm_high << 32 | value
            self.armed = True
            self.poll()
        elif offset == ALARM_HIGH:
            self.alarm_high = value
        elif offset == IRQ_ENABLED:
            self.enabled = bool(value & 1)
        elif offset == CLEAR_ALARM:
            self.armed = False
        elif offset == CLEAR_INTERRUPT:
            self.pending = False
