"""What the firmware makes of arguments: each case by the text of the SBI specification.

The guest goes on after every call, and says what each was answered.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.board import sbi
from ringzero.board.addresses import CLINT_BASE, PLIC_BASE, RAM_BASE, UART_BASE
from tests.fuzz.sbi.carriers import Carrier, on_firmware, on_qemu
from tests.fuzz.sbi.guest import (
    BUFFER,
    PARK,
    RESUME,
    RESUMED,
    RETURNED,
    Call,
    Result,
    call,
)

EVERY = (1 << 64) - 1
MEGABYTES = 64
END = RAM_BASE + (MEGABYTES << 20)
CODE = 42
CARRIERS = {
    "machine": on_firmware(3, has_guests=True, megabytes=MEGABYTES),
    "qemu": on_qemu(3, megabytes=MEGABYTES),
}
carrier = pytest.mark.parametrize(
    "name", ["machine", pytest.param("qemu", marks=pytest.mark.needs_qemu)]
)


def made(chosen: Carrier, folder: Path, *calls: Call) -> list[Result]:
    """The answers to some calls, after which the guest ends with CODE."""
    ran = chosen.run(calls, call(sbi.SRST, 0, 0, sbi.EXIT_CODE_REASON | CODE), folder)
    assert ran.code == CODE, ran.output
    assert len(ran.results) == len(calls), ran.output
    return ran.results


def errors(chosen: Carrier, folder: Path, *calls: Call) -> list[int]:
    """Their errors; all have returned with their registers kept."""
    results = made(chosen, folder, *calls)
    assert {result.kind for result in results} == {RETURNED}
    return [result.error for result in results]


NOT_MEMORY = [
    (0, 0),
    (UART_BASE, 0),
    (CLINT_BASE, 0),
    (PLIC_BASE, 0),
    (RAM_BASE, 0),  # the firmware's own
    (RAM_BASE + 0x7_FFFF, 0),
    (END - 7, 0),
    (END, 0),
    (EVERY - 3, 0),
    (1 << 55, 0),
    (BUFFER, 1),
    (BUFFER, EVERY),
]


@carrier
def test_console_calls_on_what_is_not_ram_are_invalid_and_the_guest_goes_on(
    name: str, tmp_path: Path
) -> None:
    calls = [
        call(sbi.DBCN, function, 8, low, high)
        for function in (sbi.CONSOLE_WRITE, sbi.CONSOLE_READ)
        for low, high in NOT_MEMORY
    ]
    assert errors(CARRIERS[name], tmp_path, *calls) == [sbi.INVALID_PARAM] * len(calls)


@carrier
def test_console_calls_reach_the_last_byte_of_ram_and_take_a_part_of_much(
    name: str, tmp_path: Path
) -> None:
    results = made(
        CARRIERS[name], tmp_path,
        call(sbi.DBCN, sbi.CONSOLE_READ, 8, END - 8, 0),
        call(sbi.DBCN, sbi.CONSOLE_WRITE, 8, END - 8, 0),
        call(sbi.DBCN, sbi.CONSOLE_WRITE, 5000, BUFFER, 0),
        call(sbi.DBCN, sbi.CONSOLE_WRITE, 0, UART_BASE, 0),
    )  # fmt: skip
    assert [(r.error, r.value) for r in results] == [(0, 0), (0, 8), (0, 4096), (0, 0)]


@pytest.mark.needs_qemu
def test_memory_of_several_nodes_is_one_where_it_is_adjacent(tmp_path: Path) -> None:
    middle = RAM_BASE + (64 << 20)
    nodes = [
        option
        for name in ("low", "high")
        for option in (
            "-object", f"memory-backend-ram,size=64M,id={name}", "-numa", f"node,memdev={name}",
        )
    ]  # fmt: skip
    results = made(
        on_qemu(2, options=nodes), tmp_path,
        call(sbi.DBCN, sbi.CONSOLE_WRITE, 8, middle - 4, 0),
        call(sbi.DBCN, sbi.CONSOLE_WRITE, 8, middle + (64 << 20) - 8, 0),
        call(sbi.DBCN, sbi.CONSOLE_WRITE, 8, middle + (64 << 20) - 7, 0),
        call(sbi.DBCN, sbi.CONSOLE_WRITE, 8, RAM_BASE + 0x7_FFFC, 0),
    )  # fmt: skip
    assert [r.error for r in results] == [0, 0, sbi.INVALID_PARAM, sbi.INVALID_PARAM]


@carrier
def test_masks_of_absent_harts_are_invalid_and_empty_ones_name_nobody(
    name: str, tmp_path: Path
) -> None:
    cases = [
        (0b001, 0, sbi.SUCCESS),
        (0b100, 0, sbi.SUCCESS),  # it is stopped
        (0b1000, 0, sbi.INVALID_PARAM),
        (0b11, 2, sbi.INVALID_PARAM),
        (1, 3, sbi.INVALID_PARAM),
        (1, 1 << 32, sbi.INVALID_PARAM),
        (1 << 62, 3, sbi.INVALID_PARAM),  # hart 65, which is no hart 1
        (2, EVERY - 1, sbi.INVALID_PARAM),
        (0, 0, sbi.SUCCESS),
        (0, 77, sbi.SUCCESS),
        (0b1000, EVERY, sbi.SUCCESS),
    ]
    functions = [(sbi.IPI, 0), *((sbi.RFENCE, function) for function in range(7))]
    calls = [call(*function, mask, base) for function in functions for mask, base, _ in cases]
    wanted = [error for _ in functions for _, _, error in cases]
    assert errors(CARRIERS[name], tmp_path, *calls) == wanted


@carrier
def test_fences_of_guests_are_there_where_harts_have_h(name: str, tmp_path: Path) -> None:
    ranges = [(0, 0), (0x8000_0800, 0x1000), (0x1000, EVERY), (EVERY - 0xFFF, 0x1000), (64, 0)]
    calls = [
        call(sbi.RFENCE, function, 0, EVERY, start, size, 3)
        for function in range(7)
        for start, size in ranges
    ]
    assert errors(CARRIERS[name], tmp_path, *calls) == [sbi.SUCCESS] * len(calls)


def test_fences_of_guests_are_not_supported_without_h(tmp_path: Path) -> None:
    plain = on_firmware(1, has_guests=False)
    calls = [call(sbi.RFENCE, function, 1, 0, 0, 0) for function in range(9)]
    wanted = [sbi.SUCCESS] * 3 + [sbi.NOT_SUPPORTED] * 6
    assert errors(plain, tmp_path, *calls) == wanted


@carrier
def test_reserved_suspensions_are_invalid_and_a_non_retentive_one_resumes_elsewhere(
    name: str, tmp_path: Path
) -> None:
    reserved = [1, 0xFFF_FFFF, 0x1000_0000, 0x7FFF_FFFF, 0x8000_0001, 0x9000_0000, 0xFFFF_FFFF]
    results = made(
        CARRIERS[name], tmp_path,
        *(call(sbi.HSM, sbi.HART_SUSPEND, kind, RESUME, 0) for kind in reserved),
        call(sbi.HSM, sbi.HART_SUSPEND, sbi.RETENTIVE, 1, 0),
        call(sbi.HSM, sbi.HART_SUSPEND, sbi.NON_RETENTIVE, RESUME + 1, 0),
        call(sbi.HSM, sbi.HART_SUSPEND, sbi.NON_RETENTIVE, RAM_BASE, 0),
        call(sbi.HSM, sbi.HART_SUSPEND, sbi.NON_RETENTIVE, UART_BASE, 0),
        call(sbi.HSM, sbi.HART_SUSPEND, sbi.NON_RETENTIVE, RESUME, 0x1234),
    )  # fmt: skip
    assert [r.error for r in results[:7]] == [sbi.INVALID_PARAM] * 7
    assert [r.error for r in results[7:11]] == [sbi.SUCCESS] + [sbi.INVALID_ADDRESS] * 3
    last = results[11]
    assert (last.kind, last.value, last.extra) == (RESUMED, 0x1234, 0)  # and satp = 0, SIE = 0
    assert last.error < 3  # the hart


@carrier
def test_harts_start_once_at_an_address_that_they_can_run(name: str, tmp_path: Path) -> None:
    results = made(
        CARRIERS[name], tmp_path,
        *(call(sbi.HSM, sbi.HART_START, hart, PARK, 0) for hart in (3, 64, 1 << 32, EVERY)),
        *(call(sbi.HSM, sbi.HART_GET_STATUS, hart) for hart in (3, 64, EVERY)),
        *(call(sbi.HSM, sbi.HART_START, hart, PARK + 1, 0) for hart in range(3)),
        *(call(sbi.HSM, sbi.HART_START, hart, UART_BASE, 0) for hart in range(3)),
        *(call(sbi.HSM, sbi.HART_START, hart, END, 0) for hart in range(3)),
        *(call(sbi.HSM, sbi.HART_START, hart, PARK, 0) for hart in range(3)),
        *(call(sbi.HSM, sbi.HART_START, hart, PARK, 0) for hart in range(3)),
    )  # fmt: skip
    found = [result.error for result in results]
    assert found[:7] == [sbi.INVALID_PARAM] * 7
    assert found[7:16] == [sbi.INVALID_ADDRESS] * 9
    assert sorted(found[16:19]) == [sbi.ALREADY_AVAILABLE, 0, 0], "this one runs, the others do now"
    assert found[19:] == [sbi.ALREADY_AVAILABLE] * 3


def test_features_are_set_until_they_are_locked(tmp_path: Path) -> None:
    """On our machine only: QEMU 7.2 has no Svadu to switch."""
    feature = sbi.PTE_AD_HW_UPDATING
    results = made(
        CARRIERS["machine"], tmp_path,
        call(sbi.FWFT, sbi.FWFT_GET, feature),
        call(sbi.FWFT, sbi.FWFT_SET, feature, 2, 0),
        call(sbi.FWFT, sbi.FWFT_SET, feature, 1, 2),
        call(sbi.FWFT, sbi.FWFT_SET, feature, 1, 0),
        call(sbi.FWFT, sbi.FWFT_SET, feature, 0, sbi.FWFT_LOCK),
        call(sbi.FWFT, sbi.FWFT_SET, feature, 1, 0),
        call(sbi.FWFT, sbi.FWFT_GET, feature),
        call(sbi.FWFT, sbi.FWFT_SET, sbi.MISALIGNED_EXC_DELEG, 0, 0),
        call(sbi.FWFT, sbi.FWFT_GET, sbi.SHADOW_STACK),
        call(sbi.FWFT, sbi.FWFT_GET, 6),
        call(sbi.FWFT, sbi.FWFT_SET, 0xC000_0000, 1, 0),
        call(sbi.FWFT, 2, feature),
    )  # fmt: skip
    assert [result.error for result in results] == [
        0, sbi.INVALID_PARAM, sbi.INVALID_PARAM, 0, 0, sbi.DENIED_LOCKED, 0, sbi.DENIED,
        sbi.NOT_SUPPORTED, sbi.DENIED, sbi.DENIED, sbi.NOT_SUPPORTED,
    ]  # fmt: skip
    assert results[6].value == 0


@carrier
def test_resets_of_reserved_types_and_reasons_are_invalid(name: str, tmp_path: Path) -> None:
    reserved = [(3, 0), (0xF000_0000, 0), (0, 2), (1, 0xE000_0100), (2, 0xFFFF_FFFF), (EVERY, 1)]
    calls = [call(sbi.SRST, 0, kind, reason) for kind, reason in reserved]
    assert errors(CARRIERS[name], tmp_path, *calls) == [sbi.INVALID_PARAM] * len(calls)


@carrier
def test_unknown_functions_and_extensions_are_not_supported(name: str, tmp_path: Path) -> None:
    unknown = [
        (sbi.BASE, 7), (sbi.TIME, 1), (sbi.IPI, 1), (sbi.RFENCE, 7), (sbi.HSM, 4), (sbi.SRST, 1),
        (sbi.DBCN, 3), (sbi.FWFT, 2), (0x504D_55, 0), (EVERY, 0), (sbi.LEGACY_SEND_IPI, 0),
        (sbi.LEGACY_REMOTE_SFENCE_VMA_ASID, 0), (9, 0),
    ]  # fmt: skip
    calls = [call(extension, function, 1, 0) for extension, function in unknown]
    assert errors(CARRIERS[name], tmp_path, *calls) == [sbi.NOT_SUPPORTED] * len(calls)


@pytest.mark.parametrize(("reason", "code"), [(0, 0), (1, 1), (0xE000_0007, 7)])
def test_a_guest_that_has_shut_down_says_nothing_more(
    reason: int, code: int, tmp_path: Path
) -> None:
    """The machine runs on for a moment; the guest asks for another exit code in it, in vain."""
    ran = CARRIERS["machine"].run([], call(sbi.SRST, 0, sbi.SHUTDOWN, reason), tmp_path)
    assert ran.code == code
