"""virtio over PCI, modern interface (virtio 1.2 §4.1): one 64-bit BAR with four regions, and INTx.

The capability list tells where the regions are; one more capability reaches them through
configuration space, for firmware that cannot map BARs. MSI-X is not offered, so its vectors read as
"none".
"""

from __future__ import annotations

import struct
from typing import ClassVar

from ringzero.machine.device import Device
from ringzero.machine.pci.function import (
    INTERRUPT_PIN,
    SUBSYSTEM,
    SUBSYSTEM_VENDOR,
    PciFunction,
)
from ringzero.machine.virtio.device import VirtioDevice

VENDOR_ID, FIRST_DEVICE_ID = 0x1AF4, 0x1040
VENDOR_CAPABILITY = 0x09
COMMON, NOTIFY, ISR, DEVICE, PCI_ACCESS = 1, 2, 3, 4, 5  # cfg_type, §4.1.4
BAR_INDEX, REGION_SIZE, NOTIFY_MULTIPLIER = 4, 0x1000, 4
PLACES = {COMMON: 0x0000, ISR: 0x1000, DEVICE: 0x2000, NOTIFY: 0x3000}
NO_VECTOR = 0xFFFF
LOW = 0xFFFF_FFFF

# Fields of virtio_pci_common_cfg, §4.1.4.3: offset → size.
DEVICE_FEATURE_SELECT, DEVICE_FEATURE, DRIVER_FEATURE_SELECT, DRIVER_FEATURE = 0, 4, 8, 12
MSIX_CONFIG, NUM_QUEUES, STATUS, GENERATION = 16, 18, 20, 21
QUEUE_SELECT, QUEUE_SIZE, QUEUE_VECTOR, QUEUE_ENABLE, QUEUE_NOTIFY_OFF = 22, 24, 26, 28, 30
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 32, 40, 48
ADDRESSES = {QUEUE_DESC: "descriptors", QUEUE_DRIVER: "available", QUEUE_DEVICE: "used"}


