"""The board: devices at the addresses of QEMU's `virt`, their interrupt wires, and guest time.

Threads that run harts use the bus, and one of them or another calls `tick`; whoever does holds the
bus's lock. Other threads feed devices, which announce it here; `wake` then sees to a `tick`.
`lines` are mip bits, published when they change.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

from ringzero.board import addresses as at
from ringzero.errors import UsageError
from ringzero.machine.bus import Bus
from ringzero.machine.clock import NANOSECONDS_PER_TICK, Clock
from ringzero.machine.device import Device, nothing
from ringzero.machine.devices.clint import MSIP, MTIP, Clint
from ringzero.machine.devices.finisher import TestFinisher
from ringzero.machine.devices.plic import MEIP, SEIP, Plic
from ringzero.machine.devices.rom import Rom
from ringzero.machine.devices.rtc import GoldfishRtc
from ringzero.machine.devices.uart import Uart
from ringzero.machine.disk import Bus as VirtioBus
from ringzero.machine.htif import Htif
from ringzero.machine.memory import GuestMemory
from ringzero.machine.pci.host import PciHost
from ringzero.machine.state import Stateful
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.machine.virtio.mmio import VirtioMmio
from ringzero.machine.virtio.pci import VirtioPci
from ringzero.outcome import Ending

LINES = MSIP | MTIP | MEIP | SEIP
NEVER = (1 << 64) - 1
MAX_CPUS = 64

SetLines = Callable[[int, int, int], None]


def discard(data: bytes) -> None:
    """The output of a machine without a console."""


def unconnected(hart: int, mask: int, value: int) -> None:
    """The interrupt lines of a board without harts."""


class VirtBoard(Stateful):
    """Builds the devices and wires them; what runs harts calls `bus`, `tick` and `deadline`."""

    stored: ClassVar[tuple[str, ...]] = (
        "clock", "clint", "plic", "uart", "rtc", "pci", "slots", "htif",
    )  # fmt: skip

    def __init__(
        self,
        memory: GuestMemory,
        cpus: int,
        clock: Clock,
        *,
        stop: Callable[[Ending], None],
        isa_extensions: Sequence[str],
        set_lines: SetLines = unconnected,
        output: Callable[[bytes], object] = discard,
        wake: Callable[[], None] = nothing,
        mmu_type: str = "riscv,sv57",
        epoch: int | None = None,
        rng_seed: bytes = b"",
    ) -> None:
        """`epoch` is the guest's start in nanoseconds since 1970; None takes the host's time."""
        if not 1 <= cpus <= MAX_CPUS:
            raise UsageError(f"{cpus} CPUs do not fit this board: give 1 to {MAX_CPUS}.")
        self.memory, self.cpus, self.clock = memory, cpus, clock
        self.stop, self.set_lines, self.wake = stop, set_lines, wake
        self.isa_extensions, self.mmu_type, self.rng_seed = list(isa_extensions), mmu_type, rng_seed
        self.bus = Bus()
        self.htif: Htif | None = None
        self.lines = [0] * cpus
        self.virtio: list[VirtioDevice] = []
        self._announced: deque[tuple[Callable[[], None], Callable[[], None]]] = deque()
        if epoch is None:
            epoch = time.time_ns()
        self._build(output, epoch - clock.now() * NANOSECONDS_PER_TICK)

    def _build(self, output: Callable[[bytes], object], epoch: int) -> None:
        self.rom = Rom(b"", at.ROM_SIZE)
        self.finisher = TestFinisher(self.stop)
        self.clint = Clint(self.cpus, self.clock)
        self.plic = Plic(self.cpus)
        self.uart = Uart(output)
        self.rtc = GoldfishRtc(self.clock, epoch)
        self.pci = PciHost(lambda line, level: self._set_source(at.PCI_SOURCE + line, level))
        self.slots = [VirtioMmio() for _ in range(at.VIRTIO_SLOTS)]
        self.bus.attach(at.ROM_BASE, self.rom)
        self.bus.attach(at.FINISHER_BASE, self.finisher)
        self.bus.attach(at.CLINT_BASE, self.clint, self.publish)
        self.bus.attach(at.PLIC_BASE, self.plic, self.publish)
        self._attach(at.RTC_BASE, self.rtc, at.RTC_SOURCE)
        self._attach(at.UART_BASE, self.uart, at.UART_SOURCE)
        for index, slot in enumerate(self.slots):
            self._attach(at.VIRTIO_BASE + index * at.VIRTIO_SIZE, slot, at.VIRTIO_SOURCE + index)
        self.bus.attach(at.ECAM_BASE, self.pci.ecam)
        self.bus.attach(
            at.MMIO32_BASE, self.pci.window(at.MMIO32_BASE, at.MMIO32_SIZE, "pci-mmio32")
        )
        self.bus.attach(
            self.mmio64_base, self.pci.window(self.mmio64_base, at.MMIO64_SIZE, "pci-mmio64")
        )
        self.bus.attach(at.PIO_BASE, self.pci.port_window(at.PIO_BASE, at.PIO_SIZE))

    @property
    def mmio64_base(self) -> int:
        """The window for large BARs; it gives way to very large RAM as QEMU's does."""
        return max(at.MMIO64_BASE, -(-self.memory.end // at.MMIO64_SIZE) * at.MMIO64_SIZE)

    def _attach(self, base: int, device: Device, source: int) -> None:
        """A device with a wire to the PLIC."""
        refresh = partial(self._refresh, device, source)
        device.changed = partial(self._announce, device.poll, refresh)
        self.bus.attach(base, device, refresh)

    def _refresh(self, device: Device, source: int) -> None:
        if self.plic.set_level(source, device.interrupt):
            self.publish()

    def _set_source(self, source: int, level: bool) -> None:
        if self.plic.set_level(source, level):
            self.publish()

    def _announce(self, poll: Callable[[], None], refresh: Callable[[], None]) -> None:
        """From any thread: a device has something new."""
        self._announced.append((poll, refresh))
        self.wake()

    def add_virtio(
        self, device: VirtioDevice, transport: VirtioBus = "pci", *, legacy: bool = False
    ) -> VirtioDevice:
        """Plug a virtio device in before the guest starts; on MMIO into the first free slot.

        `legacy` gives it the registers from before virtio 1.0, which exist on MMIO only.
        """
        device.attach(self.memory)
        self.virtio.append(device)
        if transport == "pci":
            function = VirtioPci(device)
            self.pci.add(function)
            device.changed = partial(self._announce, device.poll, function.refresh)
            return device
        free = [slot for slot in self.slots if slot.device is None]
        if not free:
            raise UsageError(f"All {at.VIRTIO_SLOTS} virtio-mmio slots are in use: take PCI.")
        free[0].plug(device, legacy=legacy)
        device.changed = free[0].changed
        return device

    def add_htif(
        self,
        tohost: int,
        fromhost: int | None = None,
        write: Callable[[bytes], object] | None = None,
    ) -> Htif:
        """Watch a program's `tohost` symbol."""
        sink = write or self.uart.output
        self.htif = Htif(self.memory, tohost, fromhost, write=sink, stop=self.stop)
        return self.htif

    def publish(self) -> None:
        """Tell the harts which of their lines changed."""
        for hart in range(self.cpus):
            lines = self.clint.lines(hart) | self.plic.lines(hart)
            if lines != self.lines[hart]:
                self.lines[hart] = lines
                self.set_lines(hart, LINES, lines)

    def tick(self) -> None:
        """Between slices of execution: take news from other threads, ring what is due."""
        with self.bus.lock:
            self._tick()

    def _tick(self) -> None:
        while self._announced:
            poll, refresh = self._announced.popleft()
            poll()
            refresh()
        if self.htif:
            self.htif.poll()
        if self.rtc.armed:
            self.rtc.poll()
            self._refresh(self.rtc, at.RTC_SOURCE)
        self.publish()

    def deadline(self) -> int:
        """The next `mtime` at which `tick` would change a line; NEVER if none is set.

        The lines here may be older than the comparators, which native code writes by itself: a
        timer has expired only if it is due as well.
        """
        now = self.clock.now()
        timers = ((self.clint.deadline(hart), self.lines[hart]) for hart in range(self.cpus))
        times = [due for due, lines in timers if due > now or not lines & MTIP]
        alarm = self.rtc.deadline()
        return min([*times, NEVER if alarm is None else alarm], default=NEVER)

    def reset(self) -> None:
        """Power-on state of everything but RAM and time."""
        for device in self._devices():
            device.reset()
        self.pci.reset()
        self.publish()

    def _devices(self) -> Iterator[Device]:
        yield from (self.clint, self.plic, self.uart, self.rtc)
        yield from self.slots

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state and publish its lines."""
        super().restore(state)
        self.publish()
