"""virtio over MMIO, version 2 (virtio 1.2 §4.2): one window of registers, or an empty slot.

An empty slot answers with device number 0, which drivers skip silently.
"""

from __future__ import annotations

from typing import ClassVar

from ringzero.machine.device import Device
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.machine.virtio.queue import Virtqueue

MAGIC, VERSION, VENDOR = 0x7472_6976, 2, 0x554D_4551
LOW = 0xFFFF_FFFF

# Registers of §4.2.2.
MAGIC_VALUE, VERSION_NUMBER, DEVICE_ID, VENDOR_ID = 0x00, 0x04, 0x08, 0x0C
DEVICE_FEATURES, DEVICE_FEATURES_SEL = 0x10, 0x14
DRIVER_FEATURES, DRIVER_FEATURES_SEL = 0x20, 0x24
QUEUE_SEL, QUEUE_NUM_MAX, QUEUE_NUM, QUEUE_READY, QUEUE_NOTIFY = 0x30, 0x34, 0x38, 0x44, 0x50
INTERRUPT_STATUS, INTERRUPT_ACK, STATUS = 0x60, 0x64, 0x70
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 0x80, 0x90, 0xA0
SHM_LENGTH, SHM_BASE_HIGH, CONFIG_GENERATION, CONFIG = 0xB0, 0xBC, 0xFC, 0x100
ADDRESSES = {QUEUE_DESC: "descriptors", QUEUE_DRIVER: "available", QUEUE_DEVICE: "used"}


class VirtioMmio(Device):
    """One of the board's slots."""

    size = 0x1000
    stored: ClassVar[tuple[str, ...]] = (
        "device_select", "driver_select", "queue_select", "device",
    )  # fmt: skip

    def __init__(self, device: VirtioDevice | None = None) -> None:
        super().__init__()
        self.name = "virtio-mmio"
        self.device = device
        self._clear()

    def _clear(self) -> None:
        self.device_select = self.driver_select = self.queue_select = 0

    def reset(self) -> None:
        """Power-on state, of the device too."""
        self._clear()
        if self.device:
            self.device.reset()

    @property
    def interrupt(self) -> bool:
        """The device's interrupt status."""
        return self.device is not None and self.device.isr != 0

    def poll(self) -> None:
        """Pass on to the device."""
        if self.device:
            self.device.poll()

    @property
    def _queue(self) -> Virtqueue | None:
        queues = self.device.queues if self.device else []
        return queues[self.queue_select] if self.queue_select < len(queues) else None

    def read(self, offset: int, size: int) -> int:
        """Registers are 32 bits wide; the configuration has any width."""
        device = self.device
        if offset >= CONFIG:
            return device.read_config(offset - CONFIG, size) if device else 0
        if size != 4 or offset & 3:
            return 0
        if offset <= VENDOR_ID:
            identity = (MAGIC, VERSION, device.device_id if device else 0, VENDOR)
            return identity[offset >> 2]
        return self._read(device, offset) if device else 0

    def _read(self, device: VirtioDevice, offset: int) -> int:
        if offset == INTERRUPT_STATUS:
            return device.isr
        if offset == STATUS:
            return device.status
        if offset == DEVICE_FEATURES:
            return device.features >> 32 * self.device_select & LOW if self.device_select < 2 else 0
        if offset == QUEUE_NUM_MAX:
            return self._queue.limit if self._queue else 0
        if offset == QUEUE_READY:
            return int(self._queue.ready) if self._queue else 0
        if offset == CONFIG_GENERATION:
            return device.config_generation
        if SHM_LENGTH <= offset <= SHM_BASE_HIGH:
            return LOW  # §4.2.2.2: all ones, there is no such region
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """As `read`; an empty slot ignores everything."""
        device = self.device
        if device is None:
            return
        if offset >= CONFIG:
            device.write_config(offset - CONFIG, size, value)
        elif size == 4 and not offset & 3:
            self._write(device, offset, value)

    def _write(self, device: VirtioDevice, offset: int, value: int) -> None:
        if offset == QUEUE_NOTIFY:
            device.kick(value & 0xFFFF)
        elif offset == INTERRUPT_ACK:
            device.isr &= ~value
        elif offset == STATUS:
            device.set_status(value & 0xFF)
            if not value & 0xFF:
                self._clear()
        elif offset == DEVICE_FEATURES_SEL:
            self.device_select = value
        elif offset == DRIVER_FEATURES_SEL:
            self.driver_select = value
        elif offset == DRIVER_FEATURES and self.driver_select < 2:
            shift = 32 * self.driver_select
            kept = device.driver_features & ~(LOW << shift)
            device.set_driver_features(kept | value << shift)
        elif offset == QUEUE_SEL:
            self.queue_select = value
        elif self._queue:
            self._write_queue(self._queue, offset, value)

    def _write_queue(self, queue: Virtqueue, offset: int, value: int) -> None:
        if offset == QUEUE_READY:
            if value & 1 and not queue.ready:
                queue.enable()
            elif not value & 1:
                queue.ready = False
        elif queue.ready:
            return
        elif offset == QUEUE_NUM:
            queue.size = value
        elif offset & ~7 in ADDRESSES:
            name, shift = ADDRESSES[offset & ~7], 8 * (offset & 4)
            address: int = getattr(queue, name)
            setattr(queue, name, address & ~(LOW << shift) | value << shift)