class VirtioRegion(Device):
    """The BAR: common, ISR, device and notify registers, a page each."""

    name = "virtio-pci"
    size = 4 * REGION_SIZE
    stored: ClassVar[tuple[str, ...]] = ("device_select", "driver_select", "queue_select")

    def __init__(self, device: VirtioDevice) -> None:
        super().__init__()
        self.device = device
        self.reset()

    def reset(self) -> None:
        """Selectors only; the device resets itself."""
        self.device_select = self.driver_select = self.queue_select = 0

    def read(self, offset: int, size: int) -> int:
        """Dispatch by page."""
        place, page = offset & (REGION_SIZE - 1), offset & -REGION_SIZE
        if page == PLACES[COMMON]:
            return self._read_common(place, size)
        if page == PLACES[ISR]:
            cause = 0
            if place == 0:
                cause, self.device.isr = self.device.isr, 0
            return cause
        if page == PLACES[DEVICE]:
            return self.device.read_config(place, size)
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Dispatch by page; a notification is any write to the queue's own address."""
        place, page = offset & (REGION_SIZE - 1), offset & -REGION_SIZE
        if page == PLACES[NOTIFY]:
            self.device.kick(place // NOTIFY_MULTIPLIER)
        elif page == PLACES[COMMON]:
            if size == 8:
                self._write_common(place, 4, value & LOW)
                self._write_common(place + 4, 4, value >> 32)
            else:
                self._write_common(place, size, value)
        elif page == PLACES[DEVICE]:
            self.device.write_config(place, size, value)

    def _read_common(self, place: int, size: int) -> int:
        if place >= 56:
            return 0
        content = self._common()
        return int.from_bytes(content[place : place + size], "little")

    def _common(self) -> bytes:
        device = self.device
        index = self.queue_select
        queue = device.queues[index] if index < len(device.queues) else None
        return struct.pack(
            "<IIIIHHBBHHHHHQQQ",
            self.device_select,
            _word(device.features, self.device_select),
            self.driver_select,
            _word(device.driver_features, self.driver_select),
            NO_VECTOR,
            len(device.queues),
            device.status,
            device.config_generation,
            index,
            queue.size if queue else 0,
            NO_VECTOR,
            int(queue.ready) if queue else 0,
            index if queue else 0,
            queue.descriptors if queue else 0,
            queue.available if queue else 0,
            queue.used if queue else 0,
        )

    def _write_common(self, place: int, size: int, value: int) -> None:
        device = self.device
        if place == STATUS:
            device.set_status(value & 0xFF)
            if not value & 0xFF:
                self.reset()
        elif place == DEVICE_FEATURE_SELECT:
            self.device_select = value
        elif place == DRIVER_FEATURE_SELECT:
            self.driver_select = value
        elif place == DRIVER_FEATURE:
            device.set_driver_features(
                _with_word(device.driver_features, self.driver_select, value)
            )
        elif place == QUEUE_SELECT:
            self.queue_select = value & 0xFFFF
        elif self.queue_select < len(device.queues):
            self._write_queue(place, size, value)

    def _write_queue(self, place: int, size: int, value: int) -> None:
        queue = self.device.queues[self.queue_select]
        if queue.ready:  # §4.1.4.3.2: nothing may change any more
            return
        if place == QUEUE_SIZE:
            queue.size = value & 0xFFFF
        elif place == QUEUE_ENABLE and value & 1:
            queue.enable()
        elif place & ~7 in ADDRESSES and size == 4 and not place & 3:
            name = ADDRESSES[place & ~7]
            setattr(queue, name, _with_word(getattr(queue, name), place >> 2 & 1, value))


class VirtioPci(PciFunction):
    """The PCI function in front of a virtio device."""

    stored: ClassVar[tuple[str, ...]] = ("region", "device")

    def __init__(self, device: VirtioDevice) -> None:
        super().__init__(
            VENDOR_ID, FIRST_DEVICE_ID + device.device_id, device.device_class, revision=1
        )
        self.device = device
        self.region = VirtioRegion(device)
        self.define(SUBSYSTEM_VENDOR, 2, VENDOR_ID)
        self.define(SUBSYSTEM, 2, 0x1100)
        self.define(INTERRUPT_PIN, 1, 1)
        self.add_bar(BAR_INDEX, self.region)
        for kind in (COMMON, ISR, DEVICE):
            self._add_capability(kind, BAR_INDEX, PLACES[kind], REGION_SIZE)
        multiplier = struct.pack("<I", NOTIFY_MULTIPLIER)
        self._add_capability(NOTIFY, BAR_INDEX, PLACES[NOTIFY], REGION_SIZE, multiplier)
        self.window = self._add_capability(PCI_ACCESS, 0, 0, 0, bytes(4))
        self.mask[self.window + 4] = 0xFF  # bar, offset, length: the driver's choice
        self.mask[self.window + 8 : self.window + 16] = b"\xff" * 8

    def _add_capability(
        self, kind: int, bar: int, offset: int, length: int, extra: bytes = b""
    ) -> int:
        size = 16 + len(extra)
        body = struct.pack("<BBBBBBII", size, kind, bar, 0, 0, 0, offset, length)
        return self.add_capability(VENDOR_CAPABILITY, body + extra)

    @property
    def pin_asserted(self) -> bool:
        """The device's interrupt status."""
        return self.device.interrupt

    def reset(self) -> None:
        """Power-on state, of the device too."""
        super().reset()
        self.region.reset()
        self.device.reset()

    def _window(self) -> tuple[int, int] | None:
        """What pci_cfg_data stands for, §4.1.4.9: an offset in the BAR, and a width."""
        bar = self.config[self.window + 4]
        offset, length = struct.unpack_from("<II", self.config, self.window + 8)
        if bar != BAR_INDEX or length not in (1, 2, 4) or offset % length:
            return None
        return (offset, length) if offset + length <= self.region.size else None

    def read(self, offset: int, size: int) -> int:
        """Reading pci_cfg_data reads the region behind it."""
        data = self.window + 16
        if offset < data + 4 and data < offset + size and (window := self._window()):
            value = self.region.read(*window)
            self.config[data : data + 4] = value.to_bytes(4, "little")
            self.refresh()
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Writing pci_cfg_data writes the region behind it."""
        if offset == self.window + 16 and (window := self._window()):
            self.region.write(*window, value & (1 << 8 * window[1]) - 1)
            self.refresh()
        else:
            super().write(offset, size, value)


def _word(value: int, index: int) -> int:
    return value >> 32 * index & LOW if index < 2 else 0


def _with_word(value: int, index: int, word: int) -> int:
    if index > 1:
        return value
    shift = 32 * index
    return value & ~(LOW << shift) | (word & LOW) << shift
