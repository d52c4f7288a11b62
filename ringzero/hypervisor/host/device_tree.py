"""The device tree that tells a guest what its virtual machine is made of.

Nodes are nested dicts; `flatten` writes them as Devicetree Specification 0.4, chapter 5, has it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from ringzero.hypervisor.devices.plic import SIZE as PLIC_SIZE
from ringzero.hypervisor.vm.state import FINISHER, FIRMWARE, GUEST_RAM, PLIC, UART, UART_SOURCE

Node = Mapping[str, Any]  # properties (int, str, bytes, list, None) and children (dict)

CPU_CONTROLLER, INTERRUPT_CONTROLLER, SYSTEM_CONTROLLER = 1, 2, 3  # phandles
SUPERVISOR_EXTERNAL, NO_INTERRUPT = 9, 0xFFFF_FFFF
FREQUENCY = 10_000_000

BLOCK = 64  # bytes of a cache block

# What a guest may use without the hypervisor knowing, and Sstc, whose timer it emulates.
EXTENSIONS = ("zicntr", "zicsr", "zifencei", "zba", "zbb", "zbs", "sstc")


def flatten(root: Node) -> bytes:
    """The blob of a tree."""
    strings = bytearray()
    offsets: dict[str, int] = {}
    body = bytearray()

    def word(value: int) -> bytes:
        return struct.pack(">I", value)

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    def add(name: str, node: Node) -> None:
        body.extend(word(1) + padded(name.encode() + b"\0"))
        for key, value in node.items():
            if isinstance(value, Mapping):
                continue
            if key not in offsets:
                offsets[key] = len(strings)
                strings.extend(key.encode() + b"\0")
            data = _property(value)
            body.extend(word(3) + word(len(data)) + word(offsets[key]) + padded(data))
        for key, value in node.items():
            if isinstance(value, Mapping):
                add(key, value)
        body.extend(word(2))

    add("", root)
    body.extend(word(9))
    start = 40 + 16
    total = start + len(body) + len(strings)
    header = struct.pack(
        ">10I", 0xD00DFEED, total, start, start + len(body), 40, 17, 16, 0, len(strings), len(body)
    )
    return header + bytes(16) + bytes(body) + bytes(strings)


def _property(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return os.fsencode(value) + b"\0"
    if isinstance(value, int):
        return struct.pack(">I", value)
    if all(isinstance(item, str) for item in value):
        return b"".join(item.encode() + b"\0" for item in value)
    return struct.pack(f">{len(value)}I", *value)


def pair(number: int) -> list[int]:
    """A 64-bit number as two cells."""
    return [number >> 32, number & 0xFFFF_FFFF]


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
    chosen: dict[str, Any] = {"bootargs": append, "stdout-path": f"/soc/serial@{UART:x}"}
    if seed:
        chosen["rng-seed"] = seed
    if initrd is not None:
        chosen["linux,initrd-start"] = pair(initrd[0])
        chosen["linux,initrd-end"] = pair(initrd[0] + initrd[1])
    return flatten(
        {
            "#address-cells": 2,
            "#size-cells": 2,
            "compatible": "riscv-virtio",
            "model": "ringzero,vm",
            "chosen": chosen,
            f"memory@{GUEST_RAM:x}": {
                "device_type": "memory",
                "reg": [*pair(GUEST_RAM), *pair(size)],
            },
            "reserved-memory": {
                "#address-cells": 2,
                "#size-cells": 2,
                "ranges": None,
                f"firmware@{GUEST_RAM:x}": {
                    "reg": [*pair(GUEST_RAM), *pair(FIRMWARE)],
                    "no-map": None,
                },
            },
            "cpus": _cpus(extensions),
            "soc": _devices(),
            "poweroff": _power("syscon-poweroff", 0x5555),
            "reboot": _power("syscon-reboot", 0x7777),
        }
    )


def _cpus(extensions: Sequence[str]) -> Node:
    return {
        "#address-cells": 1,
        "#size-cells": 0,
        "timebase-frequency": FREQUENCY,
        "cpu@0": {
            "device_type": "cpu",
            "reg": 0,
            "status": "okay",
            "compatible": "riscv",
            "riscv,isa": "_".join(["rv64imafdc", *extensions]),
            "riscv,isa-base": "rv64i",
            "riscv,isa-extensions": [*"imafdc", *extensions],
            "mmu-type": "riscv,sv57",
            **{
                f"riscv,{name}-block-size": BLOCK
                for name in ("cbom", "cboz")
                if f"zi{name}" in extensions
            },
            "interrupt-controller": {
                "#interrupt-cells": 1,
                "interrupt-controller": None,
                "compatible": "riscv,cpu-intc",
                "phandle": CPU_CONTROLLER,
            },
        },
    }


def _power(kind: str, value: int) -> Node:
    return {"compatible": kind, "regmap": SYSTEM_CONTROLLER, "offset": 0, "value": value}


def _devices() -> Node:
    return {
        "#address-cells": 2,
        "#size-cells": 2,
        "compatible": "simple-bus",
        "ranges": None,
        f"serial@{UART:x}": {
            "compatible": "ns16550a",
            "reg": [*pair(UART), *pair(0x100)],
            "clock-frequency": 3_686_400,
            "interrupts": UART_SOURCE,
            "interrupt-parent": INTERRUPT_CONTROLLER,
        },
        f"plic@{PLIC:x}": {
            "compatible": ["sifive,plic-1.0.0", "riscv,plic0"],
            "reg": [*pair(PLIC), *pair(PLIC_SIZE)],
            "#address-cells": 0,
            "#interrupt-cells": 1,
            "interrupt-controller": None,
            "interrupts-extended": [
                *(CPU_CONTROLLER, NO_INTERRUPT),
                *(CPU_CONTROLLER, SUPERVISOR_EXTERNAL),
            ],
            "riscv,ndev": 31,
            "phandle": INTERRUPT_CONTROLLER,
        },
        f"test@{FINISHER:x}": {
            "compatible": ["sifive,test1", "sifive,test0", "syscon"],
            "reg": [*pair(FINISHER), *pair(0x1000)],
            "phandle": SYSTEM_CONTROLLER,
        },
    }
