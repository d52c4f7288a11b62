"""softfloat against exact rational arithmetic, against the host's floats, and compiled."""

from __future__ import annotations

import ctypes
import math
import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringzero.isa.softfloat import (
    DOUBLE,
    HALF,
    SINGLE,
    Format,
    add,
    classify,
    convert_format,
    copy_sign,
    div,
    equal,
    from_signed,
    from_unsigned,
    less_or_equal,
    less_than,
    maximum,
    minimum,
    mul,
    mul_add,
    sqrt,
    sub,
    to_integer,
)
from ringzero.lang import Native, Struct, Stub, i32, i64, native, u32, u64
from tests.isa import exact_floats as exact

FORMATS = [HALF, SINGLE, DOUBLE]
MODES = range(5)
BINARY = {"add": add, "sub": sub, "mul": mul, "div": div}
by_format = pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)


def edges(fmt: Format) -> list[int]:
    """Magnitudes where something happens."""
    one = fmt.bias << fmt.fraction
    return [
        0, 1, 2, 3, fmt.hidden - 1, fmt.hidden, fmt.hidden + 1, one - 1, one, one + 1,
        one + fmt.quiet, one + fmt.hidden, fmt.infinity - 1, fmt.infinity, fmt.infinity + 1,
        fmt.nan, fmt.nan | 5,
    ]  # fmt: skip


def some(fmt: Format, random: random.Random) -> int:
    """A datum of a format: an edge, one near 1 with few digits, or any bits."""
    sign = random.getrandbits(1) << (fmt.width - 1)
    choice = random.random()
    if choice < 0.3:
        return sign | random.choice(edges(fmt))
    if choice < 0.7:
        spread = fmt.fraction + 4
        field = min(max(fmt.bias + random.randint(-spread, spread), 0), fmt.exponent_limit - 1)
        kept = random.randint(0, fmt.fraction)
        fraction = random.getrandbits(fmt.fraction) >> kept << kept
        return sign | (field << fmt.fraction) | fraction
    return random.getrandbits(fmt.width)


def data(fmt: Format, count: int) -> st.SearchStrategy[list[int]]:
    """`count` operands from one random stream: hypothesis supplies the seeds."""

    def draw(seed: int) -> list[int]:
        stream = random.Random(seed)
        return [some(fmt, stream) for _ in range(count)]

    return st.integers(0, 1 << 64).map(draw)


def plain(result: tuple[Any, Any]) -> tuple[int, int]:
    return int(result[0]), int(result[1])


modes = st.sampled_from(MODES)
quick = settings(max_examples=80, deadline=None)


@by_format
@pytest.mark.parametrize("name", BINARY)
def test_arithmetic_rounds_the_exact_result(fmt: Format, name: str) -> None:
    oracle = getattr(exact, name)

    @quick
    @given(data(fmt, 2), modes)
    def check(operands: list[int], mode: int) -> None:
        a, b = operands
        expected = oracle(exact.BINARY[fmt.width], a, b, mode)
        assert plain(BINARY[name](fmt, a, b, mode)) == expected

    check()


@by_format
@pytest.mark.parametrize("name", BINARY)
def test_arithmetic_on_all_pairs_of_edges(fmt: Format, name: str) -> None:
    oracle, operands = getattr(exact, name), edges(fmt)
    for index, a in enumerate(operands):
        for b in operands:
            mode = (index + b) % 5
            for left, right in ((a, b), (a | fmt.sign, b)):
                expected = oracle(exact.BINARY[fmt.width], left, right, mode)
                assert plain(BINARY[name](fmt, left, right, mode)) == expected, (left, right)


@by_format
def test_fused_multiply_add_rounds_once(fmt: Format) -> None:
    @quick
    @given(data(fmt, 3), modes)
    def check(operands: list[int], mode: int) -> None:
        a, b, c = operands
        expected = exact.mul_add(exact.BINARY[fmt.width], a, b, c, mode)
        assert plain(mul_add(fmt, a, b, c, mode)) == expected

    check()


@by_format
def test_fused_multiply_add_cancels_exactly(fmt: Format) -> None:
    """The addend is the rounded product, negated: what remains is the product's rounding error."""

    @quick
    @given(data(fmt, 2), modes, st.integers(-2, 2))
    def check(operands: list[int], mode: int, nudge: int) -> None:
        a, b = operands
        product, _ = exact.mul(exact.BINARY[fmt.width], a, b, 0)
        c = ((product ^ fmt.sign) + nudge) & fmt.mask
        expected = exact.mul_add(exact.BINARY[fmt.width], a, b, c, mode)
        assert plain(mul_add(fmt, a, b, c, mode)) == expected

    check()


@by_format
def test_square_root(fmt: Format) -> None:
    @quick
    @given(data(fmt, 1), modes)
    def check(operands: list[int], mode: int) -> None:
        expected = exact.sqrt(exact.BINARY[fmt.width], operands[0], mode)
        assert plain(sqrt(fmt, operands[0], mode)) == expected

    check()


