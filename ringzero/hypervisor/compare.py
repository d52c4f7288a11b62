"""What each operation costs under each technique: the nanobenchmarks of the bundled kernel.

The guest prints `bench NAME COUNT INSTRUCTIONS TICKS`. With the deterministic clock, where one
instruction takes a nanosecond, ticks count everything that was executed, the hypervisor included,
while the guest's own `instret` counts the guest alone. The caller runs the machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from xml.sax.saxutils import escape

from ringzero.hypervisor.build import MEGABYTE, Built, Guest, build

INSTRUCTIONS_PER_TICK = 100  # mtime has 10 MHz
APPEND = "mode=bench iterations={}"
ITERATIONS = 1000
MEMORY = 128 * MEGABYTE
EMPTY_LOOP = "loop"
COLOURS = ("#4878a8", "#c8702a", "#5a9a5a", "#a05aa0", "#888888")


@dataclass(frozen=True)
class Cost:
    """One operation under one technique, in instructions each."""

    operation: str
    guest: float
    total: float

    @property
    def hypervisor(self) -> float:
        """What is not the guest's own."""
        return max(0.0, self.total - self.guest)


Costs = Mapping[str, Cost]  # by operation


def trap_machine(kernel: bytes, iterations: int = ITERATIONS) -> Built:
    """The bundled kernel's benchmarks under trap-and-emulate; `kernel` is its flat image."""
    return build([Guest(kernel, append=APPEND.format(iterations), memory=MEMORY)])


def parse(output: str) -> dict[str, Cost]:
    """The costs that a benchmark run printed, without the loop around each operation."""
    found: dict[str, Cost] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) != 5 or words[0] != "bench":
            continue
        count, guest, ticks = (int(word) for word in words[2:])
        found[words[1]] = Cost(words[1], guest / count, ticks * INSTRUCTIONS_PER_TICK / count)
    return found


def table(results: Mapping[str, Costs]) -> str:
    """One row per operation: instructions under each technique, and how much more than the first's.

    `results` is by technique; the first one is what the others are compared with.
    """
    first, *others = results
    heads = [f"{name:>12}" for name in results] + [f"{name + ' / ' + first:>20}" for name in others]
    lines = [f"{'instructions per operation':28}" + "".join(heads)]
    for operation, base in results[first].items():
        if operation == EMPTY_LOOP:
            continue
        row = [results[name].get(operation) for name in results]
        cells = [f"{cost.total:12,.1f}" if cost else f"{'-':>12}" for cost in row]
        cells += [
            f"{cost.total / base.total:19.1f}×" if cost and base.total else f"{'-':>20}"
            for cost in row[1:]
        ]
        lines.append(f"{operation.replace('_', ' '):28}" + "".join(cells))
    return "\n".join(lines)


def data(results: Mapping[str, Costs]) -> dict[str, Any]:
    """The same for JSON: by technique, then by operation."""
    return {
        technique: {
            name: {**asdict(cost), "hypervisor": cost.hypervisor} for name, cost in costs.items()
        }
        for technique, costs in results.items()
    }


def chart(results: Mapping[str, Costs]) -> str:
    """An SVG bar chart; lengths are logarithmic, as costs span four decades."""
    from math import log10

    operations = [name for name in next(iter(results.values())) if name != EMPTY_LOOP]
    bar, gap, left, scale = 14, 12, 170, 130
    step = bar * len(results) + gap
    parts = []
    for i, operation in enumerate(operations):
        top = 40 + i * step
        label = escape(operation.replace("_", " "))
        parts.append(f'<text x="{left - 8}" y="{top + step / 2}" text-anchor="end">{label}</text>')
        for j, costs in enumerate(results.values()):
            cost = costs.get(operation)
            if cost is None:
                continue
            width = scale * log10(max(1.0, cost.total)) + 2
            y = top + j * bar
            parts.append(
                f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{bar - 2}" '
                f'fill="{COLOURS[j % len(COLOURS)]}"/>'
                f'<text x="{left + width + 5:.1f}" y="{y + bar - 4}">{cost.total:,.0f}</text>'
            )
    for j, name in enumerate(results):
        colour = COLOURS[j % len(COLOURS)]
        parts.append(f'<text x="{left + 90 * j}" y="22" fill="{colour}">{escape(name)}</text>')
    height = 50 + step * len(operations)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{height}" '
        f'font-family="sans-serif" font-size="11">{"".join(parts)}</svg>\n'
    )
