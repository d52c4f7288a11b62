"""What is measured: our machine, and QEMU's, given the same guest; each a process of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ringzero.bench.process import Run
from ringzero.errors import RingzeroError

QEMU = "qemu-system-riscv64"


class BenchError(RingzeroError):
    """A measurement that means nothing: a guest that failed, or two results that differ."""


@dataclass(frozen=True)
class Guest:
    """What both boot. Without `initrd` it is a bare-metal program for M-mode."""

    kernel: Path
    initrd: Path | None = None
    append: str = ""
    memory: str = "128M"
    cpus: int = 1

    @property
    def bare(self) -> bool:
        """Whether it runs alone, without firmware."""
        return self.initrd is None


# A user's Python keeps its byte code; a developer's environment may say otherwise.
AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": ""}

WARM_UP = 0.01  # seconds of a guest's life that fill a cache with the native core and firmware
REGION_LIBRARY = "from ringzero.engine.regions.write.library import library; library().helpers"


@dataclass(frozen=True)
class Ours:
    """`ringzero run`, as a user starts it."""

    engine: str = "auto"
    name: str = "ringzero"

    def command(self, guest: Guest) -> list[str]:
        """The command line that runs a guest."""
        line = [sys.executable, "-m", "ringzero", "run", "-q", "--json", "--engine", self.engine]
        line += ["-m", guest.memory, "--cpus", str(guest.cpus), "--kernel", str(guest.kernel)]
        if guest.initrd is None:
            return [*line, "--bios", "none"]
        return [*line, "--initrd", str(guest.initrd), "-a", guest.append]

    def primers(self, guest: Guest) -> list[list[str]]:
        """Commands that fill a cache with what is compiled once, whatever the guest."""
        return [
            [*self.command(guest), "--timeout", str(WARM_UP)],
            [sys.executable, "-c", REGION_LIBRARY],
        ]


@dataclass(frozen=True)
class Qemu:
    """QEMU's system emulator with its just-in-time compiler, a thread for each hart."""

    name: str = "qemu"

    def command(self, guest: Guest) -> list[str]:
        """The command line that runs a guest."""
        line = [QEMU, "-M", "virt", "-accel", "tcg,thread=multi", "-nographic"]
        line += ["-no-reboot", "-smp", str(guest.cpus), "-m", guest.memory]
        line += ["-kernel", str(guest.kernel)]
        if guest.initrd is None:
            return [*line, "-bios", "none"]
        return [*line, "-initrd", str(guest.initrd), "-append", guest.append]


Subject = Ours | Qemu


def qemu_version() -> str | None:
    """QEMU's version as it says itself, or None where it is not installed."""
    if shutil.which(QEMU) is None:
        return None
    said = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (.+)", said)
    return found[1] if found else said.strip()


def instructions(run: Run) -> int | None:
    """The guest instructions that a run of ours retired, from what `--json` says at the end."""
    for line in reversed(run.errors.splitlines()):
        if line.startswith("{"):
            counted = json.loads(line)["counters"]["instructions"]
            return int(sum(counted.values()))
    return None


def checked(run: Run, subject: Subject, what: str) -> Run:
    """The run, if the guest ended well."""
    if run.code == 0:
        return run
    said = [line for line in run.errors.splitlines() if line and not line.startswith("{")]
    last = (said or [line for _, line in run.lines if line] or ["it said nothing"])[-1]
    raise BenchError(
        f"{what} under {subject.name} ended with code {run.code} after {run.seconds:.1f} s: "
        f"{last[-300:]}"
    )
