"""The board's device tree, derived from the devices that the board holds.

Names, compatible strings and cells follow the bindings that Linux, OpenSBI and U-Boot read, and the
structure that QEMU gives its `virt` machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from ringzero.board import addresses as at
from ringzero.board import finisher
from ringzero.board.fdt import Node, flatten, wide
from ringzero.isa.extensions import isa_string
from ringzero.machine.virt import VirtBoard

MEMORY_32, MEMORY_64, PORTS = 0x0200_0000, 0x0300_0000, 0x0100_0000  # PCI address space codes
MACHINE_SOFT, MACHINE_TIMER, MACHINE_EXTERNAL, SUPERVISOR_EXTERNAL = 3, 7, 11, 9


class MachineTree:
    """Builds the tree of one board."""

    def __init__(self, board: VirtBoard) -> None:
        self.board = board
        self.root = Node()
        self.root.properties = {
            "#address-cells": 2,
            "#size-cells": 2,
            "compatible": "riscv-virtio",
            "model": "riscv-virtio,ringzero",
        }
        self.controllers: list[Node] = []

    def build(
        self,
        bootargs: str,
        initrd: tuple[int, int] | None,
        reserved: Sequence[tuple[int, int]],
    ) -> bytes:
        """The flattened device tree."""
        chosen = self.root.add("chosen")
        self._memory(reserved)
        self._cpus()
        soc = self.root.add("soc", compatible="simple-bus", ranges=True)
        soc.properties.update({"#address-cells": 2, "#size-cells": 2})
        plic = self._interrupt_controllers(soc)
        self._serial_devices(soc, plic)
        self._pci(soc, plic)
        self._power(soc)
        self._chosen(chosen, bootargs, initrd)
        return flatten(self.root)

    def _chosen(self, node: Node, bootargs: str, initrd: tuple[int, int] | None) -> None:
        if bootargs:
            node.set("bootargs", bootargs)
        node.set("stdout-path", f"/soc/serial@{at.UART_BASE:x}")
        if initrd:
            address, size = initrd
            node.set("linux,initrd-start", wide(address))
            node.set("linux,initrd-end", wide(address + size))
        if self.board.rng_seed:
            node.set("rng-seed", self.board.rng_seed)

    def _memory(self, reserved: Sequence[tuple[int, int]]) -> None:
        memory = self.board.memory
        reg = wide(memory.base, memory.size)
        self.root.add(f"memory@{memory.base:x}", device_type="memory", reg=reg)
        if not reserved:
            return
        parent = self.root.add("reserved-memory", ranges=True)
        parent.properties.update({"#address-cells": 2, "#size-cells": 2})
        for address, size in reserved:
            node = parent.add(f"firmware@{address:x}", reg=wide(address, size))
            node.set("no-map", True)

    def _cpus(self) -> None:
        board = self.board
        cpus = self.root.add("cpus")
        cpus.properties.update({"#address-cells": 1, "#size-cells": 0})
        cpus.set("timebase-frequency", at.TIMEBASE)
        cluster = Node("cluster0", handles=self.root.handles)
        for hart in range(board.cpus):
            cpu = cpus.add(f"cpu@{hart:x}", device_type="cpu", reg=hart, status="okay")
            cpu.set("compatible", "riscv")
            cpu.set("riscv,isa", isa_string(board.isa_extensions))
            cpu.set("riscv,isa-base", "rv64i")
            cpu.set("riscv,isa-extensions", board.isa_extensions)
            cpu.set("mmu-type", board.mmu_type)
            for name, extension in (("cbom", "zicbom"), ("cboz", "zicboz")):
                if extension in board.isa_extensions:
                    cpu.set(f"riscv,{name}-block-size", 64)
            controller = cpu.add("interrupt-controller", compatible="riscv,cpu-intc")
            controller.properties.update({"#interrupt-cells": 1, "interrupt-controller": True})
            self.controllers.append(controller)
            cluster.add(f"core{hart}", cpu=cpu.reference())
        cpus.add("cpu-map").children.append(cluster)

    def _wires(self, *causes: int) -> list[int]:
        """interrupts-extended: each hart's controller with each of the causes."""
        wires: list[int] = []
        for controller in self.controllers:
            for cause in causes:
                wires += [controller.reference(), cause]
        return wires

    def _interrupt_controllers(self, soc: Node) -> int:
        clint = soc.add(f"clint@{at.CLINT_BASE:x}", compatible=["sifive,clint0", "riscv,clint0"])
        clint.set("reg", wide(at.CLINT_BASE, self.board.clint.size))
        clint.set("interrupts-extended", self._wires(MACHINE_SOFT, MACHINE_TIMER))
        plic = soc.add(f"plic@{at.PLIC_BASE:x}", compatible=["sifive,plic-1.0.0", "riscv,plic0"])
        plic.set("reg", wide(at.PLIC_BASE, self.board.plic.size))
        plic.set("interrupts-extended", self._wires(MACHINE_EXTERNAL, SUPERVISOR_EXTERNAL))
        plic.set("riscv,ndev", at.LAST_SOURCE)
        plic.properties.update(
            {"interrupt-controller": True, "#interrupt-cells": 1, "#address-cells": 0}
        )
        return plic.reference()

    def _serial_devices(self, soc: Node, plic: int) -> None:
        board = self.board
        serial = self._device(soc, "serial", at.UART_BASE, board.uart.size, "ns16550a")
        serial.set("clock-frequency", at.UART_CLOCK)
        rtc = self._device(soc, "rtc", at.RTC_BASE, board.rtc.size, "google,goldfish-rtc")
        wired = [(serial, at.UART_SOURCE), (rtc, at.RTC_SOURCE)]
        for index, slot in enumerate(board.slots):
            base = at.VIRTIO_BASE + index * at.VIRTIO_SIZE
            node = self._device(soc, "virtio_mmio", base, slot.size, "virtio,mmio")
            wired.append((node, at.VIRTIO_SOURCE + index))
        for node, source in wired:
            node.set("interrupts", source)
            node.set("interrupt-parent", plic)

    @staticmethod
    def _device(soc: Node, name: str, base: int, size: int, compatible: str) -> Node:
        return soc.add(f"{name}@{base:x}", compatible=compatible, reg=wide(base, size))

    def _pci(self, soc: Node, plic: int) -> None:
        size = self.board.pci.ecam.size
        node = self._device(soc, "pci", at.ECAM_BASE, size, "pci-host-ecam-generic")
        node.properties.update(
            {"#address-cells": 3, "#size-cells": 2, "#interrupt-cells": 1, "device_type": "pci"}
        )
        node.set("linux,pci-domain", 0)
        node.set("bus-range", [0, 0xFF])
        node.set("dma-coherent", True)
        node.set(
            "ranges",
            [
                *[PORTS, *wide(0, at.PIO_BASE, at.PIO_SIZE)],
                *[MEMORY_32, *wide(at.MMIO32_BASE, at.MMIO32_BASE, at.MMIO32_SIZE)],
                *[MEMORY_64, *wide(self.board.mmio64_base, self.board.mmio64_base, at.MMIO64_SIZE)],
            ],
        )
        lines: list[int] = []
        for slot in range(4):  # the mask below makes the map repeat for higher slots
            for pin in range(4):
                source = at.PCI_SOURCE + (slot + pin) % 4
                lines += [slot << 11, 0, 0, pin + 1, plic, source]
        node.set("interrupt-map", lines)
        node.set("interrupt-map-mask", [0x1800, 0, 0, 7])

    def _power(self, soc: Node) -> None:
        size = self.board.finisher.size
        test = soc.add(f"test@{at.FINISHER_BASE:x}", reg=wide(at.FINISHER_BASE, size))
        test.set("compatible", ["sifive,test1", "sifive,test0", "syscon"])
        for name, value in (("poweroff", finisher.PASS), ("reboot", finisher.RESET)):
            node = self.root.add(name, compatible=f"syscon-{name}", regmap=test.reference())
            node.properties.update({"offset": 0, "value": value})


def device_tree(
    board: VirtBoard,
    bootargs: str = "",
    initrd: tuple[int, int] | None = None,
    reserved: Sequence[tuple[int, int]] = (),
) -> bytes:
    """The flattened tree; `initrd` and `reserved` are (address, size)."""
    return MachineTree(board).build(bootargs, initrd, reserved)
