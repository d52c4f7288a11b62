"""The x86-64 board's wiring: which device answers at which port or address, and on which line.

vCPUs run on threads of their own, so one lock serializes everything that touches a device. After
each access the device's interrupt line is read again; a device that changes by itself (input
arrived) only sets the board's wake-up, and the thread that waits for the machine serves it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from ringzero.errors import RingzeroError, UsageError
from ringzero.kvm.board import layout
from ringzero.kvm.board.legacy import PciPorts
from ringzero.kvm.errors import KvmError
from ringzero.kvm.vm import Vm
from ringzero.machine.bus import Bus
from ringzero.machine.clock import NANOSECONDS_PER_TICK, HostClock
from ringzero.machine.device import Device, nothing
from ringzero.machine.memory import GuestMemory
from ringzero.machine.pci.host import PciHost
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.machine.virtio.mmio import VirtioMmio
from ringzero.machine.virtio.pci import VirtioPci
from ringzero.outcome import Ending

RAM_SPLIT = 0xC000_0000  # RAM that would lie above continues at 4 GiB; between them are devices
HIGH_RAM = 1 << 32


@dataclass(frozen=True)
class Failure:
    """The run ends because of this."""

    error: BaseException


class Wire:
    """A device with its place and, where it has one, its interrupt line."""

    __slots__ = ("base", "board", "device", "gsi", "level")

    def __init__(self, board: Board, base: int, device: Device, gsi: int | None) -> None:
        self.board = board
        self.base = base
        self.device = device
        self.gsi = gsi
        self.level = False

    def update(self) -> None:
        """Bring the interrupt line to the level that the device's state asks for."""
        if self.gsi is not None:
            level = self.device.interrupt
            if level is not self.level:
                self.level = level
                self.board.vm.irq_line(self.gsi, level)


