"""Every F, D and Zfh instruction against Spike: all rounding modes, edge operands, boxing, flags.

Spike runs each instruction once over its table of operands; the native form of ours runs over all
of it, CPython over a sample.
"""

from __future__ import annotations

import ctypes
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ringzero.engine.native.floats import host as host_floats
from ringzero.engine.native.state import Core
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import Instruction
from ringzero.isa.privileged.trap import ILLEGAL_INSTRUCTION
from ringzero.isa.softfloat import DOUBLE, HALF, NV, NX, SINGLE, Format, from_unsigned
from ringzero.lang import Native
from tests.isa import spike_floats
from tests.isa.float_instructions import FLOATS, SHAPES, wrapped
from tests.isa.spike_floats import TRAPPED, Case, Outcome, Row

pytestmark = [
    pytest.mark.needs_binutils,
    pytest.mark.skipif(spike_floats.missing() is not None, reason=str(spike_floats.missing())),
]

DYNAMIC = 7
FORMATS = {"h": HALF, "s": SINGLE, "d": DOUBLE}
INTEGERS = sorted(
    {((1 << bit) + by) % (1 << 64) for bit in range(64) for by in (-1, 0, 1)}
    | {(1 << 64) - ((1 << bit) + by) for bit in (7, 10, 15, 24, 31, 32, 53, 63) for by in (0, 1)}
    | {0x0020_0000_0000_0003, 0x0000_0000_0100_0001, 0xFFFF_FFFF_FEFF_FFFF, 2049, 65519, 65520}
)


