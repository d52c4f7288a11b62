"""What the calls go to: the firmware on our machine or on QEMU, OpenSBI, each technique."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringzero import Machine, firmware
from ringzero.board.addresses import FIRMWARE_SIZE, KERNEL_BASE, RAM_BASE
from ringzero.hypervisor.host.build import Guest
from ringzero.hypervisor.host.build import build as build_hypervisor
from ringzero.hypervisor.techniques import TECHNIQUES
from tests.fuzz.sbi.answers import Platform
from tests.fuzz.sbi.guest import MEMORY, Call, Result, build, results
from tests.guest_files import elf
from tests.hypervisor.carriers import on_machine

MEGABYTE = 1 << 20
SECONDS = 300  # far more than it takes: a busy host is no fault


@dataclass(frozen=True)
class Ran:
    """What the calls were answered, all that was shown, and how the machine ended."""

    results: list[Result]
    output: str
    code: int


@dataclass(frozen=True)
class Carrier:
    """One answerer; `run` makes calls and ends with the last."""

    name: str
    platform: Platform
    run: Callable[[Sequence[Call], Call, Path], Ran]


def _kernel(calls: Sequence[Call], last: Call) -> bytes:
    return elf(build(calls, last), address=KERNEL_BASE, memory=MEMORY)


def _platform(harts: int, megabytes: int, *, has_guests: bool) -> Platform:
    end = RAM_BASE + megabytes * MEGABYTE
    return Platform(harts, RAM_BASE + FIRMWARE_SIZE, end, has_guests)


def on_firmware(harts: int, *, has_guests: bool, megabytes: int = 64) -> Carrier:
    """The built-in firmware on our machine."""

    def run(calls: Sequence[Call], last: Call, folder: Path) -> Ran:
        kernel = folder / "calls.elf"
        kernel.write_bytes(_kernel(calls, last))
        with Machine(
            kernel=kernel, memory=megabytes * MEGABYTE, cpus=harts, hypervisor_extension=has_guests
        ) as machine:
            outcome = machine.run(timeout=SECONDS)
            output = machine.recorder.data.decode(errors="replace")
        return Ran(results(output), output, getattr(outcome, "code", -1))

    name = f"firmware, {harts} hart{'s' if harts > 1 else ''}{', H' if has_guests else ''}"
    return Carrier(name, _platform(harts, megabytes, has_guests=has_guests), run)


def on_qemu(
    harts: int, *, opensbi: bool = False, megabytes: int = 128, options: Sequence[str] = ()
) -> Carrier:
    """The built-in firmware on QEMU, or OpenSBI there."""

    def run(calls: Sequence[Call], last: Call, folder: Path) -> Ran:
        kernel, bios = folder / "calls.elf", folder / "firmware.elf"
        kernel.write_bytes(_kernel(calls, last))
        bios.write_bytes(firmware.build().elf)
        done = subprocess.run(
            ["qemu-system-riscv64", "-M", "virt", "-m", str(megabytes), "-smp", str(harts),
             "-nographic", "-no-reboot", "-bios", "default" if opensbi else str(bios),
             "-kernel", str(kernel), *options],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        output = done.stdout.decode(errors="replace")
        return Ran(results(output), output, done.returncode)

    name = "OpenSBI on QEMU" if opensbi else "firmware on QEMU"
    return Carrier(f"{name}, {harts} harts", _platform(harts, megabytes, has_guests=True), run)


def under(technique: str, megabytes: int = 16) -> Carrier:
    """The hypervisor on our machine, with one virtual machine of one hart and no firmware in it."""

    def run(calls: Sequence[Call], last: Call, folder: Path) -> Ran:
        guest = Guest(build(calls, last), memory=megabytes * MEGABYTE, technique=technique)
        ended = on_machine(build_hypervisor([guest]), folder, timeout=SECONDS)
        return Ran(results(ended.output), ended.output, ended.code)

    end = RAM_BASE + megabytes * MEGABYTE
    paravirt = technique == "paravirt"
    platform = Platform(1, RAM_BASE, end, has_guests=False, hypercalls=paravirt)
    return Carrier(technique, platform, run)


OURS = [
    on_firmware(1, has_guests=False),
    on_firmware(3, has_guests=True),
    *(under(technique) for technique in TECHNIQUES),
]
