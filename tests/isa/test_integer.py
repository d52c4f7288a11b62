"""Integer instructions against arithmetic on Python's unbounded integers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringzero.isa.registry import BY_NAME
from ringzero.lang import u64

ALL = (1 << 64) - 1
EDGES = [
    0, 1, 2, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF00, 0x8000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
    1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, ALL - 1, ALL, 0xFFFF_FFFF_8000_0000,
    0x0100_0000_0080_00FF,
]  # fmt: skip
words = st.one_of(st.sampled_from(EDGES), st.integers(0, ALL))


def signed(value: int, bits: int = 64) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def quotient(a: int, b: int) -> int:
    if b == 0:
        return -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    return a if b == 0 else a - b * quotient(a, b)


def rotated(value: int, count: int, bits: int) -> int:
    count %= bits
    value &= (1 << bits) - 1
    return value >> count | value << (bits - count) & ((1 << bits) - 1)


def low(value: int) -> int:
    return value & 0xFFFF_FFFF


def by_bytes(value: int, change: Callable[[bytes], bytes]) -> int:
    return int.from_bytes(change(value.to_bytes(8, "little")), "little")


BINARY: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "addw": lambda a, b: signed(a + b, 32),
    "subw": lambda a, b: signed(a - b, 32),
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "slt": lambda a, b: signed(a) < signed(b),
    "sltu": lambda a, b: a < b,
    "sll": lambda a, b: a << b % 64,
    "srl": lambda a, b: a >> b % 64,
    "sra": lambda a, b: signed(a) >> b % 64,
    "sllw": lambda a, b: signed(a << b % 32, 32),
    "srlw": lambda a, b: signed(low(a) >> b % 32, 32),
    "sraw": lambda a, b: signed(a, 32) >> b % 32,
    "mul": lambda a, b: a * b,
    "mulh": lambda a, b: signed(a) * signed(b) >> 64,
    "mulhu": lambda a, b: a * b >> 64,
    "mulhsu": lambda a, b: signed(a) * b >> 64,
    "mulw": lambda a, b: signed(a * b, 32),
    "div": lambda a, b: quotient(signed(a), signed(b)),
    "divu": lambda a, b: a // b if b else ALL,
    "rem": lambda a, b: remainder(signed(a), signed(b)),
    "remu": lambda a, b: a % b if b else a,
    "divw": lambda a, b: signed(quotient(signed(a, 32), signed(b, 32)), 32),
    "divuw": lambda a, b: signed(low(a) // low(b), 32) if low(b) else ALL,
    "remw": lambda a, b: signed(remainder(signed(a, 32), signed(b, 32)), 32),
    "remuw": lambda a, b: signed(low(a) % low(b) if low(b) else a, 32),
    "add.uw": lambda a, b: low(a) + b,
    "sh1add": lambda a, b: 2 * a + b,
    "sh2add": lambda a, b: 4 * a + b,
    "sh3add": lambda a, b: 8 * a + b,
    "sh1add.uw": lambda a, b: 2 * low(a) + b,
    "sh2add.uw": lambda a, b: 4 * low(a) + b,
    "sh3add.uw": lambda a, b: 8 * low(a) + b,
    "andn": lambda a, b: a & ~b,
    "orn": lambda a, b: a | ~b,
    "xnor": lambda a, b: ~(a ^ b),
    "max": lambda a, b: max(signed(a), signed(b)),
    "min": lambda a, b: min(signed(a), signed(b)),
    "maxu": max,
    "minu": min,
    "rol": lambda a, b: rotated(a, -b, 64),
    "ror": lambda a, b: rotated(a, b, 64),
    "rolw": lambda a, b: signed(rotated(a, -b, 32), 32),
    "rorw": lambda a, b: signed(rotated(a, b, 32), 32),
    "bclr": lambda a, b: a & ~(1 << b % 64),
    "bext": lambda a, b: a >> b % 64 & 1,
    "binv": lambda a, b: a ^ 1 << b % 64,
    "bset": lambda a, b: a | 1 << b % 64,
    "czero.eqz": lambda a, b: a if b else 0,
    "czero.nez": lambda a, b: 0 if b else a,
}
IMMEDIATE: dict[str, str] = {
    "addi": "add", "slti": "slt", "sltiu": "sltu", "xori": "xor", "ori": "or", "andi": "and",
    "addiw": "addw",
}  # fmt: skip
SHIFTS: dict[str, tuple[str, int]] = {
    "slli": ("sll", 64), "srli": ("srl", 64), "srai": ("sra", 64), "rori": ("ror", 64),
    "slliw": ("sllw", 32), "srliw": ("srlw", 32), "sraiw": ("sraw", 32), "roriw": ("rorw", 32),
    "bclri": ("bclr", 64), "bexti": ("bext", 64), "binvi": ("binv", 64), "bseti": ("bset", 64),
}  # fmt: skip
UNARY: dict[str, Callable[[int], int]] = {
    "clz": lambda a: 64 - a.bit_length(),
    "clzw": lambda a: 32 - low(a).bit_length(),
    "ctz": lambda a: len(bin(a | 1 << 64)) - len(bin(a | 1 << 64).rstrip("0")),
    "ctzw": lambda a: len(bin(low(a) | 1 << 32)) - len(bin(low(a) | 1 << 32).rstrip("0")),
    "cpop": lambda a: bin(a).count("1"),
    "cpopw": lambda a: bin(low(a)).count("1"),
    "sext.b": lambda a: signed(a, 8),
    "sext.h": lambda a: signed(a, 16),
    "zext.h": lambda a: a & 0xFFFF,
    "orc.b": lambda a: by_bytes(a, lambda data: bytes(255 if byte else 0 for byte in data)),
    "rev8": lambda a: by_bytes(a, lambda data: data[::-1]),
}
BRANCHES: dict[str, Callable[[int, int], bool]] = {
    "beq": lambda a, b: a == b,
    "bne": lambda a, b: a != b,
    "blt": lambda a, b: signed(a) < signed(b),
    "bge": lambda a, b: signed(a) >= signed(b),
    "bltu": lambda a, b: a < b,
    "bgeu": lambda a, b: a >= b,
}


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=60, deadline=None)
@example(1 << 63, ALL)
@example(0x8000_0000, 0xFFFF_FFFF)
@example(5, 0)
@example(1 << 63, 64)
@given(words, words)
def test_binary(name: str, a: int, b: int) -> None:
    assert BY_NAME[name](u64(a), u64(b)) == u64(BINARY[name](a, b))


@pytest.mark.parametrize("name", IMMEDIATE)
@settings(max_examples=40, deadline=None)
@given(words, st.integers(-2048, 2047))
def test_immediate(name: str, a: int, imm: int) -> None:
    expected = BINARY[IMMEDIATE[name]](a, imm & ALL)
    assert BY_NAME[name](u64(a), u64(imm)) == u64(expected)


@pytest.mark.parametrize("name", SHIFTS)
@settings(max_examples=40, deadline=None)
@given(words, st.integers(0, 63))
def test_shift_by_immediate(name: str, a: int, shamt: int) -> None:
    other, bits = SHIFTS[name]
    assert BY_NAME[name](u64(a), u64(shamt % bits)) == u64(BINARY[other](a, shamt % bits))


@given(words, st.integers(0, 63))
def test_slli_uw(a: int, shamt: int) -> None:
    assert BY_NAME["slli.uw"](u64(a), u64(shamt)) == u64(low(a) << shamt)


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=60, deadline=None)
@example(0)
@given(words)
def test_unary(name: str, a: int) -> None:
    assert BY_NAME[name](u64(a)) == u64(UNARY[name](a))


@pytest.mark.parametrize("name", BRANCHES)
@settings(max_examples=40, deadline=None)
@example(7, 7)
@given(words, words)
def test_branch(name: str, a: int, b: int) -> None:
    assert BY_NAME[name](u64(a), u64(b)) is BRANCHES[name](a, b)


def test_jumps_and_upper_immediates() -> None:
    assert BY_NAME["jalr"](u64(0x1000), u64(4), u64(0x2001), u64(6)) == (0x1004, 0x2006)
    assert BY_NAME["jal"](u64(0x1000), u64(2), u64(0x100)) == (0x1002, 0x1100)
    assert BY_NAME["lui"](u64(-4096)) == ALL - 4095
    assert BY_NAME["auipc"](u64(0x1000), u64(-0x2000)) == u64(-0x1000)


def test_all_integer_arithmetic_is_covered() -> None:
    tested = {*BINARY, *IMMEDIATE, *SHIFTS, *UNARY, *BRANCHES, "slli.uw"}
    tested |= {"lui", "auipc", "jal", "jalr"}
    arithmetic = {
        one.name
        for one in BY_NAME.values()
        if one.extension in ("I", "M", "Zba", "Zbb", "Zbs", "Zicond")
        and "hart" not in one.parameters
        and one.parameters
    }
    assert arithmetic == tested