@cache
def edges(fmt: Format) -> tuple[int, ...]:
    """Registers: about thirty data of a format, NaNs of all kinds, and wrongly boxed ones."""
    one, top = fmt.bias << fmt.fraction, fmt.infinity
    magnitudes = [
        0, 1, fmt.hidden - 1, fmt.hidden, one - 1, one, one + 1, one + fmt.quiet,
        one + fmt.hidden, one + 3 * fmt.quiet, one + (fmt.fraction << fmt.fraction) + 1,
        top // 2, top - 1, top, top + 1, fmt.nan, fmt.nan + 2,
    ]  # fmt: skip
    data = [m | fmt.box for m in magnitudes] + [
        m | fmt.sign | fmt.box for m in magnitudes if m not in (one - 1, top // 2, fmt.nan + 2)
    ]
    if fmt.box:
        data += [one, top, one | (fmt.box >> 1 & fmt.box), one | (fmt.box << 1) % (1 << 64)]
    return tuple(data)


@cache
def numbers(fmt: Format) -> tuple[int, ...]:
    """Operands of conversions: edges, and numbers around the ends of the integer types."""
    found = set(edges(fmt))
    for bit in (0, 1, 7, 8, 15, 16, 31, 32, 52, 53, 62, 63, 64):
        bits, _ = from_unsigned(fmt, (1 << bit) % (1 << 64) or (1 << 63), 0)
        if bit == 64:
            bits = bits + fmt.hidden
        if bits >= fmt.infinity:
            continue
        for nudge in (-2, -1, 0, 1, 2):
            found |= {(int(bits) + nudge) | sign | fmt.box for sign in (0, fmt.sign)}
    for halves in range(1, 8):
        bits, _ = from_unsigned(fmt, halves, 0)
        found |= {(int(bits) - fmt.hidden) | sign | fmt.box for sign in (0, fmt.sign)}
    stream = random.Random(fmt.width)
    found |= {stream.getrandbits(fmt.width) | fmt.box for _ in range(40)}
    if fmt is DOUBLE:  # ties and subnormals of the narrower formats
        for exponent in (-150, -149, -127, -126, -25, -24, -15, -14, 15, 16, 127, 128):
            base = (1023 + exponent) << 52
            for low in (0, 1, 1 << 28, 1 << 29, 3 << 28, 1 << 41, 1 << 42, (1 << 52) - 1):
                found |= {base | low, base | low | fmt.sign}
    return tuple(sorted(found))


@cache
def triples(fmt: Format) -> tuple[Row, ...]:
    """Operands of fused multiply-add: edges, near-cancellations, and random exponents."""
    stream = random.Random(fmt.fraction)
    rows: list[Row] = []
    for _ in range(700):
        a, b, c = (stream.choice(edges(fmt)) for _ in range(3))
        rows.append((a, b, c, 0))
    for _ in range(500):
        fields = [
            (fmt.bias + stream.randint(-fmt.fraction, fmt.fraction)) % fmt.exponent_limit
            for _ in range(2)
        ]
        fields.append(fields[0] + fields[1] - fmt.bias + stream.randint(-3, 3))
        words = [
            (max(0, min(field, fmt.exponent_limit - 1)) << fmt.fraction)
            | (stream.getrandbits(1) << (fmt.width - 1))
            | (stream.getrandbits(fmt.fraction) >> stream.choice((0, 0, fmt.fraction // 2)))
            | fmt.box
            for field in fields
        ]
        rows.append((words[0], words[1], words[2], 0))
    return tuple(rows)


@cache
def pairs(fmt: Format) -> tuple[Row, ...]:
    rows = [(a, b, 0, 0) for a in edges(fmt) for b in edges(fmt)]
    return (*rows, *triples(fmt)[700:])


def source_format(one: Instruction) -> Format:
    """The format of an instruction's floating-point operands, by its name."""
    parts = one.name.split(".")
    if parts[0] == "fmv":
        return {"w": SINGLE, "d": DOUBLE, "h": HALF}[parts[1] if parts[2] == "x" else parts[2]]
    return FORMATS[parts[-1]]


def rows_of(one: Instruction) -> tuple[Row, ...]:
    if "rs1" in one.parameters:
        return tuple((0, 0, 0, value) for value in INTEGERS)
    fmt = source_format(one)
    if "frs3" in one.parameters:
        return triples(fmt)
    if "frs2" in one.parameters:
        return pairs(fmt)
    return tuple((a, 0, 0, 0) for a in numbers(fmt))


def cases() -> list[Case]:
    found = []
    for one in FLOATS:
        rows = rows_of(one)
        if "rm" not in one.row.fields:
            found.append(Case(one, 0, rows, 1))
            continue
        found.append(Case(one, DYNAMIC, rows, 5))
        # Reserved modes trap, in frm as in rm; a static mode ignores frm.
        few = rows[:: max(len(rows) // 12, 1)]
        found += [Case(one, rm, few, 1) for rm in range(7)]
        found += [Case(one, rm, few[:2], 8) for rm in (1, DYNAMIC)]
    return found


def expand(case: Case) -> list[tuple[Row, int]]:
    return [(row, frm) for row in case.rows for frm in range(case.frms)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, list[Outcome]]:
    all_cases = cases()
    where: Path = tmp_path_factory.mktemp("spike")
    outcomes = iter(spike_floats.run(all_cases, where))
    return {case: [next(outcomes) for _ in expand(case)] for case in all_cases}


def compare(
    case: Case,
    theirs: list[Outcome],
    run: Any,
    hart: Any,
    first: Any,
    every: int = 1,
    accrued: int = 0,
) -> None:
    """Run a case on ours and compare result and fcsr with what Spike recorded.

    `accrued` are flags set before: they stay set, and change nothing else.
    """
    for index, ((row, frm), outcome) in enumerate(zip(expand(case), theirs, strict=True)):
        if index % every:
            continue
        hart.fcsr, hart.cause = frm << 5 | accrued, 0
        result = int(run(first, *row, case.rm))
        if result == TRAPPED:
            assert hart.cause == ILLEGAL_INSTRUCTION
        assert (hex(result), hex(hart.fcsr)) == (
            hex(outcome.result),
            hex(outcome.fcsr | accrued),
        ), f"{case.instruction.name} rm={case.rm} frm={frm} of {[hex(x) for x in row]}"


def test_tables_reach_every_instruction() -> None:
    assert len(FLOATS) == 3 * 28 + 6  # and conversions between formats
    assert {one.parameters for one in FLOATS} <= SHAPES


@pytest.mark.parametrize("accrued", [0, NX, NX | NV], ids=["none", "NX", "NX, NV"])
@pytest.mark.parametrize("bind", [{}, host_floats.BIND], ids=["integers", "host"])
def test_compiled_instructions_do_what_spike_does(
    recorded: dict[Case, list[Outcome]], bind: dict[Native, Native], accrued: int
) -> None:
    from ringzero.lang.host import HostLibrary, view

    roots = {one: wrapped(one) for one in FLOATS}
    library = HostLibrary(list(roots.values()), bind)
    core = view(Core)()
    for case, theirs in recorded.items():
        run = library.call[roots[case.instruction].name]
        compare(case, theirs, run, core.hart, ctypes.addressof(core), accrued=accrued)


@pytest.mark.parametrize("one", FLOATS, ids=lambda one: one.name)
def test_cpython_does_what_spike_does(
    one: Instruction, recorded: dict[Case, list[Outcome]]
) -> None:
    hart, run = Hart(), wrapped(one)
    for case, theirs in recorded.items():
        if case.instruction is one:
            compare(case, theirs, run, hart, hart, max(len(theirs) // 90, 1) | 1)
