"""Bare-metal programs as benchmarks: built to files, timed as whole processes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ringzero.bench.benchmark import Benchmark, found
from ringzero.bench.process import Run
from ringzero.bench.programs import PROGRAMS, SHARED, START, Program, build
from ringzero.bench.subjects import Guest
from ringzero.images.cache import cache_root, published


def program_file(program: Program, count: int | None = None) -> Path:
    """The program as an ELF file, in the cache under its content's name."""
    elf = build(program.name, count).elf
    name = f"{program.name}-{hashlib.sha256(elf).hexdigest()[:16]}.elf"
    return published(cache_root() / "bench" / name, lambda place: _write(place, elf))


def _write(place: Path, data: bytes) -> None:
    place.write_bytes(data)


def checksum(run: Run) -> str:
    """The first word that a program prints."""
    words = run.output.split()
    found(words[0] if len(words) == 2 else None, "a bare-metal program", run.output)
    return words[0]


def _benchmark(program: Program, count: int | None) -> Benchmark:
    return Benchmark(
        name=program.name,
        kind=program.kind,
        title=program.title,
        unit="s",
        guest=lambda: Guest(program_file(program, count)),
        read=lambda run: run.seconds,
        same=checksum,
    )


def bare_benchmarks(count: int | None = None) -> list[Benchmark]:
    """All of them, or all with so few rounds that only their checksums matter."""
    return [_benchmark(program, count) for program in PROGRAMS]


def _ticks(run: Run) -> float:
    """The seconds that a program measured itself: the second word that it prints, at 10 MHz."""
    checksum(run)
    return int(run.output.split()[1]) / 1e7


def smp_benchmarks(count: int | None = None) -> list[Benchmark]:
    """The same work by one hart, and by two together."""
    return [
        Benchmark(
            name=f"shared-{cpus}",
            kind=SHARED.kind,
            title=f"{SHARED.title}, harts: {cpus}",
            unit="s",
            guest=lambda cpus=cpus: Guest(program_file(SHARED, count), cpus=cpus),  # type: ignore[misc]
            read=_ticks,
            same=checksum,
        )
        for cpus in (1, 2)
    ]


def start_benchmark() -> Benchmark:
    """From the start of the process to what the guest's first instructions print, all warm."""
    return Benchmark(
        name="start",
        kind="start",
        title="process start to the first byte from the guest",
        unit="s",
        guest=lambda: Guest(program_file(START)),
        read=lambda run: run.first,
        same=checksum,
    )
