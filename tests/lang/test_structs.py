"""A struct's fields are what its annotations say, and an array's length what `field` says."""

from __future__ import annotations

import ctypes

import pytest

from ringzero.lang import Array, Struct, array, field, native, ptr, u8, u16, u64
from ringzero.lang.host import HostLibrary, view

COUNT = 5


class Pair(Struct):
    """An element that is a struct."""

    first: u8
    second: u64


class Record(Struct):
    """Arrays of numbers and of structs between other fields."""

    before: u8
    words: Array[u64] = field(COUNT)
    pairs: Array[Pair] = field(2)
    at: ptr[u16]
    after: u8


@native
def fill(record: Record, value: u64) -> u64:
    """Touch each field."""
    record.before = 1
    record.words[COUNT - 1] = value
    record.pairs[1].second = record.words[COUNT - 1] + 1
    record.after = 2
    return record.pairs[1].second


def test_a_field_that_is_an_array_has_the_length_that_field_says() -> None:
    assert Record.fields["words"] is array(u64, COUNT)
    assert Record.fields["pairs"] is array(Pair, 2)
    assert list(Record.fields) == ["before", "words", "pairs", "at", "after"]
    assert len(Record().words) == COUNT
    assert Record().words is not Record().words


def test_compiled_text_and_cpython_agree_on_fields_that_are_arrays() -> None:
    record, seen, library = Record(), view(Record)(), HostLibrary([fill])
    assert library.call["fill"](ctypes.addressof(seen), 40) == int(fill(record, u64(40))) == 41
    assert list(seen.words) == list(map(int, record.words)) == [0, 0, 0, 0, 40]
    assert (seen.before, seen.pairs[1].second, seen.after) == (1, 41, 2)


def test_a_field_without_its_length_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.words has no length: write = field\(n\)"):

        class Wrong(Struct):
            words: Array[u64]


def test_only_an_array_has_a_length() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.word takes no value"):

        class Wrong(Struct):
            word: u64 = field(3)  # type: ignore[assignment]


def test_a_field_that_is_an_array_is_not_assigned() -> None:
    with pytest.raises(TypeError, match="words is an aggregate: fill it in place"):
        Record().words = Record().words
