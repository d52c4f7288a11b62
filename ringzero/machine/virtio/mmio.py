"""virtio over MMIO (virtio 1.2 §4.2): one window of registers, or an empty slot.

An empty slot answers with device number 0, which drivers skip silently. A slot has the registers
of version 2, or those of version 1 for drivers from before virtio 1.0 (§4.2.4).
"""

from __future__ import annotations

from typing import ClassVar

from ringzero.board.virtio_mmio import LEGACY, MAGIC, MODERN, NO_DEVICE, VENDOR, VENDOR_ID
from ringzero.machine.device import Device
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.machine.virtio.queue import Virtqueue

LOW = 0xFFFF_FFFF
PAGE = 4096  # alignment of a legacy used ring, unless the driver says another

# Registers of §4.2.2 behind those that identify the slot.
DEVICE_FEATURES, DEVICE_FEATURES_SEL = 0x10, 0x14
DRIVER_FEATURES, DRIVER_FEATURES_SEL = 0x20, 0x24
QUEUE_SEL, QUEUE_NUM_MAX, QUEUE_NUM, QUEUE_READY, QUEUE_NOTIFY = 0x30, 0x34, 0x38, 0x44, 0x50
INTERRUPT_STATUS, INTERRUPT_ACK, STATUS = 0x60, 0x64, 0x70
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 0x80, 0x90, 0xA0
SHM_LENGTH, SHM_BASE_HIGH, CONFIG_GENERATION, CONFIG = 0xB0, 0xBC, 0xFC, 0x100
GUEST_PAGE_SIZE, QUEUE_ALIGN, QUEUE_PFN = 0x28, 0x3C, 0x40  # legacy, §4.2.4
ADDRESSES = {QUEUE_DESC: "descriptors", QUEUE_DRIVER: "available", QUEUE_DEVICE: "used"}


class VirtioMmio(Device):
    """One of the board's slots."""

    size = 0x1000
    stored: ClassVar[tuple[str, ...]] = (
        "device_select", "driver_select", "queue_select", "page_size", "align", "device",
    )  # fmt: skip

    def __init__(self, device: VirtioDevice | None = None) -> None:
        super().__init__()
        self.name = "virtio-mmio"
        self.device = device
        self.legacy = False
        self.page_size = 0  # drivers say it once, before they reset the device
        self._clear()

    def plug(self, device: VirtioDevice, *, legacy: bool = False) -> None:
        """Put a device into the slot, behind the registers of one version."""
        self.device, self.legacy = device, legacy

    def _clear(self) -> None:
        self.device_select = self.driver_select = self.queue_select = 0
        self.align = PAGE

    def reset(self) -> None:
        """Power-on state, of the device too."""
        self._clear()
        self.page_size = 0
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
            version = LEGACY if self.legacy else MODERN
            return (MAGIC, version, device.device_id if device else NO_DEVICE, VENDOR)[offset >> 2]
        return self._read(device, offset) if device else 0

    def _read(self, device: VirtioDevice, offset: int) -> int:
        if offset == INTERRUPT_STATUS:
            return device.isr
        if offset == STATUS:
            return device.status
        if offset == DEVICE_FEATURES:
            words = 1 if self.legacy else 2  # VERSION_1 is in the second
            select = self.device_select
            return device.features >> 32 * select & LOW if select < words else 0
        if offset == QUEUE_NUM_MAX:
            return self._queue.limit if self._queue else 0
        return self._read_legacy(offset) if self.legacy else self._read_modern(device, offset)

    def _read_modern(self, device: VirtioDevice, offset: int) -> int:
        if offset == QUEUE_READY:
            return int(self._queue.ready) if self._queue else 0
        if offset == CONFIG_GENERATION:
            return device.config_generation
        if SHM_LENGTH <= offset <= SHM_BASE_HIGH:
            return LOW  # §4.2.2.2: all ones, there is no such region
        return 0

    def _read_legacy(self, offset: int) -> int:
        if offset == QUEUE_PFN and self._queue and self._queue.ready and self.page_size:
            return self._queue.descriptors // self.page_size
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
        elif offset == GUEST_PAGE_SIZE and self.legacy:
            self.page_size = value
        elif self._queue and self.legacy:
            self._write_legacy_queue(self._queue, offset, value)
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

    def _write_legacy_queue(self, queue: Virtqueue, offset: int, value: int) -> None:
        """The rings follow each other from one page on, the used ring aligned (§2.7.2)."""
        if offset == QUEUE_PFN and not value:
            queue.stop()
        elif queue.ready:
            return
        elif offset == QUEUE_NUM:
            queue.size = value
        elif offset == QUEUE_ALIGN:
            self.align = value
        elif offset == QUEUE_PFN:
            queue.descriptors = value * self.page_size
            queue.available = queue.descriptors + 16 * queue.size
            align = max(self.align, 1)
            queue.used = -(-(queue.available + 6 + 2 * queue.size) // align) * align
            queue.enable()