@by_format
def test_square_roots_of_squares_are_exact(fmt: Format) -> None:
    for root in range(1, 1 << min(fmt.fraction // 2, 8)):
        square, _ = from_unsigned(fmt, root * root, 0)
        assert plain(sqrt(fmt, square, 0)) == plain(from_unsigned(fmt, root, 0))


@pytest.mark.parametrize("source", FORMATS, ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("target", FORMATS, ids=lambda fmt: fmt.name)
def test_conversion_between_formats(source: Format, target: Format) -> None:
    @quick
    @given(data(source, 1), modes)
    def check(operands: list[int], mode: int) -> None:
        a = operands[0]
        given_, wanted = exact.BINARY[source.width], exact.BINARY[target.width]
        expected = exact.convert_format(given_, wanted, a, mode)
        assert plain(convert_format(source, target, a, mode)) == expected

    check()


integers = st.integers(0, 64).flatmap(lambda bits: st.integers(0, (1 << bits) - 1)) | st.builds(
    lambda bit, by: ((1 << bit) + by) % (1 << 64), st.integers(0, 63), st.integers(-2, 2)
)


@by_format
def test_conversion_from_integers(fmt: Format) -> None:
    @quick
    @given(integers, modes)
    def check(word: int, mode: int) -> None:
        wanted = exact.BINARY[fmt.width]
        assert plain(from_unsigned(fmt, word, mode)) == exact.from_integer(wanted, word, mode)
        signed = word - (1 << 64) if word >> 63 else word
        assert plain(from_signed(fmt, word, mode)) == exact.from_integer(wanted, signed, mode)

    check()


def near_integer(fmt: Format, word: int, nudge: int, sign: int) -> int:
    bits, _ = exact.from_integer(exact.BINARY[fmt.width], word, 0)
    return max(bits + nudge, 0) | (sign << (fmt.width - 1))


@by_format
@pytest.mark.parametrize("kind", [i32, u32, i64, u64], ids=lambda kind: kind.__name__)
def test_conversion_to_integers(fmt: Format, kind: Any) -> None:
    low = -(1 << (kind.bits - 1)) if kind.signed else 0
    high = low + (1 << kind.bits) - 1
    close = st.builds(near_integer, st.just(fmt), integers, st.integers(-2, 2), st.integers(0, 1))

    @quick
    @given(data(fmt, 1).map(lambda operands: operands[0]) | close, modes)
    def check(a: int, mode: int) -> None:
        value, flags = exact.to_integer(exact.BINARY[fmt.width], low, high, a, mode)
        assert plain(to_integer(fmt, kind, a, mode)) == (value % (1 << 64), flags)

    check()


@by_format
def test_halves_round_as_each_mode_says(fmt: Format) -> None:
    two, half = fmt.bias + 1, 1 << (fmt.fraction - 2)
    for sign, expected in ((0, (2, 2, 2, 3, 3)), (fmt.sign, (-2, -2, -3, -2, -3))):
        for mode in MODES:  # 2.5 is (1 + 1/4) * 2
            value, flags = to_integer(fmt, i64, sign | (two << fmt.fraction) | half, mode)
            assert (int(i64(value)), int(flags)) == (expected[mode], exact.NX)


@by_format
def test_comparisons_minimum_and_maximum(fmt: Format) -> None:
    binary = exact.BINARY[fmt.width]

    def key(datum: exact.Datum) -> Any:
        if datum.kind == "infinity":
            return -math.inf if datum.negative else math.inf
        return datum.value

    def check(a: int, b: int) -> None:
        x, y = binary.decode(a), binary.decode(b)
        invalid = exact.NV if "signaling" in (x.kind, y.kind) else 0
        if x.nan or y.nan:
            assert plain(equal(fmt, a, b)) == (0, invalid)
            assert plain(less_than(fmt, a, b)) == (0, exact.NV)
            assert plain(less_or_equal(fmt, a, b)) == (0, exact.NV)
            other = binary.nan if x.nan and y.nan else b if x.nan else a
            assert plain(minimum(fmt, a, b)) == plain(maximum(fmt, a, b)) == (other, invalid)
            return
        assert plain(equal(fmt, a, b)) == (int(key(x) == key(y)), 0)
        assert plain(less_than(fmt, a, b)) == (int(key(x) < key(y)), 0)
        assert plain(less_or_equal(fmt, a, b)) == (int(key(x) <= key(y)), 0)
        ordered = sorted((a, b), key=lambda bits: (key(binary.decode(bits)), bits < fmt.sign))
        assert plain(minimum(fmt, a, b)) == (ordered[0], 0)
        assert plain(maximum(fmt, a, b)) == (ordered[1], 0)

    for a in edges(fmt):
        for b in edges(fmt):
            for signs in range(4):
                check(a | (signs & 1) * fmt.sign, b | (signs >> 1) * fmt.sign)
    quick(given(data(fmt, 2))(lambda operands: check(*operands)))()


@by_format
def test_classes(fmt: Format) -> None:
    names = {
        fmt.sign | fmt.infinity: 0, fmt.sign | fmt.hidden: 1, fmt.sign | (fmt.hidden - 1): 2,
        fmt.sign: 3, 0: 4, 1: 5, fmt.infinity - 1: 6, fmt.infinity: 7, fmt.infinity | 1: 8,
        fmt.nan: 9, fmt.sign | fmt.nan | 1: 9, fmt.sign | fmt.infinity | 1: 8,
    }  # fmt: skip
    for bits, bit in names.items():
        assert int(classify(fmt, bits)) == 1 << bit, hex(bits)


@by_format
def test_copy_sign_keeps_every_other_bit(fmt: Format) -> None:
    assert int(copy_sign(fmt, fmt.nan | 1, fmt.sign)) == fmt.sign | fmt.nan | 1
    assert int(copy_sign(fmt, fmt.mask, 0)) == fmt.magnitude


def bits_of(value: float, letter: str) -> int:
    unsigned = {"d": "Q", "f": "I"}[letter]
    bits: int = struct.unpack("<" + unsigned, struct.pack("<" + letter, value))[0]
    return bits


def host_result(name: str, a: float, b: float) -> float | None:
    try:
        return {"add": a.__add__, "sub": a.__sub__, "mul": a.__mul__, "div": a.__truediv__}[name](b)
    except ZeroDivisionError:
        return None


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(("fmt", "letter"), [(SINGLE, "f"), (DOUBLE, "d")], ids="fd")
def test_the_host_computes_the_same(fmt: Format, letter: str, name: str) -> None:
    """To nearest, a single result through double is rounded twice without harm (p >= 2q + 2)."""
    stream = random.Random(name + letter)
    for _ in range(800):
        a, b = some(fmt, stream), some(fmt, stream)
        if any(fmt.infinity < x & fmt.magnitude for x in (a, b)):
            continue
        x, y = (exact_float(fmt, letter, bits) for bits in (a, b))
        value = host_result(name, x, y)
        if value is None:
            continue
        single = ctypes.c_float(value).value if letter == "f" else value
        expected = fmt.nan if math.isnan(single) else bits_of(single, letter)
        assert int(BINARY[name](fmt, a, b, 0)[0]) == expected, (hex(a), hex(b))


def exact_float(fmt: Format, letter: str, bits: int) -> float:
    value: float = struct.unpack("<" + letter, bits.to_bytes(fmt.width // 8, "little"))[0]
    return value


def test_the_host_takes_the_same_square_roots() -> None:
    stream = random.Random(3)
    for _ in range(800):
        a = some(DOUBLE, stream) & DOUBLE.magnitude
        if a < DOUBLE.infinity:
            expected = bits_of(math.sqrt(exact_float(DOUBLE, "d", a)), "d")
            assert int(sqrt(DOUBLE, a, 0)[0]) == expected, hex(a)


# Compiled


class Out(Struct):
    """Where a compiled operation leaves its result."""

    value: u64
    flags: u64


def compiled_form(name: str, operation: Native, fmt: Format, count: int) -> Native:
    """A root of a host library: `operation` in `fmt`, results through memory."""

    def run(out: Out, a: u64, b: u64, c: u64, rounding: u64) -> None:
        if count == 1:
            value, flags = operation(fmt, a, rounding)
        elif count == 2:
            value, flags = operation(fmt, a, b, rounding)
        else:
            value, flags = operation(fmt, a, b, c, rounding)
        out.value = value
        out.flags = flags

    run.__name__ = f"{fmt.name}_{name}"
    made: Native = native(run)
    return made


COMPILED: dict[str, tuple[Native, int]] = {
    "add": (add, 2), "sub": (sub, 2), "mul": (mul, 2), "div": (div, 2), "sqrt": (sqrt, 1),
    "mul_add": (mul_add, 3), "from_signed": (from_signed, 1), "from_unsigned": (from_unsigned, 1),
}  # fmt: skip


def test_compiled_operations_agree_with_cpython() -> None:
    from ringzero.lang.host import HostLibrary, view

    forms = {
        (name, fmt): compiled_form(name, operation, fmt, count)
        for name, (operation, count) in COMPILED.items()
        for fmt in FORMATS
    }
    library = HostLibrary(list(forms.values()))
    native_out, out = view(Out)(), Out()
    stream = random.Random(5)
    for (name, fmt), form in forms.items():
        for _ in range(150):
            a, b, c = (some(fmt, stream) for _ in range(3))
            mode = stream.randrange(5)
            form(out, a, b, c, mode)
            library.call[form.name](ctypes.addressof(native_out), a, b, c, mode)
            got = (native_out.value, native_out.flags)
            assert got == (int(out.value), int(out.flags)), (name, fmt.name, a, b, c, mode)


def test_operations_need_no_library_on_bare_metal() -> None:
    """The linker refuses calls of compiler support routines such as 128-bit division."""
    from ringzero.lang.baremetal import build

    roots = [
        compiled_form(name, operation, fmt, count)
        for name, (operation, count) in COMPILED.items()
        for fmt in FORMATS
    ]
    start = Stub("start", [], None, [0x0000_8067])  # ret
    image = build(roots, [start], entry="start", base=0x8000_0000)
    assert {root.name for root in roots} <= set(image.symbols)
