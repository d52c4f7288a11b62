"""Runs typed functions on bare riscv64: what they return comes back over the console.

On this project's machine, and on QEMU's `virt` as an opinion of its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ringzero import Machine
from ringzero.lang import Array, Struct, Stub, field, native, store, u8, u32, u64
from ringzero.lang.baremetal import build
from ringzero.lang.image import Image
from ringzero.outcome import PoweredOff
from tests.limits import HUNG

UART, FINISHER = 0x1000_0000, 0x10_0000
BASE = 0x8000_0000


class Stack(Struct):
    words: Array[u64] = field(4096)


boot_stack = Stack()
# la sp, boot_stack; lui t0, 8; add sp, sp, t0; call program; call power_off
START = Stub(
    "start",
    [],
    None,
    [("la", 2, "boot_stack"), 0x0000_82B7, 0x0051_0133, ("call", "program"), ("call", "power_off")],
)


@native
def power_off() -> None:
    store(u32, FINISHER, 0x5555)
    while True:
        pass


@native
def show(value: u64) -> None:
    """Print `value` in hexadecimal, on a line of its own."""
    left = u64(60)
    while True:
        digit = u8(value >> left & 15)
        store(u8, UART, digit + 48 if digit < 10 else digit + 87)
        if left == 0:
            break
        left -= 4
    store(u8, UART, 10)


def image(program: Any, more: Sequence[Any] = (), stubs: Sequence[Stub] = ()) -> Image:
    """An image that runs the native function `program` (it must have that name), then ends."""
    roots = [program, power_off, *more]
    return build(
        roots, [START, *stubs], entry="start", base=BASE, exported={"boot_stack": boot_stack}
    )


def run_here(made: Image, folder: Path) -> list[int]:
    """The numbers that the image shows on this project's machine."""
    file = folder / "program.elf"
    file.write_bytes(made.elf)
    with Machine(bios=file, memory="16M") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        return [int(line, 16) for line in machine.recorder.data.split()]


def run(made: Image, folder: Path) -> list[int]:
    """The numbers that the image shows on QEMU's `virt` machine."""
    file = folder / "program.elf"
    file.write_bytes(made.elf)
    command = ["qemu-system-riscv64", "-M", "virt", "-nographic", "-bios", "none", "-kernel"]
    done = subprocess.run(
        [*command, str(file)],
        capture_output=True,
        text=True,
        timeout=HUNG,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return [int(line, 16) for line in done.stdout.split()]
