"""`ringzero doctor`: what this host has, what it means for a guest, and what to do about it.

It only looks: nothing is fetched, built or changed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from ringzero.cli import report
from ringzero.cli.exits import ExitCode


@dataclass(frozen=True)
class Fact:
    """One thing about the host: `state` is ok, note (something does without it) or missing."""

    name: str
    state: str
    value: str
    meaning: str
    advice: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--cache", "of_cache", is_flag=True, help="What the cache holds, instead.")
def doctor(as_json: bool, of_cache: bool) -> int:
    """Tell what this host has, what it means, and what to do about it.

    Exits with 126 where something is missing that ringzero cannot do without.
    """
    if of_cache:
        from ringzero.cli.views import cache as cache_view

        click.echo(cache_view.as_json() if as_json else cache_view.as_text())
        return 0
    facts = gather()
    if as_json:
        click.echo(json.dumps([asdict(fact) for fact in facts], indent=1))
    else:
        click.echo("\n".join(_lines(facts)))
    missing = any(fact.state == "missing" for fact in facts)
    return ExitCode.UNAVAILABLE if missing else 0


def gather() -> list[Fact]:
    """Every fact, in the order of how much depends on it."""
    looks: tuple[Callable[[], Fact], ...] = (
        python, llvm, processor, memory, cache, images, apt, kvm, qemu,
    )  # fmt: skip
    return [look() for look in looks]


def _lines(facts: list[Fact]) -> list[str]:
    marks = {"ok": ("ok", "32"), "note": ("--", "33"), "missing": ("!!", "1;31")}
    # The page is for standard output; colour follows the same rule as elsewhere, for that stream.
    colour = sys.stdout.isatty() and report.coloured()
    lines = []
    for fact in facts:
        mark, code = marks[fact.state]
        mark = f"\033[{code}m{mark}\033[0m" if colour else mark
        lines.append(f"{mark}  {fact.name:10} {fact.value}. {fact.meaning}")
        if fact.advice:
            lines.append(f"{'':15}{fact.advice}")
    return lines


def python() -> Fact:
    """The interpreter that runs the reference engine and the devices."""
    value = f"{platform.python_implementation()} {platform.python_version()}"
    return Fact("python", "ok", value, "The reference engine and the devices run on it.")


def llvm() -> Fact:
    """The code generator behind the native engine."""
    from ringzero.lang import binding

    try:
        value = binding.version()
    except (ImportError, OSError) as error:
        return Fact(
            "llvmlite", "missing", "not usable", f"The native engines need it ({error}).",
            "Install it with `pip install -r requirements.txt`; --engine reference does without.",
        )  # fmt: skip
    return Fact("llvmlite", "ok", value, "Native engines can be built here.")


def processor() -> Fact:
    """The host's own CPU."""
    count = len(os.sched_getaffinity(0))
    value = f"{_cpu_model()}, {platform.machine()}, {count} usable"
    if platform.machine() not in ("x86_64", "aarch64"):
        return Fact(
            "processor", "note", value, "The native engines are untried on this architecture.",
            "If one fails, use --engine reference and report it.",
        )  # fmt: skip
    return Fact("processor", "ok", value, "Guests of other architectures are emulated on it.")


def _cpu_model() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def memory() -> Fact:
    """RAM that a guest can have."""
    sizes = {
        line.partition(":")[0]: int(line.split()[1]) >> 10
        for line in _text("/proc/meminfo").splitlines()
        if line.startswith(("MemTotal", "MemAvailable"))
    }
    free = sizes.get("MemAvailable", 0)
    value = f"{free} MB free of {sizes.get('MemTotal', 0)} MB"
    if free and free < 800:
        return Fact("memory", "note", value, "Little for a guest of 512 MB.", "Try -m 256M.")
    return Fact("memory", "ok", value, "A guest takes what it touches of its -m.")


def cache() -> Fact:
    """The folder with compiled engines and images."""
    from ringzero.cli.views.inventory import disk_usage

    place = _cache_folder()
    value = f"{place}, {disk_usage(place) >> 20} MB"
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Fact(
            "cache", "note", value, "It cannot be written, so engines are compiled on each start.",
            "Name a folder you can write to in RINGZERO_CACHE.",
        )  # fmt: skip
    return Fact("cache", "ok", value, "It may be deleted at any time; --cache shows it.")


def images() -> Fact:
    """Images that were fetched."""
    from ringzero.cli.views.inventory import inventory

    place = _cache_folder() / "images"
    entries = inventory() if place.is_dir() else []
    found = (f"{entry.name} ({entry.version})" for entry in entries if entry.version)
    names = ", ".join(dict.fromkeys(found))  # one name may stand for several sets of packages
    if not names:
        return Fact(
            "images", "note", "none fetched", "`ringzero run` fetches Debian when first used.",
            "`ringzero image fetch debian` does it now.",
        )  # fmt: skip
    return Fact("images", "ok", names, "They boot without a network.")


def _cache_folder() -> Path:
    from ringzero.lang.cache import folder

    return folder()


def apt() -> Fact:
    """The package manager that images come through."""
    if shutil.which("apt-get") is None:
        return Fact(
            "apt", "note", "not here", "Debian images cannot be fetched on this host.",
            "Give `ringzero image fetch debian --debs FOLDER`, or --kernel and --initrd.",
        )  # fmt: skip
    return Fact("apt", "ok", _first_line("apt-get", "--version"), "Debian images come through it.")


def kvm() -> Fact:
    """The host's hardware assistance: VMX, SVM, KVM in software, or none."""
    from ringzero.kvm.status import status

    found = status()
    meaning = "Emulation does not need it."
    if found.available:
        meaning = "x86-64 guests run on it with --cpu kvm; emulation does not need it."
    # Where there is something to be advised, it is less than it could be.
    state = "note" if found.advice else "ok"
    return Fact("/dev/kvm", state, found.reason.rstrip("."), meaning, found.advice)


def qemu() -> Fact:
    """The peer of tests and benchmarks."""
    program = "qemu-system-riscv64"
    if shutil.which(program) is None:
        return Fact(
            "qemu", "note", "not here", "Nothing but comparison needs it.",
            "`apt-get install qemu-system-misc` to compare.",
        )  # fmt: skip
    version = _first_line(program, "--version")
    return Fact("qemu", "ok", version, "Tests and `bench` compare with it.")


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "present, but it does not answer"
    return (done.stdout.splitlines() or ["present"])[0].strip()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
