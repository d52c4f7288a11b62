"""What SBI says of arguments, as firmware and hypervisor check them; quotations are of SBI 2.0."""

from __future__ import annotations

import pytest

from ringzero.board import sbi
from ringzero.board.sbi import arguments
from ringzero.lang import u64

EVERY = (1 << 64) - 1
START, END = 0x8008_0000, 0x8800_0000


@pytest.mark.parametrize(
    ("mask", "base", "wanted"),
    [
        (0b101, 0, 0b101),
        (0b11, 2, 0b1100),
        (0, 0, 0),
        (0, 1000, 0),
        (12345, EVERY, 0b1101),
        (0b10, 0, None),  # hart 1 does not exist
        (1, 4, None),
        (1, 64, None),
        (2, 63, None),
        (1, EVERY - 1, None),
        (1 << 63, 5, None),
    ],
)
def test_a_mask_names_existing_harts_or_is_invalid(
    mask: int, base: int, wanted: int | None
) -> None:
    bits, good = arguments.select_harts(u64(mask), u64(base), u64(0b1101))
    assert (int(bits) if good else None) == wanted


@pytest.mark.parametrize(
    ("low", "high", "size", "good"),
    [
        (START, 0, END - START, True),
        (START, 0, END - START + 1, False),
        (END - 1, 0, 1, True),
        (END, 0, 1, False),
        (START - 1, 0, 1, False),
        (START, 1, 1, False),
        (START, 0, EVERY, False),
        (EVERY, 0, 1, False),
        (0x1000_0000, 0, 1, False),
        (0x1000_0000, 0, 0, True),
    ],
)
def test_memory_is_ram_to_its_last_byte(low: int, high: int, size: int, good: bool) -> None:
    assert arguments.is_within(u64(low), u64(high), u64(size), u64(START), u64(END)) == good


@pytest.mark.parametrize(
    ("start", "size", "wanted"),
    [
        (0x1000, 0x1000, (0x1000, 1)),
        (0x1800, 0x1000, (0x1000, 2)),
        (0x1FFF, 2, (0x1000, 2)),
        (0x1FFF, 1, (0x1000, 1)),
        (0x1001, 0xFFF, (0x1000, 1)),
        (0x5000, 0, (0x5000, 0)),
        (0, 0, (0, EVERY)),  # "The remote fence function acts as a full TLB flush if"
        (0x1000, EVERY, (0, EVERY)),
        (EVERY - 0xFFF, 0x1000, (EVERY - 0xFFF, 1)),
        (EVERY - 0xFFF, 0x1001, (0, EVERY)),
        (0, EVERY - 1, (0, 1 << 52)),
    ],
)
def test_a_fence_covers_every_page_of_its_range(
    start: int, size: int, wanted: tuple[int, int]
) -> None:
    first, count = arguments.pages_of(u64(start), u64(size))
    assert (int(first), int(count)) == wanted


def error(value: u64) -> int:
    return int(value) - (1 << 64) if int(value) >> 63 else int(value)


@pytest.mark.parametrize(
    "kind", [1, 0xFFF_FFFF, 0x1000_0000, 0x8000_0001, 0x9000_0000, 0xFFFF_FFFF]
)
def test_reserved_and_unknown_kinds_of_suspension_are_invalid(kind: int) -> None:
    assert error(arguments.suspend_error(u64(kind))) == sbi.INVALID_PARAM


def test_both_standard_suspensions_are_there() -> None:
    for kind in (sbi.RETENTIVE, sbi.NON_RETENTIVE):
        assert error(arguments.suspend_error(u64(kind))) == sbi.SUCCESS


@pytest.mark.parametrize(
    ("kind", "reason", "wanted"),
    [
        (0, 0, sbi.SUCCESS), (1, 1, sbi.SUCCESS), (2, 0, sbi.SUCCESS),
        (0, 0xE000_00FF, sbi.SUCCESS), (0, 0xE000_0100, sbi.INVALID_PARAM),
        (3, 0, sbi.INVALID_PARAM), (0xF000_0000, 0, sbi.INVALID_PARAM),
        (1, 2, sbi.INVALID_PARAM), (0, 0xDFFF_FFFF, sbi.INVALID_PARAM),
    ],
)  # fmt: skip
def test_a_reset_has_a_type_and_a_reason(kind: int, reason: int, wanted: int) -> None:
    assert error(arguments.reset_error(u64(kind), u64(reason))) == wanted


@pytest.mark.parametrize(
    ("function", "feature", "wanted"),
    [
        (0, 0, sbi.SUCCESS), (1, 4, sbi.SUCCESS), (2, 0, sbi.NOT_SUPPORTED),
        (0, 3, sbi.NOT_SUPPORTED), (1, 5, sbi.NOT_SUPPORTED),
        (0, 6, sbi.DENIED), (1, 0x4000_0000, sbi.DENIED), (0, 0xC000_0000, sbi.DENIED),
    ],
)  # fmt: skip
def test_features_are_there_or_missing_or_reserved(
    function: int, feature: int, wanted: int
) -> None:
    assert error(arguments.feature_error(u64(function), u64(feature))) == wanted


def test_a_feature_takes_zero_and_one_until_it_is_locked() -> None:
    def check(feature: int, value: int, flags: int = 0, locked: int = 0) -> int:
        numbers = (u64(feature), u64(value), u64(flags), u64(locked))
        return error(arguments.feature_value_error(*numbers))

    assert check(4, 1) == check(4, 0) == check(4, 1, 1) == check(0, 1) == sbi.SUCCESS
    assert check(4, 2) == check(4, 1, 2) == sbi.INVALID_PARAM
    assert check(4, 1, 0, 1 << 4) == sbi.DENIED_LOCKED
    assert check(0, 0) == sbi.DENIED
