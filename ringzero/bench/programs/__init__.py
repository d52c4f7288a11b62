"""Bare-metal programs to measure: typed Python, and assembly where the language has no words.

Each one computes a checksum in M-mode, prints it with the ticks that it took, and ends through the
test finisher, so one ELF file runs on our board and on QEMU's. `build` makes that file.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from ringzero.errors import NotFound
from ringzero.lang.baremetal import cached_image
from ringzero.lang.image import Image


@dataclass(frozen=True)
class Program:
    """A bare-metal program: `count` rounds of it take QEMU three to six seconds."""

    name: str
    module: str  # where its function of the same name stands
    count: int
    kind: str
    title: str


INTEGER, MEMORY, BESIDE, FLOAT = "integer", "memory", "code and data", "floating point"

PROGRAMS = (
    Program("mix", "integer", 600_000_000, INTEGER, "CRC, xorshift and multiplication"),
    Program("chain", "integer", 2_400_000_000, INTEGER, "a loop in which each step needs the last"),
    Program("sieve", "arrays", 600, INTEGER, "primes below a million"),
    Program("quicksort", "arrays", 240, INTEGER, "100,000 words sorted"),
    Program("matrix", "arrays", 600, INTEGER, "96×96 integer matrices multiplied"),
    Program("records", "records", 150_000, INTEGER, "list, state machine and CRC"),
    Program("calls", "calls", 120_000_000, INTEGER, "calls through a table of functions"),
    Program("copy", "arrays", 24_000, MEMORY, "memory copied and compared, by words and bytes"),
    Program("stride", "arrays", 9_000, MEMORY, "16 MB touched with a page's stride"),
    Program("beside", "beside", 20_000_000, BESIDE, "stores into the page that holds the loop"),
    Program("mandelbrot", "floating", 20_000, FLOAT, "multiply, add, compare in doubles"),
    Program("orbits", "floating", 40_000_000, FLOAT, "divide and square root in doubles"),
    Program("dot", "floating", 360_000, FLOAT, "fused multiply-add over arrays"),
)

SMP = "smp"
SHARED = Program("shared", "shared", 60_000, SMP, "pieces of work that harts take in turn")
START = Program("nothing", "integer", 1, "start", "prints and ends")


def program(name: str) -> Program:
    """The program of that name."""
    for each in (*PROGRAMS, SHARED, START):
        if each.name == name:
            return each
    raise NotFound(f"There is no benchmark program {name!r}; `ringzero bench --list` shows them.")


def build(name: str, count: int | None = None) -> Image:
    """The program of that name that does `count` rounds, compiled at first use."""
    chosen = program(name)
    rounds = chosen.count if count is None else count
    parts = ["bare", "board", "bench/programs", "isa"]
    return cached_image(parts, lambda: _make(chosen, rounds), name, str(rounds))


def _make(chosen: Program, count: int) -> Image:
    from ringzero.bare.build import build as build_program
    from ringzero.bench.programs import frame
    from ringzero.lang import Native

    body = getattr(importlib.import_module(f"{__name__}.{chosen.module}"), chosen.name)
    compiled = isinstance(body, Native)
    start = frame.start_all if chosen.kind == SMP else frame.start
    return build_program(
        [*([body] if compiled else []), frame.finish],
        [start(chosen.name, count), *([] if compiled else [body])],
        entry="start",
        base=frame.BASE,
        exported={},
        bind={frame.put_byte: frame.uart_write},
    )
