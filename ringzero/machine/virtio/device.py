"""What all virtio devices share, whatever transport carries them (virtio 1.2 §2, §3).

A transport sets status, features and queue addresses and calls `kick`; a device implements
`notify`, takes chains from its queues and gives them back with `push`. When a driver breaks the
rules the device stops and asks for a reset (§2.1.2), and nobody else notices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from ringzero.machine.device import nothing
from ringzero.machine.memory import GuestMemory
from ringzero.machine.state import Stateful
from ringzero.machine.virtio.queue import Chain, Virtqueue

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
INDIRECT_DESC, EVENT_IDX, VERSION_1 = 1 << 28, 1 << 29, 1 << 32
QUEUE_INTERRUPT, CONFIG_INTERRUPT = 1, 2  # bits of the interrupt status


class VirtioDevice(Stateful):
    """The transport-independent part of a device."""

    name: str = "virtio"
    device_id: ClassVar[int] = 0
    device_class: ClassVar[int] = 0xFF0000  # PCI class code of virtio-pci
    stored: ClassVar[tuple[str, ...]] = (
        "status", "isr", "driver_features", "config_generation", "queues",
    )  # fmt: skip

    def __init__(self, queue_sizes: Sequence[int], features: int = 0) -> None:
        self.features = features | VERSION_1 | INDIRECT_DESC | EVENT_IDX
        self.queues = [Virtqueue(size) for size in queue_sizes]
        self.memory: GuestMemory | None = None
        self.changed: Callable[[], None] = nothing
        self.failure = ""
        self.status = self.isr = self.driver_features = self.config_generation = 0

    def attach(self, memory: GuestMemory) -> None:
        """Give the device the RAM that its queues live in."""
        self.memory = memory
        for queue in self.queues:
            queue.memory = memory
            queue.on_broken = self.fail

    # What a device overrides.

    @property
    def config(self) -> bytes:
        """The device-specific configuration as the driver reads it."""
        return b""

    def notify(self, queue_index: int) -> None:
        """The driver has put requests into a queue."""

    def poll(self) -> None:
        """Take what other threads handed over; called by the harts' thread after `changed`."""

    def write_config(self, offset: int, size: int, value: int) -> None:
        """The driver writes to the configuration; most devices have nothing writable."""

    def reset(self) -> None:
        """The driver wrote 0 to the status: forget it. Overriding methods call this one too."""
        self.status = self.isr = self.driver_features = 0
        self.failure = ""
        for queue in self.queues:
            queue.reset()

    # What a device uses.

    @property
    def running(self) -> bool:
        """May the device use its queues? Drivers of before 1.0 often start early (§3.1.2)."""
        ready = DRIVER_OK if self.negotiated(VERSION_1) else DRIVER_OK | DRIVER
        return bool(self.status & ready) and not self.status & NEEDS_RESET

    def negotiated(self, feature: int) -> bool:
        """Did the driver accept a feature (a mask of one bit)?"""
        return bool(self.driver_features & self.features & feature)

    def push(self, queue: Virtqueue, chain: Chain, written: int) -> None:
        """Give a chain back and raise the interrupt if the driver wants one."""
        if queue.push(chain, written):
            self.isr |= QUEUE_INTERRUPT

    def config_changed(self) -> None:
        """Tell the driver that the configuration has changed (§2.5)."""
        self.config_generation = (self.config_generation + 1) & 0xFF
        if self.status & DRIVER_OK:
            self.isr |= CONFIG_INTERRUPT

    def fail(self, reason: str) -> None:
        """The driver broke the rules: stop until it resets the device."""
        self.failure = reason
        self.status |= NEEDS_RESET
        if self.status & DRIVER_OK:
            self.isr |= CONFIG_INTERRUPT

    # What a transport calls.

    @property
    def interrupt(self) -> bool:
        """The level of the interrupt line."""
        return self.isr != 0

    def kick(self, queue_index: int) -> None:
        """The driver notified a queue; any number may come."""
        if queue_index < len(self.queues) and self.running and self.queues[queue_index].ready:
            self.notify(queue_index)

    def read_config(self, offset: int, size: int) -> int:
        """Configuration bytes; what lies beyond them reads as zero."""
        return int.from_bytes(self.config[offset : offset + size], "little")

    def set_driver_features(self, features: int) -> None:
        """The driver's choice, final once FEATURES_OK is set (§3.1.1)."""
        if self.status & FEATURES_OK:
            return
        self.driver_features = features
        for queue in self.queues:
            queue.indirect = self.negotiated(INDIRECT_DESC)
            queue.event_index = self.negotiated(EVENT_IDX)

    def set_status(self, status: int) -> None:
        """The driver writes the device status (§2.1).

        A driver that does not accept VERSION_1 is a legacy one. It is served like the others:
        guests here are little-endian, and no device here has a format of its own for it (§2.4.3).
        """
        if not status:
            self.reset()
            return
        accepting = status & FEATURES_OK and not self.status & FEATURES_OK
        if accepting and self.driver_features & ~self.features:
            status &= ~FEATURES_OK
        started = status & DRIVER_OK and not self.status & DRIVER_OK
        self.status = (status & 0xFF) | self.status & NEEDS_RESET
        if started and self.running:
            self.poll()
        elif started:  # a ring was unusable from the start
            self.isr |= CONFIG_INTERRUPT
