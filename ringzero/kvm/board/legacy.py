"""The PC's small devices: keyboard controller for its reset line, clock, ACPI power registers.

Each is what a kernel of today touches and no more: no keyboard, no alarm, no sleep states but
power-off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from ringzero.kvm.board.layout import SLEEP_TYPE
from ringzero.machine.device import Device
from ringzero.outcome import Ending, PoweredOff, Rebooted

Stop = Callable[[Ending], None]
PM_TIMER_FREQUENCY = 3_579_545  # ACPI 6.5 §4.8.3.3
SLEEP_ENABLE, SCI_ENABLE = 1 << 13, 1


class KeyboardController(Device):
    """i8042 without a keyboard: its command 0xFE pulls the processor's reset line."""

    name = "i8042"
    size = 5
    stored: ClassVar[tuple[str, ...]] = ("output", "configuration", "expecting")

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self.stop = stop
        self.reset()

    def reset(self) -> None:
        """Nothing to read, system flag set."""
        self.output: list[int] = []
        self.configuration = 0x04
        self.expecting = 0

    def read(self, offset: int, size: int) -> int:
        """Port 0x60 is data, port 0x64 the status: bit 0 says that there is some."""
        if offset == 4:
            return 0x04 | bool(self.output)
        return self.output.pop(0) if offset == 0 and self.output else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Commands go to 0x64, their parameters to 0x60."""
        value &= 0xFF
        if offset == 4:
            self._command(value)
        elif offset == 0:
            if self.expecting == 0x60:
                self.configuration = value
            elif self.expecting == 0xD1 and not value & 1:
                self.stop(Rebooted())
            self.expecting = 0

    def _command(self, value: int) -> None:
        self.expecting = value if value in (0x60, 0xD1) else 0
        if value == 0xFE:
            self.stop(Rebooted())
        elif value == 0x20:
            self.output = [self.configuration]
        elif value == 0xAA:
            self.output = [0x55]  # self-test passed
        elif value == 0xAB:
            self.output = [0x01]  # no keyboard: clock line stuck


class Cmos(Device):
    """MC146818 clock and its memory: the host's time in UTC, as BCD."""

    name = "rtc"
    size = 2
    stored: ClassVar[tuple[str, ...]] = ("index", "memory")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.now = now
        self.index = 0
        self.memory = bytearray(128)

    def read(self, offset: int, size: int) -> int:
        """Port 0x71 is the register that was chosen."""
        if offset != 1:
            return 0xFF
        index = self.index
        if index in (0, 2, 4, 6, 7, 8, 9, 0x32):
            return self._time(index)
        # A: 32768 Hz divider, never updating; B: 24 hours, BCD; D: the battery is good.
        return {0x0A: 0x26, 0x0B: 0x02, 0x0C: 0, 0x0D: 0x80}.get(index, self.memory[index])

    def write(self, offset: int, size: int, value: int) -> None:
        """Port 0x70 chooses a register; its top bit masks the NMI, of which there is none."""
        if offset == 0:
            self.index = value & 0x7F
        elif self.index > 0x0D:
            self.memory[self.index] = value & 0xFF

    def _time(self, index: int) -> int:
        now = time.gmtime(self.now())
        value = {
            0: now.tm_sec, 2: now.tm_min, 4: now.tm_hour, 6: (now.tm_wday + 1) % 7 + 1,
            7: now.tm_mday, 8: now.tm_mon, 9: now.tm_year % 100, 0x32: now.tm_year // 100,
        }[index]  # fmt: skip
        return value // 10 << 4 | value % 10


class PowerManagement(Device):
    """ACPI's fixed hardware: PM1 event and control blocks and the timer (ACPI 6.5 §4.8.3)."""

    name = "acpi"
    size = 12
    stored: ClassVar[tuple[str, ...]] = ("enabled", "control")

    def __init__(self, stop: Stop, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """`now_ns` is what the timer counts."""
        super().__init__()
        self.stop, self.now_ns = stop, now_ns
        self.enabled = 0
        self.control = SCI_ENABLE

    def read(self, offset: int, size: int) -> int:
        """No event is ever pending."""
        if offset == 2:
            return self.enabled
        if offset == 4:
            return self.control
        if offset == 8:
            return self.now_ns() * PM_TIMER_FREQUENCY // 1_000_000_000 & 0xFFFF_FFFF
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """SLP_EN with the sleep type of S5 powers off."""
        if offset == 2:
            self.enabled = value & 0xFFFF
        elif offset == 4:
            self.control = value & 0x1C03 | SCI_ENABLE
            if value & SLEEP_ENABLE and value >> 10 & 7 == SLEEP_TYPE:
                self.stop(PoweredOff(0))


class ResetControl(Device):
    """Port 0xCF9, as PC chipsets have it: bit 2 resets."""

    name = "reset"
    size = 1

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self.stop = stop

    def write(self, offset: int, size: int, value: int) -> None:
        """A reset on bit 2."""
        if value & 4:
            self.stop(Rebooted())


class PciPorts(Device):
    """PCI's configuration mechanism #1: an address at 0xCF8, its data at 0xCFC to 0xCFF."""

    name = "pci-ports"
    size = 8
    stored: ClassVar[tuple[str, ...]] = ("address",)

    def __init__(self, space: Device) -> None:
        super().__init__()
        self.space = space
        self.address = 0

    def read(self, offset: int, size: int) -> int:
        """Data where the address is enabled by its top bit."""
        if offset < 4:
            return self.address if (offset, size) == (0, 4) else (1 << 8 * size) - 1
        if not self.address >> 31:
            return (1 << 8 * size) - 1
        return self.space.read(self._register(offset), size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Only a write of four bytes sets the address."""
        if (offset, size) == (0, 4):
            self.address = value & 0x80FF_FFFC
        elif offset >= 4 and self.address >> 31:
            self.space.write(self._register(offset), size, value)

    def _register(self, offset: int) -> int:
        """The place in memory-mapped configuration space, where a function has 4 KiB."""
        return (self.address >> 8 & 0xFFFF) << 12 | self.address & 0xFC | offset & 3


class ExitPort(Device):
    """One port: the byte written to it is the machine's exit code."""

    name = "exit"
    size = 1

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self.stop = stop

    def write(self, offset: int, size: int, value: int) -> None:
        """End the machine."""
        self.stop(PoweredOff(value & 0xFF))
