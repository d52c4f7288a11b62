"""Floating point by the host against the same instructions by integers: results, flags, traps."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringzero.engine.native.floats import host as host_floats
from ringzero.engine.native.floats import regions as region_floats
from ringzero.engine.native.state import Core
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import Instruction
from ringzero.isa.privileged.trap import Trap
from ringzero.isa.softfloat import DOUBLE, HALF, NX, SINGLE
from ringzero.lang import Native, advance, native, peek, poke, ptr, u8, u64
from ringzero.lang.host import HostLibrary, view
from tests.isa.float_instructions import FLOATS, SHAPES, apply
from tests.isa.spike_floats import TRAPPED

ROW = 64  # bytes: three operands, an integer, rm, fcsr; then the result and fcsr afterwards
ROWS = 12_000
FORMATS = {"h": HALF, "s": SINGLE, "d": DOUBLE}
# Exponents around which something changes: subnormals, the reach of error terms, overflow.
WHERE = {
    "h": [0, 1, 2, 15, 29, 30],
    "s": [0, 1, 2, 3, 23, 24, 25, 64, 127, 150, 151, 158, 190, 191, 253, 254],
    "d": [0, 1, 2, 3, 52, 53, 54, 55, 108, 109, 110, 111, 512, 896, 897, 1023, 1054, 1055, 1076,
          1086, 1087, 1150, 1151, 1534, 2043, 2044, 2045, 2046],
}  # fmt: skip


def one(stream: random.Random, name: str) -> int:
    """A register: any bits, few digits near a boundary, a small integer, or a special number."""
    fmt = FORMATS[name]
    kind = stream.randrange(20)
    sign = stream.getrandbits(1) << (fmt.width - 1)
    if kind < 2:
        magnitude = stream.getrandbits(fmt.width - 1)
    elif kind < 4:
        magnitude = stream.choice([0, 0, 1, fmt.infinity, fmt.nan, fmt.infinity + 1])
    else:
        field = stream.choice(WHERE[name]) + stream.choice(
            (0, 0, 0, -1, 1, stream.randint(-60, 60))
        )
        if kind < 8:
            field = fmt.bias + stream.randint(0, min(20, fmt.bias))
        kept = stream.choice(
            (0, 0, fmt.fraction, fmt.fraction // 2, stream.randint(0, fmt.fraction))
        )
        fraction = stream.getrandbits(fmt.fraction) >> kept << kept
        magnitude = (max(0, min(field, fmt.exponent_limit - 1)) << fmt.fraction) | fraction
    boxed = fmt.box if stream.randrange(30) else 0
    return sign | magnitude | boxed


def integer(stream: random.Random) -> int:
    """A word of some length, of either sign."""
    value = stream.getrandbits(stream.randint(0, 64)) + stream.randint(-2, 2)
    return (value if stream.getrandbits(1) else -value) % (1 << 64)


@cache
def rows(name: str, seed: int, count: int) -> bytes:
    """Operands of a format, with any rm, and any fcsr; usual ones more often."""
    stream, words = random.Random(f"{name} {seed}"), []
    for _ in range(count):
        operands = [one(stream, name) for _ in range(3)]
        if stream.randrange(4) == 0:  # products and quotients that have few digits: exact ones
            operands[1] = operands[0] ^ (stream.getrandbits(1) << (FORMATS[name].width - 1))
        rm = stream.choice((7, 7, 7, 7, 0, 0, 1, stream.randrange(8)))
        frm = stream.choice((0, 0, 0, stream.randrange(8)))
        flags = stream.choice((0, NX, NX, stream.getrandbits(5)))
        words += [*operands, integer(stream), rm, frm << 5 | flags, 0, 0]
    return b"".join(word.to_bytes(8, "little") for word in words)


def over_rows(instruction: Instruction) -> Native:
    """A root that runs an instruction over many rows."""
    body, shape = instruction.function, instruction.parameters
    writes = instruction.dirties_floats
    assert shape in SHAPES

    def run(hart: Hart, table: ptr[u8], count: u64) -> None:
        row = u64(0)
        while row < count:
            at = advance(table, row * ROW)
            a = peek(u64, at, 0)
            b = peek(u64, at, 8)
            c = peek(u64, at, 16)
            x = peek(u64, at, 24)
            rm = peek(u64, at, 32)
            hart.fcsr = peek(u64, at, 40)
            hart.mstatus = u64(0x6000) if hart.fcsr & 2 != 0 else u64(0)
            result = u64(TRAPPED)
            try:
                result = apply(body, shape, hart, a, b, c, x, rm)
            except Trap:
                result = u64(TRAPPED)
            poke(u64, at, 48, result)
            # What writes no f register makes FS Dirty only by raising a flag: it stands above fcsr.
            poke(u64, at, 56, hart.fcsr | (0 if writes else hart.mstatus << 8))
            row = row + 1

    run.__name__ = "over_" + instruction.name.replace(".", "_")
    made: Native = native(run)
    return made


def library(bind: dict[Native, Native]) -> dict[Instruction, Any]:
    roots = {instruction: over_rows(instruction) for instruction in FLOATS}
    made = HostLibrary(list(roots.values()), bind)
    return {instruction: (made, made.call[root.name]) for instruction, root in roots.items()}


@pytest.fixture(scope="module")
def by_integers() -> dict[Instruction, Any]:
    return library({})


@pytest.fixture(scope="module")
def by_host() -> dict[Instruction, Any]:
    return library(host_floats.BIND)


@pytest.fixture(scope="module")
def in_regions() -> dict[Instruction, Any]:
    return library(region_floats.BIND)


def done(runs: dict[Instruction, Any], instruction: Instruction, table: bytes | bytearray) -> bytes:
    core, data = view(Core)(), (ctypes.c_uint8 * len(table)).from_buffer_copy(table)
    runs[instruction][1](ctypes.addressof(core), ctypes.addressof(data), len(table) // ROW)
    return bytes(data)


def differences(left: bytes, right: bytes) -> Iterator[str]:
    for at in range(0, len(left), ROW):
        if left[at : at + ROW] != right[at : at + ROW]:
            ours, theirs = ([int.from_bytes(side[at + i : at + i + 8], "little")
                             for i in range(0, ROW, 8)] for side in (left, right))  # fmt: skip
            yield f"{[hex(v) for v in ours]} but by integers {[hex(v) for v in theirs[6:]]}"


def operand_format(instruction: Instruction) -> str:
    last = instruction.name.split(".")[-1]
    return last if last in FORMATS else "d"


@pytest.mark.parametrize("instruction", FLOATS, ids=lambda one: one.name)
def test_the_host_computes_what_integers_do(
    instruction: Instruction, by_host: dict[Instruction, Any], by_integers: dict[Instruction, Any]
) -> None:
    table = rows(operand_format(instruction), 1, ROWS)
    ours, theirs = done(by_host, instruction, table), done(by_integers, instruction, table)
    assert next(differences(ours, theirs), None) is None


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(2, 1 << 40))
def test_any_operands(
    seed: int, by_host: dict[Instruction, Any], by_integers: dict[Instruction, Any]
) -> None:
    for name in FORMATS:
        table = rows(name, seed, 40)
        for instruction in FLOATS:
            if operand_format(instruction) == name:
                ours, theirs = (
                    done(by_host, instruction, table),
                    done(by_integers, instruction, table),
                )
                assert next(differences(ours, theirs), None) is None, instruction.name


@pytest.mark.parametrize("instruction", FLOATS, ids=lambda one: one.name)
def test_regions_compute_what_integers_do(
    instruction: Instruction,
    in_regions: dict[Instruction, Any],
    by_integers: dict[Instruction, Any],
) -> None:
    """In what regions hold: rm is no reserved mode, and frm is RNE if rm is dynamic."""
    table = bytearray(rows(operand_format(instruction), 3, ROWS // 2))
    for at in range(0, len(table), ROW):
        if table[at + 32] in (5, 6):
            table[at + 32] = 7
        if table[at + 32] == 7:
            table[at + 40] &= 31
    ours, theirs = done(in_regions, instruction, table), done(by_integers, instruction, table)
    assert next(differences(ours, theirs), None) is None


def test_rows_take_both_ways() -> None:
    """Operands of additions reach every rounding mode, and NX set and clear, often."""
    table = rows("d", 1, 1000)
    seen = {
        (table[at + 32], table[at + 40] >> 5, table[at + 40] & NX)
        for at in range(0, len(table), ROW)
    }
    assert {(7, frm, nx) for frm in range(8) for nx in (0, 1)} <= seen
