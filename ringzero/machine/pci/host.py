"""The PCIe host bridge: configuration through ECAM, memory windows, and four interrupt lines.

Bus 0 holds up to 32 devices of one function. Where no device answers, reads give all ones and
writes vanish, as on the bus itself. Lines are swizzled by slot as QEMU's gpex and its device tree
do it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ringzero.errors import UsageError
from ringzero.machine.bus import Bus
from ringzero.machine.device import Device
from ringzero.machine.pci.function import CONFIG_SIZE, SUBSYSTEM, SUBSYSTEM_VENDOR, PciFunction
from ringzero.machine.state import Stateful

ECAM_SIZE = 0x1000_0000
SLOTS = 32
LINES = 4


class PciHost(Stateful):
    """All functions of bus 0, and the address space that their BARs are mapped into."""

    stored: ClassVar[tuple[str, ...]] = ("functions_state",)

    def __init__(self, set_line: Callable[[int, bool], None]) -> None:
        """`set_line(line, level)` drives INTA-INTD of the bus, numbered 0-3."""
        self.set_line = set_line
        self.slots: list[PciFunction | None] = [None] * SLOTS
        self.space = Bus()
        self.ecam = Ecam(self)
        self.windows: list[PciWindow] = []
        bridge = PciFunction(0x1B36, 0x0008, 0x060000)
        bridge.define(SUBSYSTEM_VENDOR, 2, 0x1AF4)
        bridge.define(SUBSYSTEM, 2, 0x1100)
        self.add(bridge)

    @property
    def functions_state(self) -> list[dict[str, Any] | None]:
        """The configuration of each slot, for snapshots."""
        return [function.state() if function else None for function in self.slots]

    @functions_state.setter
    def functions_state(self, states: list[dict[str, Any] | None]) -> None:
        for function, state in zip(self.slots, states, strict=True):
            if function and state:
                function.restore(state)

    def add(self, function: PciFunction) -> int:
        """Put a function into the next free slot."""
        if None not in self.slots:
            raise UsageError(f"All {SLOTS} PCI slots are in use: attach fewer devices.")
        slot = self.slots.index(None)
        self.slots[slot] = function
        function.remap = self.remap
        function.refresh = lambda: self.refresh(slot % LINES)
        return slot

    def window(self, base: int, size: int, name: str) -> PciWindow:
        """A range of the board's addresses through which the CPU reaches BARs."""
        window = PciWindow(self.space, base, size, name)
        self.windows.append(window)
        return window

    def port_window(self, base: int, size: int) -> PciWindow:
        """The range for I/O ports; no function of ours has any."""
        return PciWindow(Bus(), base, size, "pci-ports")

    def refresh(self, line: int) -> None:
        """Drive a line from the functions that share it."""
        functions = self.slots[line::LINES]
        self.set_line(line, any(function and function.interrupt for function in functions))

    def remap(self) -> None:
        """The guest moved a BAR or gated memory accesses: make the map anew."""
        self.space.clear()
        for function in self.slots:
            if function is None:
                continue
            for bar in function.bars:
                address = function.bar_address(bar)
                if address is None or not self._inside(address, bar.region.size):
                    continue
                try:
                    self.space.attach(address, bar.region, function.refresh)
                except UsageError:
                    continue  # a guest that maps two BARs over each other sees the first

    def _inside(self, address: int, size: int) -> bool:
        return any(w.base <= address and address + size <= w.base + w.size for w in self.windows)

    def reset(self) -> None:
        """Unconfigure every function."""
        for function in self.slots:
            if function:
                function.reset()
        self.remap()


class Ecam(Device):
    """Configuration space as memory: bus, device, function and register are address bits."""

    name = "pci"
    size = ECAM_SIZE

    def __init__(self, host: PciHost) -> None:
        super().__init__()
        self.host = host

    def read(self, offset: int, size: int) -> int:
        """A configuration read; absent functions give all ones."""
        function = self.host.slots[offset >> 15] if offset >> 20 == 0 else None
        if function is None or offset >> 12 & 7:
            return (1 << 8 * size) - 1
        register = offset & 0xFFF
        return function.read(register, size) if register < CONFIG_SIZE else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """A configuration write; absent functions ignore it."""
        function = self.host.slots[offset >> 15] if offset >> 20 == 0 else None
        register = offset & 0xFFF
        if function is not None and not offset >> 12 & 7 and register < CONFIG_SIZE:
            function.write(register, size, value)


class PciWindow(Device):
    """Addresses of the board that the host bridge forwards unchanged."""

    def __init__(self, space: Bus, base: int, size: int, name: str) -> None:
        super().__init__()
        self.space, self.base, self.size, self.name = space, base, size, name

    def read(self, offset: int, size: int) -> int:
        """What the BAR there answers, or all ones."""
        value = self.space.read(self.base + offset, size)
        return (1 << 8 * size) - 1 if value is None else value

    def write(self, offset: int, size: int, value: int) -> None:
        """Forward to the BAR there, if any."""
        self.space.write(self.base + offset, size, value)
