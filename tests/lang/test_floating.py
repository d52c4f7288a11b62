"""Floating-point intrinsics: CPython's meaning of them against compiled text, on any bits."""

from __future__ import annotations

import ctypes
import math
import random
import struct
from typing import Any

import pytest

from ringzero.lang import (
    Fixed,
    Native,
    float_add,
    float_convert,
    float_div,
    float_equal,
    float_fma,
    float_less,
    float_less_equal,
    float_mul,
    float_of,
    float_sqrt,
    float_sub,
    float_truncated,
    float_unordered,
    i32,
    i64,
    native,
    u32,
    u64,
)
from ringzero.lang.compiler import CompileError
from ringzero.lang.host import HostLibrary

NUMBERS = (float_add, float_sub, float_mul, float_div)
TESTS = (float_equal, float_less, float_less_equal, float_unordered)
KINDS = pytest.mark.parametrize("kind", [u32, u64], ids=["single", "double"])


def some(kind: type[Fixed], stream: random.Random) -> int:
    """Bits of a number: any, or near 1, or a small integer."""
    fraction, bias = (52, 1023) if kind is u64 else (23, 127)
    sign = stream.getrandbits(1) << (kind.bits - 1)
    if stream.random() < 0.3:
        return stream.getrandbits(kind.bits)
    if stream.random() < 0.2:
        return sign
    field = bias + stream.choice(
        (0, 1, stream.randint(-fraction, fraction), stream.randint(-bias, bias))
    )
    kept = stream.choice((0, fraction - 3, stream.randint(0, fraction)))
    return sign | field << fraction | stream.getrandbits(fraction) >> kept << kept


def nan(kind: type[Fixed], bits: int) -> bool:
    infinity = 0x7FF0_0000_0000_0000 if kind is u64 else 0x7F80_0000
    return bits & ((1 << (kind.bits - 1)) - 1) > infinity


def agree(kind: Any, function: Native, compiled: Any, *operands: int) -> None:
    ours, theirs = int(function(*operands)), int(compiled(*operands))
    if not (nan(kind, ours) and nan(kind, theirs)):
        assert hex(ours) == hex(theirs), (function.name, [hex(o) for o in operands])


def of_two(kind: Any, operation: Any) -> Native:
    def run(a: kind, b: kind) -> kind:
        return operation(a, b)

    run.__name__ = operation.name
    run.__annotations__ = {"a": kind, "b": kind, "return": bool if operation in TESTS else kind}
    made: Native = native(run)
    return made


@KINDS
def test_of_two_numbers(kind: Any) -> None:
    roots = [of_two(kind, operation) for operation in NUMBERS + TESTS]
    library, stream = HostLibrary(roots), random.Random(1)
    for _ in range(500):
        a, b = some(kind, stream), some(kind, stream)
        for root in roots:
            result = bool if root.name in {test.__name__ for test in TESTS} else kind
            if result is bool:
                assert bool(root(a, b)) == library.call[root.name](a, b)
            else:
                agree(kind, root, library.call[root.name], a, b)


@native
def fused_single(a: u32, b: u32, c: u32) -> u32:
    return float_fma(a, b, c)


@native
def fused_double(a: u64, b: u64, c: u64) -> u64:
    return float_fma(a, b, c)


@native
def root_single(a: u32) -> u32:
    return float_sqrt(a)


@native
def root_double(a: u64) -> u64:
    return float_sqrt(a)


@native
def narrowed(a: u64) -> u32:
    return float_convert(u32, a)


@native
def widened(a: u32) -> u64:
    return float_convert(u64, a)


def test_fused_roots_and_formats() -> None:
    singles, doubles = (fused_single, root_single, widened), (fused_double, root_double, narrowed)
    library, stream = HostLibrary([*singles, *doubles]), random.Random(2)
    for _ in range(500):
        for kind, other, (fused, root, convert) in ((u32, u64, singles), (u64, u32, doubles)):
            a, b, c = (some(kind, stream) for _ in range(3))
            agree(kind, fused, library.call[fused.name], a, b, c)
            agree(kind, root, library.call[root.name], a)
            agree(other, convert, library.call[convert.name], a)


@native
def from_signed(value: i64) -> u32:
    return float_of(u32, value)


@native
def from_unsigned(value: u64) -> u64:
    return float_of(u64, value)


@native
def to_word(a: u64) -> i32:
    return float_truncated(i32, a)


@native
def to_long(a: u32) -> i64:
    return float_truncated(i64, a)


def test_integers() -> None:
    library, stream = HostLibrary([from_signed, from_unsigned, to_word, to_long]), random.Random(3)
    for _ in range(500):
        value = stream.getrandbits(stream.randint(0, 64))
        assert int(from_unsigned(value)) == library.call["from_unsigned"](value)
        signed = ctypes.c_int64(value).value
        assert int(from_signed(signed)) == library.call["from_signed"](signed)
        double, single = some(u64, stream), some(u32, stream)
        if abs(number(u64, double)) < 1 << 31:
            assert int(to_word(double)) == library.call["to_word"](double)
        if abs(number(u32, single)) < 1 << 63:
            assert int(to_long(single)) == library.call["to_long"](single)


def number(kind: Any, bits: int) -> float:
    value = float(
        struct.unpack("<d" if kind is u64 else "<f", bits.to_bytes(kind.bits // 8, "little"))[0]
    )
    return math.inf if math.isnan(value) else value


@native
def mixed(a: u32, b: u64) -> u64:
    return float_add(a, b)  # type: ignore[return-value]  # wrong on purpose


def test_two_formats_are_an_error_in_both_lives() -> None:
    with pytest.raises(TypeError, match="u32 with u64"):
        mixed(1, 1)
    with pytest.raises(CompileError, match="float_convert"):
        HostLibrary([mixed])
