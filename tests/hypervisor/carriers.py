"""Where the hypervisor runs in tests, and by which techniques: what every test of guests shares.

QEMU has H only where a VM's technique needs it, so that the others are known not to.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ringzero.hypervisor.host.build import Built, Guest, build
from ringzero.hypervisor.techniques import TECHNIQUES
from ringzero.isa.tools.program import assemble_text
from tests.limits import HUNG

MEGABYTE = 1 << 20
SMALL = 8 * MEGABYTE
ENTRY = 0x8020_0000

# All run any guest as it is, and pass every test that is not of one technique only.
technique = pytest.mark.parametrize("technique", TECHNIQUES)
carrier = pytest.mark.parametrize(
    "carrier", [pytest.param("qemu", marks=pytest.mark.needs_qemu), "machine"]
)


@dataclass(frozen=True)
class Ended:
    """What came over the console, and the exit code."""

    output: str
    code: int


def qemu(built: Built, folder: Path) -> list[str]:
    """The command that runs it on `qemu-system-riscv64 -M virt -bios none`."""
    file = folder / "hv.elf"
    file.write_bytes(built.image.elf)
    size = -(-built.memory // MEGABYTE)
    has = "true" if "hardware" in built.techniques else "false"
    return ["qemu-system-riscv64", "-M", "virt", "-cpu", f"rv64,h={has}", "-m", f"{size}M",
            "-no-reboot", "-bios", "none", "-kernel", str(file)]  # fmt: skip


def on_qemu(built: Built, folder: Path, *options: str, timeout: float = HUNG) -> Ended:
    """Run there until all guests have ended."""
    done = subprocess.run(
        [*qemu(built, folder), "-nographic", *options],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
    )  # fmt: skip
    return Ended(done.stdout.decode(errors="replace").replace("\r", ""), done.returncode)


def on_machine(built: Built, folder: Path, timeout: float = HUNG) -> Ended:
    """Run on `ringzero.Machine` with the deterministic clock."""
    from ringzero import Machine
    from ringzero.outcome import PoweredOff

    file = folder / "hv.elf"
    file.write_bytes(built.image.elf)
    size = -(-built.memory // MEGABYTE) * MEGABYTE
    with Machine(bios=file, memory=size, clock="instructions") as machine:
        outcome = machine.run(timeout=timeout)
        output = machine.recorder.data.decode(errors="replace").replace("\r", "")
    assert isinstance(outcome, PoweredOff), f"{outcome}: {output[-2000:]}"
    return Ended(output, outcome.code)


CARRIERS: dict[str, Callable[[Built, Path], Ended]] = {"qemu": on_qemu, "machine": on_machine}

# Small guests print with these: a0 a character; a0 a number, followed by a space; end of line.
RUNTIME = """
put:
    li a7, 0x4442434E
    li a6, 2
    ecall
    ret
line:
    li a0, 10
    j put
number:
    mv s10, ra
    mv s11, a0
    li s9, 60
1:  srl a0, s11, s9
    andi a0, a0, 15
    li t0, 10
    blt a0, t0, 2f
    addi a0, a0, 39
2:  addi a0, a0, 48
    call put
    addi s9, s9, -4
    bgez s9, 1b
    li a0, 32
    call put
    jr s10
finish:                         # with the exit code in a0
    li a1, 0xE0000000
    or a1, a1, a0
    li a0, 0
    li a6, 0
    li a7, 0x53525354
    ecall
"""


def guest(source: str, memory: int = SMALL, technique: str = "trap") -> Guest:
    """A guest of assembly text that begins in virtual S without paging."""
    return Guest(assemble_text(source + RUNTIME, ENTRY), memory=memory, technique=technique)


def small(*sources: str, technique: str = "trap") -> Built:
    """A hypervisor with one small guest for each text."""
    return build([guest(source, technique=technique) for source in sources])
