"""The derived decision tree agrees with the rows, in CPython and compiled."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator

import pytest

from ringzero.isa.decode import decode, lookup
from ringzero.isa.decoded import Decoded
from ringzero.isa.instruction import Instruction
from ringzero.isa.registry import BY_NAME, ILLEGAL, INSTRUCTIONS
from ringzero.lang import u32


def words(count: int, seed: int) -> Iterator[int]:
    """Instructions with random operands, their neighbours by one bit, parcels, and noise."""
    chance = random.Random(seed)
    for i in range(count):
        one = chance.choice(INSTRUCTIONS)
        word = chance.getrandbits(32) & ~one.mask | one.match
        yield word
        yield word ^ 1 << chance.randrange(2, 32)
        yield chance.getrandbits(16)
        if i % 4 == 0:
            yield chance.getrandbits(32)


def decoded(word: int) -> Decoded:
    out = Decoded()
    decode(u32(word), out)
    return out


@pytest.mark.parametrize("one", INSTRUCTIONS, ids=lambda one: one.name)
def test_each_instruction_decodes_to_itself(one: Instruction) -> None:
    chance = random.Random(one.match)
    for _ in range(4):
        word = chance.getrandbits(32) & ~one.mask | one.match
        out = decoded(word)
        assert INSTRUCTIONS[out.index] is one
        assert lookup(word) is one
        assert out.size == 4
        for parameter, source in one.sources.items():
            operand = parameter.removesuffix("_index")
            value = one.row.fields[operand].extract(word)
            assert int(getattr(out, source)) == value & (1 << 64) - 1, parameter
        if one.destination is not None:
            assert out.rd == one.row.fields[one.destination].extract(word)


def test_lookup_agrees_with_the_tree() -> None:
    for word in words(1500, seed=1):
        index = decoded(word).index
        assert lookup(word) is (None if index == ILLEGAL else INSTRUCTIONS[index]), hex(word)


def test_compressed() -> None:
    out = decoded(0xFFFF_157D)  # c.addi a0, -1, with the next parcel above it
    assert INSTRUCTIONS[out.index] is BY_NAME["addi"]
    assert (out.rd, out.rs1, out.imm, out.size) == (10, 10, (1 << 64) - 1, 2)


@pytest.mark.parametrize("word", [0, 0xFFFF_FFFF, 0x0000_707B, 0xFE00_0013 | 0x1000, 0x2000_0033])
def test_illegal(word: int) -> None:
    assert decoded(word).index == ILLEGAL
    assert lookup(word) is None


def test_compiled_decoder_agrees() -> None:
    from ringzero.lang.host import HostLibrary, view

    library = HostLibrary([decode])
    native = view(Decoded)()
    for word in words(1500, seed=2):
        library.call["decode"](word, ctypes.addressof(native))
        out = decoded(word)
        for name in Decoded.fields:
            assert getattr(native, name) == int(getattr(out, name)), (hex(word), name)
