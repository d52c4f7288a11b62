"""SBI calls of guests: every argument that is wrong gets its error, and the guest goes on.

Numbers in comments are chapters of SBI 2.0. What is asked of memory, harts and types is what the
built-in firmware is asked in tests/firmware; tests/fuzz/sbi makes random calls.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.board import sbi
from ringzero.board.addresses import RAM_BASE
from tests.hypervisor.carriers import CARRIERS, ENTRY, SMALL, carrier, small, technique

EVERY = 2**64 - 1
END = RAM_BASE + SMALL
INSIDE = ENTRY + 0x10_0000


def call(extension: int, function: int, *arguments: int) -> str:
    """Make a call, and print a0 and a1."""
    loads = "".join(f"li a{i}, {value}\n" for i, value in enumerate(arguments))
    return f"""
    li a1, 0
    {loads}
    li a6, {function}
    li a7, {extension}
    ecall
    mv s2, a1
    call number
    mv a0, s2
    call number
    call line
"""


FINISH = "li a0, 0\ncall finish\n"


def answers(output: str) -> list[tuple[int, int]]:
    """What was printed: errors as signed numbers."""
    lines = [line.split() for line in output.splitlines() if line.strip()]
    pairs = [(int(error, 16), int(value, 16)) for error, value in lines]
    return [(error - (error >> 63 << 64), value) for error, value in pairs]


MEMORY = [  # 3.2 and 12: where DBCN's bytes are
    ((sbi.DBCN, function, size, low, high), sbi.INVALID_PARAM)
    for function in (sbi.CONSOLE_WRITE, sbi.CONSOLE_READ)
    for size, low, high in (
        (1, 0, 0), (1, RAM_BASE - 1, 0), (1, END, 0), (2, END - 1, 0), (8, 0x1000_0000, 0),
        (1, INSIDE, 1), (2**63, INSIDE, 0), (EVERY, RAM_BASE, 0), (16, 2**64 - 8, 0),
    )
]  # fmt: skip
MASKS = [  # 3.1: which harts are named; there is hart 0
    ((0, 0), sbi.SUCCESS), ((0, 7), sbi.SUCCESS), ((0, 64), sbi.SUCCESS), ((1, 0), sbi.SUCCESS),
    ((5, EVERY), sbi.SUCCESS), ((2, 0), sbi.INVALID_PARAM), ((3, 0), sbi.INVALID_PARAM),
    ((1, 1), sbi.INVALID_PARAM), ((1 << 63, 1), sbi.INVALID_PARAM), ((1, 64), sbi.INVALID_PARAM),
    ((1, EVERY - 1), sbi.INVALID_PARAM),
]  # fmt: skip
HARTS = [
    *(((sbi.IPI, sbi.SEND_IPI, *mask), error) for mask, error in MASKS),
    *(((sbi.RFENCE, function, *mask, 0, 0), error)
      for function in (sbi.REMOTE_FENCE_I, sbi.REMOTE_SFENCE_VMA, sbi.REMOTE_SFENCE_VMA_ASID)
      for mask, error in MASKS),
    *(((sbi.RFENCE, function, 1, 0, 0, 4096), sbi.NOT_SUPPORTED) for function in range(3, 9)),
]  # fmt: skip
SUSPENSION = [  # 9.4, and the other functions of HSM
    *(((sbi.HSM, sbi.HART_SUSPEND, kind, INSIDE, 0), sbi.INVALID_PARAM)
      for kind in (1, 0x0FFF_FFFF, 0x1000_0000, 0x7FFF_FFFF, 0x8000_0001, 0xFFFF_FFFF)),
    *(((sbi.HSM, sbi.HART_SUSPEND, sbi.NON_RETENTIVE, place, 0), sbi.INVALID_ADDRESS)
      for place in (0, RAM_BASE - 2, END, INSIDE + 1, EVERY)),
    ((sbi.HSM, sbi.HART_START, 0, INSIDE, 0), sbi.ALREADY_AVAILABLE),
    ((sbi.HSM, sbi.HART_START, 1, INSIDE, 0), sbi.INVALID_PARAM),
    ((sbi.HSM, sbi.HART_GET_STATUS, 0), sbi.SUCCESS),
    ((sbi.HSM, sbi.HART_GET_STATUS, EVERY), sbi.INVALID_PARAM),
    ((sbi.HSM, 4, 0), sbi.NOT_SUPPORTED),
    ((sbi.HSM, EVERY, 0), sbi.NOT_SUPPORTED),
]  # fmt: skip
UNKNOWN = [
    *(((extension, function, 0, 0), sbi.NOT_SUPPORTED)
      for extension in (sbi.TIME, sbi.IPI, sbi.SRST) for function in (1, EVERY)),
    ((sbi.DBCN, 3, 0, 0), sbi.NOT_SUPPORTED), ((sbi.BASE, 7), sbi.NOT_SUPPORTED),
    ((sbi.FWFT, 2, 0), sbi.NOT_SUPPORTED), ((0x0BAD_CAFE, 0), sbi.NOT_SUPPORTED),
    ((sbi.SRST, sbi.SYSTEM_RESET, 3, 0), sbi.INVALID_PARAM),
    ((sbi.SRST, sbi.SYSTEM_RESET, 0, 2), sbi.INVALID_PARAM),
]  # fmt: skip
AD, MISALIGNED = sbi.PTE_AD_HW_UPDATING, sbi.MISALIGNED_EXC_DELEG
FEATURES = [  # SBI 3.0, chapter 18; one after the other, as a lock stays
    ((sbi.FWFT, sbi.FWFT_SET, AD, 1, 2), sbi.INVALID_PARAM),
    ((sbi.FWFT, sbi.FWFT_SET, AD, 2, 0), sbi.INVALID_PARAM),
    ((sbi.FWFT, sbi.FWFT_SET, AD, 1, 0), sbi.SUCCESS),
    ((sbi.FWFT, sbi.FWFT_SET, AD, 0, sbi.FWFT_LOCK), sbi.SUCCESS),
    ((sbi.FWFT, sbi.FWFT_SET, AD, 1, 0), sbi.DENIED_LOCKED),
    ((sbi.FWFT, sbi.FWFT_SET, MISALIGNED, 0, 0), sbi.DENIED),
    ((sbi.FWFT, sbi.FWFT_SET, sbi.SHADOW_STACK, 1, 0), sbi.NOT_SUPPORTED),
    ((sbi.FWFT, sbi.FWFT_SET, 0x10_0000, 1, 0), sbi.DENIED),
]


@technique
@carrier
@pytest.mark.parametrize(
    "calls", [MEMORY, HARTS, SUSPENSION, UNKNOWN, FEATURES],
    ids=["memory", "harts", "suspension", "unknown", "features"],
)  # fmt: skip
def test_wrong_arguments_get_their_error_and_the_guest_goes_on(
    carrier: str, technique: str, calls: list[tuple[tuple[int, ...], int]], tmp_path: Path
) -> None:
    body = "".join(call(*arguments) for arguments, _ in calls)
    ended = CARRIERS[carrier](small(body + FINISH, technique=technique), tmp_path)
    assert [error for error, _ in answers(ended.output)] == [error for _, error in calls]
    assert ended.code == 0


SUSPEND = f"""
    la t0, table
    li t1, {RAM_BASE >> 2 | 0xCF}
    sd t1, 16(t0)
    srli t0, t0, 12
    li t1, {8 << 60}
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    li t0, 0x20                 # the timer
    csrw sie, t0
    la t0, trapped
    csrw stvec, t0
    rdtime a0
    li t0, 10000
    add a0, a0, t0
    csrw stimecmp, a0
    la t0, deadline
    sd a0, 0(t0)
    li a7, {sbi.HSM}
    li a6, {sbi.HART_SUSPEND}
    li a0, {sbi.NON_RETENTIVE}
    la a1, resumed
    li a2, 0x1234
    ENABLE
    ecall
    li a0, 1
    call finish
