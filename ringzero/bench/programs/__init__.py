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
    """A bare-metal program: `count` rounds of it take QEMU two to six seconds."""

    name: str
    module: str  # where its function of the same name stands
    count: int
    kind: str
    title: str


INTEGER, MEMORY, BESIDE, FLOAT = "integer", "memory", "code and data", "floating point"
SHAPES = "shapes"  # of code: each is bound by something else than arithmetic in one loop

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
    Program("compare", "compare", 40_000_000, SHAPES, "a store, a call, 32 equal bytes compared"),
    Program("prefixes", "compare", 120_000_000, SHAPES, "short equal memory compared by bytes"),
    Program("tree", "tree", 6_000, SHAPES, "a search tree of small functions"),
    Program("hashtable", "hashtable", 4_000, SHAPES, "64-bit keys mixed, and slots probed"),
    Program("bytecode", "bytecode", 150_000, SHAPES, "an interpreter's loop"),
    Program("recursion", "recursion", 60_000, SHAPES, "Fibonacci's and Ackermann's functions"),
    Program("straight", "straight", 400_000, SHAPES, "ten thousand instructions without a loop"),
    Program("rotate", "rotate", 2_500_000, SHAPES, "Keccak: rotations of many live values"),
    Program("strings", "strings", 15_000, SHAPES, "length, copy and search by bytes"),
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
