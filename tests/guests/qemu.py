"""Runs images on QEMU's `virt` machine and gives back what they print and how they end."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.limits import HUNG


@dataclass(frozen=True)
class Ended:
    """What came over the console, and QEMU's exit code."""

    output: str
    code: int

    @property
    def lines(self) -> list[str]:
        return [line.rstrip("\r") for line in self.output.splitlines()]


def run(kernel: Path, *options: str, bios: str = "default", timeout: float = HUNG) -> Ended:
    """Run `kernel` above the firmware `bios`."""
    command = ["qemu-system-riscv64", "-M", "virt", "-m", "128", "-nographic", "-no-reboot"]
    done = subprocess.run(
        [*command, "-bios", bios, "-kernel", str(kernel), *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ended(done.stdout, done.returncode)