.balign 4
trapped:
    li a0, 2
    call finish
resumed:
    mv s2, a1
    csrr s3, satp
    csrr s4, sstatus
    andi s4, s4, 2
    la t0, deadline
    ld t0, 0(t0)
    rdtime s5
    sltu s5, s5, t0
    call number
    mv a0, s2
    call number
    mv a0, s3
    call number
    mv a0, s4
    call number
    mv a0, s5
    call number
    call line
    li a0, 0
    call finish
"""
TABLE = "\n.balign 4096\ntable:\n.zero 4096\ndeadline: .dword 0\n"


@technique
@carrier
def test_non_retentive_suspension_resumes_at_its_address_without_paging(
    carrier: str, technique: str, tmp_path: Path
) -> None:
    """a0 is the hart, a1 what was passed, satp and sstatus.SIE are 0 (table 22).

    Where time is the host's, the timer might strike before the call if interrupts were enabled.
    """
    enable = "csrsi sstatus, 2" if carrier == "machine" else ""
    source = SUSPEND.replace("ENABLE", enable) + TABLE
    ended = CARRIERS[carrier](small(source, technique=technique), tmp_path)
    assert [int(one, 16) for one in ended.output.split()] == [0, 0x1234, 0, 0, 0]
    assert ended.code == 0


PAGES = 3  # from 0x1000 on, mapped to a page of zeros, then to one that begins with a one
NEXT = "\nli t2, 4096\nadd s1, s1, t2\n"
ADD = "ld t1, 0(s1)\nadd s4, s4, t1"
STALE = f"""
    la t0, middle
    la t1, low
    srli t1, t1, 2
    ori t1, t1, 1
    sd t1, 0(t0)
    srli t0, t0, 2
    ori t0, t0, 1
    la t1, root
    sd t0, 0(t1)
    li t0, {RAM_BASE >> 2 | 0xCF}
    sd t0, 16(t1)
    la t0, old
    srli t0, t0, 2
    ori t0, t0, 0xC7
    la t2, low
    sd t0, 8(t2)
    sd t0, 16(t2)
    sd t0, 24(t2)
    srli t1, t1, 12
    li t0, {8 << 60}
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    la t0, new
    li t1, 1
    sd t1, 0(t0)
    li s1, 0x1000
    {"ld t1, 0(s1)" + NEXT} {"ld t1, 0(s1)" + NEXT} {"ld t1, 0(s1)" + NEXT}
    la t0, new
    srli t0, t0, 2
    ori t0, t0, 0xC7
    la t2, low
    sd t0, 8(t2)
    sd t0, 16(t2)
    sd t0, 24(t2)
    li a7, {sbi.RFENCE}
    li a6, FUNCTION
    li a0, 1
    li a1, 0
    li a2, START
    li a3, LENGTH
    li a4, 0
    ecall
    mv s2, a0
    li s1, 0x1000
    li s4, 0
    {ADD + NEXT} {ADD + NEXT} {ADD + NEXT}
    mv a0, s2
    call number
    mv a0, s4
    call number
    li a0, 0
    call finish
