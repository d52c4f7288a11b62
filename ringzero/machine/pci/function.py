"""One PCI function: its configuration space, base address registers and interrupt pin.

The space is bytes plus a mask of the bits that a guest may change, so that BAR sizing, read-only
fields and capabilities need no code of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ringzero.machine.device import Device, nothing
from ringzero.machine.state import Stateful

VENDOR, DEVICE, COMMAND, STATUS, REVISION, CLASS = 0x00, 0x02, 0x04, 0x06, 0x08, 0x09
BARS, SUBSYSTEM_VENDOR, SUBSYSTEM, CAPABILITIES = 0x10, 0x2C, 0x2E, 0x34
INTERRUPT_LINE, INTERRUPT_PIN = 0x3C, 0x3D
MEMORY_ENABLE, MASTER_ENABLE, INTERRUPT_DISABLE = 1 << 1, 1 << 2, 1 << 10
INTERRUPT_STATUS, HAS_CAPABILITIES = 1 << 3, 1 << 4
BAR_64, BAR_PREFETCH = 4, 8
CONFIG_SIZE = 256  # the extended space behind it holds no capability and reads as zero


@dataclass(frozen=True)
class Bar:
    """A 64-bit memory window of a function, and what answers in it."""

    index: int
    region: Device


class PciFunction(Stateful):
    """Vendor, class and capabilities are fixed at construction; the guest changes the rest."""

    stored: ClassVar[tuple[str, ...]] = ("config",)

    def __init__(self, vendor: int, device: int, class_code: int, revision: int = 0) -> None:
        self.config = bytearray(CONFIG_SIZE)
        self.mask = bytearray(CONFIG_SIZE)
        self.bars: list[Bar] = []
        self.remap: Callable[[], None] = nothing
        self.refresh: Callable[[], None] = nothing
        self._next_capability = 0x40
        self._last_link = CAPABILITIES
        self.define(VENDOR, 2, vendor)
        self.define(DEVICE, 2, device)
        self.define(REVISION, 1, revision)
        self.define(CLASS, 3, class_code)
        self.define(COMMAND, 2, 0, MEMORY_ENABLE | MASTER_ENABLE | INTERRUPT_DISABLE)
        self.define(INTERRUPT_LINE, 1, 0, 0xFF)

    def define(self, offset: int, size: int, value: int, mask: int = 0) -> None:
        """Give a field its value at reset and the bits that a guest may change."""
        self.config[offset : offset + size] = value.to_bytes(size, "little")
        self.mask[offset : offset + size] = mask.to_bytes(size, "little")

    def add_bar(self, index: int, region: Device) -> None:
        """A 64-bit prefetchable window; its size is a power of two."""
        size = region.size
        assert size >= 16
        assert not size & (size - 1)
        mask = (1 << 64) - size
        self.define(BARS + 4 * index, 8, BAR_64 | BAR_PREFETCH, mask)
        self.bars.append(Bar(index, region))

    def add_capability(self, kind: int, body: bytes) -> int:
        """Append a capability; `body` follows its two-byte header. Returns its offset."""
        offset = self._next_capability
        self.define(STATUS, 2, HAS_CAPABILITIES)
        self.define(self._last_link, 1, offset)
        self.config[offset] = kind
        self.config[offset + 2 : offset + 2 + len(body)] = body
        self._last_link = offset + 1
        self._next_capability = (offset + 2 + len(body) + 3) & ~3
        return offset

    def reset(self) -> None:
        """Unmap the windows and forget what the guest configured."""
        for offset, mask in enumerate(self.mask):
            self.config[offset] &= ~mask & 0xFF

    @property
    def pin_asserted(self) -> bool:
        """Does the device behind the function want an interrupt?"""
        return False

    @property
    def interrupt(self) -> bool:
        """The level of the pin after the command register's gate."""
        return self.pin_asserted and not self.field(COMMAND, 2) & INTERRUPT_DISABLE

    def field(self, offset: int, size: int) -> int:
        """A field as it is stored."""
        return int.from_bytes(self.config[offset : offset + size], "little")

    def bar_address(self, bar: Bar) -> int | None:
        """Where a window is, or None while it is not decoded."""
        if not self.field(COMMAND, 2) & MEMORY_ENABLE:
            return None
        return self.field(BARS + 4 * bar.index, 8) & ~15

    def read(self, offset: int, size: int) -> int:
        """A configuration read."""
        if offset <= STATUS < offset + size:
            status = self.config[STATUS] & ~INTERRUPT_STATUS
            self.config[STATUS] = status | (INTERRUPT_STATUS if self.pin_asserted else 0)
        return int.from_bytes(self.config[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """A configuration write: bits outside the mask keep their value."""
        for place in range(offset, min(offset + size, CONFIG_SIZE)):
            mask = self.mask[place]
            self.config[place] = self.config[place] & ~mask & 0xFF | value & 0xFF & mask
            value >>= 8
        if offset < BARS + 24 and offset + size > COMMAND:
            self.remap()
            self.refresh()

    def restore(self, state: dict[str, object]) -> None:
        """Also move the windows to where they were."""
        super().restore(state)
        self.remap()
