"""Results as a table for people and as JSON for the record."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ringzero.bench.benchmark import Benchmark, Result, Side, geometric_mean

RUNS = {1: "first", 3: "third", 10: "tenth"}  # whose ratios are shown where the first is fresh
EXPLANATION = "ratio: how many times as fast as QEMU; per CPU: the same for each second of CPU time"
SPREAD = "spread: slowest ÷ fastest run here"
FRESH = """, from the second on
first, third, tenth: ratios of those runs; the first began with nothing known of the guest"""


def header(fresh: bool) -> str:
    """The table's first line."""
    line = f"{'':20}{'ringzero':>12}{'qemu':>12}  {'':6}{'ratio':>7}{'per CPU':>9}{'MIPS':>8}"
    return line + "".join(f"{title:>8}" for title in ("spread", *(RUNS.values() if fresh else ())))


def explanation(fresh: bool) -> str:
    """The table's last lines: what its columns mean."""
    return f"{EXPLANATION}\n{SPREAD}{FRESH if fresh else ''}"


def row(result: Result) -> str:
    """One benchmark's line."""
    peer = "" if result.peer is None else _figure(result.peer.median)
    cells = [f"{result.benchmark.name:20}{_figure(result.ours.median):>12}{peer:>12}"]
    cells.append(f"  {result.benchmark.unit:6}")
    cells.append(f"{_times(result.ratio):>7}{_times(per_cpu(result)):>9}")
    cells.append(f"{result.mips:8.0f}" if result.mips else f"{'':8}")
    cells.append(f"{'' if result.spread is None else format(result.spread, '.2f'):>8}")
    if result.fresh:
        cells += [f"{_times(result.ratio_of_run(number)):>8}" for number in RUNS]
    return "".join(cells).rstrip()


def _figure(value: float) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:,.0f}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}×"


def share(side: Side) -> float:
    """The part of the time in which a side's processes had a processor, by their median run."""
    return statistics.median(run.cpu / run.seconds for run in side.runs)


def per_cpu(result: Result) -> float | None:
    """The ratio as it would be had both had a processor all the time: for busy hosts.

    Threads that work beside the guest count against their machine.
    """
    if result.peer is None or result.ratio is None:
        return None
    return result.ratio * share(result.peer) / share(result.ours)


def means(results: Sequence[Result]) -> list[str]:
    """A line for each kind with more than one ratio: their geometric mean and the least."""
    lines = []
    for kind in dict.fromkeys(result.benchmark.kind for result in results):
        mine = [result for result in results if result.benchmark.kind == kind]
        lines += _mean(kind, [result.ratio for result in mine])
        fresh = [result for result in mine if result.fresh]
        for number, title in RUNS.items():
            ratios = [result.ratio_of_run(number) for result in fresh]
            lines += _mean(f"{kind}, {title} run", ratios)
    return lines


def _mean(title: str, values: Sequence[float | None]) -> list[str]:
    """The line, if there is something to take a mean of."""
    ratios = [value for value in values if value is not None]
    if len(ratios) < 2:
        return []
    mean = f"{geometric_mean(ratios):.2f}×"
    return [f"{title:28}{'geometric mean':>16} {mean:>13}, least {min(ratios):.2f}×"]


def listing(benchmarks: Sequence[Benchmark]) -> str:
    """What there is to measure."""
    lines = [f"{each.name:20}{each.kind:16}{each.title}" for each in benchmarks]
    return "\n".join(lines)


def record(
    results: Sequence[Result], engine: str, rounds: int, qemu: str | None, extra: dict[str, float]
) -> dict[str, Any]:
    """Everything that a later reader needs to trust or doubt the figures."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": {"cpu": host_cpu(), "processors": os.cpu_count(), "load": list(os.getloadavg())},
        "python": platform.python_version(),
        "qemu": qemu,
        "engine": engine,
        "rounds": rounds,
        "results": [_result(result) for result in results],
        **extra,
    }


def _result(result: Result) -> dict[str, Any]:
    benchmark = result.benchmark
    return {
        "name": benchmark.name,
        "kind": benchmark.kind,
        "unit": benchmark.unit,
        "better": "more" if benchmark.rate else "less",
        "ratio": _rounded(result.ratio),
        "ratio_per_cpu": _rounded(per_cpu(result)),
        "mips": _rounded(result.mips),
        "instructions": result.ours.instructions,
        "fresh": result.fresh or benchmark.fresh,
        "spread": _rounded(result.spread),
        "ringzero": _side(result.ours),
        "qemu": None if result.peer is None else _side(result.peer),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "median": _rounded(side.median),
        "all": [_rounded(figure) for figure in side.figures],
        "seconds": [_rounded(run.seconds) for run in side.runs],
        "cpu_seconds": [_rounded(run.cpu) for run in side.runs],
        "peak_memory": max(run.peak for run in side.runs),
        "memory_beyond_shared": max(run.overhead for run in side.runs),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def host_cpu() -> str:
    """The host's processor as Linux names it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def commit() -> str | None:
    """The checkout's commit, with a + where files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"],
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return described.stdout.strip() or None