"""
STALE_TABLES = "".join(
    f"\n.balign 4096\n{name}: .zero 4096" for name in ("root", "middle", "low", "old", "new")
)


@technique
@carrier
@pytest.mark.parametrize(
    ("function", "start", "length", "covered"),
    [
        (sbi.REMOTE_SFENCE_VMA, 0x1800, 0x2000, 3), (sbi.REMOTE_SFENCE_VMA, 0x1FFF, 2, 2),
        (sbi.REMOTE_SFENCE_VMA, 0x1800, 0x1000, 2), (sbi.REMOTE_SFENCE_VMA, 0, 0, 3),
        (sbi.REMOTE_SFENCE_VMA, 0x1234, EVERY, 3), (sbi.REMOTE_SFENCE_VMA_ASID, 0x1FFF, 0x1002, 3),
        (sbi.REMOTE_SFENCE_VMA, 0x1000, 0x10_0000, 3),
    ],
)  # fmt: skip
def test_remote_sfence_vma_covers_every_page_of_its_range(
    carrier: str, technique: str, function: int, start: int, length: int, covered: int,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Pages outside of the range may be seen as they were, or as they are."""
    source = STALE.replace("FUNCTION", str(function)).replace("START", str(start))
    source = source.replace("LENGTH", str(length)) + STALE_TABLES + "\n"
    ended = CARRIERS[carrier](small(source, technique=technique), tmp_path)
    error, seen = (int(one, 16) for one in ended.output.split())
    assert error == sbi.SUCCESS
    assert covered <= seen <= PAGES