class Board:
    """Memory, devices and lines of one `Vm`."""

    def __init__(self, vm: Vm, memory: GuestMemory, wakeup: threading.Event | None = None) -> None:
        """`wakeup` is set where the thread that waits for the machine has something to look at."""
        self.vm = vm
        self.memory = memory
        self.lock = threading.RLock()
        self.wakeup = wakeup or threading.Event()
        self.clock = HostClock()  # of what counts time here; it stands still while vCPUs do
        self.ports: dict[int, Wire] = {}
        self.mmio = Bus()
        self.mmio_wires: dict[int, Wire] = {}
        self.wires: list[Wire] = []
        self.functions: list[VirtioPci] = []
        self.pci_lines = [False] * 4
        self.ended: Ending | Failure | None = None
        self.halting = False  # vCPUs are to come out of the guest, and stay out
        self.map_memory()

    def now_ns(self) -> int:
        """Nanoseconds for which the guest has run."""
        return self.clock.now() * NANOSECONDS_PER_TICK

    def map_memory(self) -> None:
        """Slot 0 is RAM below the devices, slot 1 what continues above 4 GiB."""
        host = self.memory.address_of_buffer
        self.vm.map(0, 0, host, min(self.memory.size, RAM_SPLIT))
        if self.memory.size > HIGH_RAM:
            self.vm.map(1, HIGH_RAM, host + HIGH_RAM, self.memory.size - HIGH_RAM)

    def attach_ports(
        self, base: int, device: Device, count: int, gsi: int | None = None, offset: int = 0
    ) -> None:
        """Let a device answer at `count` I/O ports, the first of which is its own `offset`."""
        wire = self._wire(base - offset, device, gsi)
        for port in range(base, base + count):
            if port in self.ports:
                raise UsageError(
                    f"Port {port:#x} belongs to {self.ports[port].device.name}: give "
                    f"{device.name} other ports."
                )
            self.ports[port] = wire

    def attach(self, base: int, device: Device, gsi: int | None = None) -> None:
        """Let a device answer at physical addresses outside RAM."""
        self.mmio.attach(base, device)
        self.mmio_wires[base] = self._wire(base, device, gsi)

    def _wire(self, base: int, device: Device, gsi: int | None) -> Wire:
        wire = Wire(self, base, device, gsi)
        device.changed = self.wakeup.set
        self.wires.append(wire)
        return wire

    def attach_pci(self) -> PciHost:
        """A PCIe host bridge: its configuration space, its window, and four lines."""
        host = PciHost(self._set_pci_line)
        self.attach(layout.ECAM, host.ecam)
        window = host.window(layout.PCI_WINDOW, layout.PCI_WINDOW_SIZE, "pci-window")
        self.attach(layout.PCI_WINDOW, window)
        ports = PciPorts(host.ecam)
        self.attach_ports(layout.PCI_ADDRESS, ports, 1)
        self.attach_ports(layout.PCI_DATA, ports, 4, offset=4)
        return host

    def _set_pci_line(self, line: int, level: bool) -> None:
        if self.pci_lines[line] is not level:
            self.pci_lines[line] = level
            self.vm.irq_line(layout.PCI_LINE + line, level)

    def plug(self, host: PciHost, device: VirtioDevice) -> None:
        """Put a virtio device into the bridge's next slot."""
        function = VirtioPci(device)
        host.add(function)
        device.changed = self.wakeup.set
        self.functions.append(function)

    def wire_at(self, address: int, size: int) -> Wire | None:
        """The device that answers a memory access, None where there is none."""
        found = self.mmio.find(address)
        if found is None or address + size > found[0] + found[1].size:
            return None
        return self.mmio_wires[found[0]]

    def serve(self) -> None:
        """Let devices take what other threads handed over."""
        self.wakeup.clear()
        with self.lock:
            for wire in self.wires:
                wire.device.poll()
                wire.update()
            for function in self.functions:
                function.device.poll()
                function.refresh()

    # Snapshots.

    def state(self) -> dict[str, Any]:
        """The state of every device, and of the interrupt lines."""
        with self.lock:
            seen: dict[str, Any] = {}
            for wire in self.wires:
                seen[f"{wire.device.name}@{wire.base:#x}"] = wire.device.state()
            for index, function in enumerate(self.functions):
                seen[f"pci{index}"] = function.state()
            return {
                "devices": seen,
                "levels": [wire.level for wire in self.wires],
                "pci_lines": list(self.pci_lines),
            }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` of a board with the same devices returned."""
        with self.lock:
            seen = state["devices"]
            names = {f"{wire.device.name}@{wire.base:#x}" for wire in self.wires}
            names |= {f"pci{index}" for index in range(len(self.functions))}
            if names != set(seen):
                raise UsageError(
                    f"The snapshot has other devices ({', '.join(sorted(set(seen) ^ names))}): "
                    "build the machine with the same ones."
                )
            for wire, level in zip(self.wires, state["levels"], strict=True):
                wire.device.restore(seen[f"{wire.device.name}@{wire.base:#x}"])
                wire.level = level
            for index, function in enumerate(self.functions):
                function.restore(seen[f"pci{index}"])
            self.pci_lines = list(state["pci_lines"])

    # How a run ends.

    def stop(self, outcome: Ending | Failure) -> None:
        """End the run; the first outcome counts."""
        if self.ended is None:
            self.ended = outcome
        self.wakeup.set()
        self.kick()

    def fail(self, error: BaseException) -> None:
        """End the run because of an error in the board or in KVM."""
        if not isinstance(error, RingzeroError):
            wrapped = KvmError(
                f"The board failed while it answered the guest ({type(error).__name__}: {error}): "
                "this is a defect of ringzero, please report it."
            )
            wrapped.__cause__ = error
            error = wrapped
        self.stop(Failure(error))

    def kick(self) -> None:
        """Bring every vCPU out of the guest."""
        for vcpu in self.vm.vcpus:
            vcpu.kick()

    def close(self) -> None:
        """Unplug the devices; what other threads still hand over goes nowhere."""
        for wire in self.wires:
            wire.device.changed = nothing
        for function in self.functions:
            function.device.changed = nothing


class NamedSlot(VirtioMmio):
    """A virtio-mmio window that statistics call by its device's name."""

    def __init__(self, device: VirtioDevice) -> None:
        super().__init__(device)
        self.name = device.name
