"""The device tree that tells a guest what its virtual machine is made of."""

from __future__ import annotations

from collections.abc import Sequence

from ringzero.board import finisher, plic, uart
from ringzero.board.addresses import (
    FINISHER_BASE,
    PLIC_BASE,
    RAM_BASE,
    TIMEBASE,
    UART_BASE,
    UART_CLOCK,
    UART_SOURCE,
)
from ringzero.board.fdt import Node, flatten, wide
from ringzero.isa.extensions import LETTERS, isa_string
from ringzero.isa.privileged.access import BLOCK
from ringzero.isa.privileged.trap import SEI

NO_INTERRUPT = 0xFFFF_FFFF  # of a context that the guest does not have
SOURCES = 31  # that the guest is told of

# What a guest may use without the hypervisor knowing, and Sstc, whose timer it emulates.
EXTENSIONS = ("zicntr", "zicsr", "zifencei", "zba", "zbb", "zbs", "sstc")


def guest_tree(
    size: int,
    *,
    append: str = "",
    initrd: tuple[int, int] | None = None,
    extensions: Sequence[str] = EXTENSIONS,
    seed: bytes = b"",
) -> bytes:
    """The tree of a VM with `size` bytes of memory; `initrd` is (address, size).

    `seed` feeds the guest's random numbers: without it Linux gathers entropy from the timer, which
    takes a tenth of its boot.
    """
    root = Node(properties={"compatible": "riscv-virtio", "model": "ringzero,vm"})
    root.set("#address-cells", 2)
    root.set("#size-cells", 2)
    _chosen(root, append, initrd, seed)
    root.add(f"memory@{RAM_BASE:x}", device_type="memory", reg=wide(RAM_BASE, size))
    _devices(root, _cpu(root, extensions))
    return flatten(root)


def _chosen(root: Node, append: str, initrd: tuple[int, int] | None, seed: bytes) -> None:
    node = root.add("chosen", bootargs=append)
    node.set("stdout-path", f"/soc/serial@{UART_BASE:x}")
    if seed:
        node.set("rng-seed", seed)
    if initrd is not None:
        node.set("linux,initrd-start", wide(initrd[0]))
        node.set("linux,initrd-end", wide(sum(initrd)))


def _cpu(root: Node, extensions: Sequence[str]) -> Node:
    """The only hart; its interrupt controller is returned."""
    cpus = root.add("cpus")
    for name, value in (
        ("#address-cells", 1),
        ("#size-cells", 0),
        ("timebase-frequency", TIMEBASE),
    ):
        cpus.set(name, value)
    cpu = cpus.add("cpu@0", device_type="cpu", reg=0, status="okay", compatible="riscv")
    cpu.set("riscv,isa", isa_string([*LETTERS, *extensions]))
    cpu.set("riscv,isa-base", "rv64i")
    cpu.set("riscv,isa-extensions", [*LETTERS, *extensions])
    cpu.set("mmu-type", "riscv,sv57")
    for name in ("cbom", "cboz"):
        if f"zi{name}" in extensions:
            cpu.set(f"riscv,{name}-block-size", BLOCK)
    controller = cpu.add("interrupt-controller", compatible="riscv,cpu-intc")
    controller.set("#interrupt-cells", 1)
    controller.set("interrupt-controller", True)
    return controller


def _devices(root: Node, hart: Node) -> None:
    soc = root.add("soc", compatible="simple-bus", ranges=True)
    soc.set("#address-cells", 2)
    soc.set("#size-cells", 2)
    controller = soc.add(f"plic@{PLIC_BASE:x}", reg=wide(PLIC_BASE, plic.SIZE))
    controller.set("compatible", ["sifive,plic-1.0.0", "riscv,plic0"])
    controller.set("#address-cells", 0)
    controller.set("#interrupt-cells", 1)
    controller.set("interrupt-controller", True)
    handle = hart.reference()
    controller.set("interrupts-extended", [handle, NO_INTERRUPT, handle, SEI])
    controller.set("riscv,ndev", SOURCES)
    serial = soc.add(f"serial@{UART_BASE:x}", compatible="ns16550a", interrupts=UART_SOURCE)
    serial.set("reg", wide(UART_BASE, uart.SIZE))
    serial.set("clock-frequency", UART_CLOCK)
    serial.set("interrupt-parent", controller.reference())
    power = soc.add(f"test@{FINISHER_BASE:x}", reg=wide(FINISHER_BASE, finisher.SIZE))
    power.set("compatible", ["sifive,test1", "sifive,test0", "syscon"])
    for name, value in (("poweroff", finisher.PASS), ("reboot", finisher.RESET)):
        root.add(name, compatible=f"syscon-{name}", regmap=power.reference(), offset=0, value=value)
