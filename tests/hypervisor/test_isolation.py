"""Malicious guests: what is not theirs traps as on hardware, and nothing else changes.

Each attacker tries accesses one by one and prints the scause and stval of what it got. What evil
guests do to their neighbours is in test_neighbours.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.vm.state import BASE, POOLS, SLICES
from tests.hypervisor.carriers import CARRIERS, SMALL, Ended, carrier, small, technique

LOAD_ACCESS, STORE_ACCESS, FETCH_ACCESS, ILLEGAL = 5, 7, 1, 2

# Every try is at `try`; what it got is printed. s0 is where to go on after a trap.
HANDLER = """
    la t0, trapped
    csrw stvec, t0
    j attack
.align 2
trapped:
    csrr a0, scause
    call number
    csrr a0, stval
    call number
    call line
    jr s0
"""


def attempt(label: int, code: str) -> str:
    """Execute `code`; if it does not trap, print 0 0."""
    return f"""
    la s0, after{label}
    {code}
    li a0, 0
    call number
    li a0, 0
    call number
    call line
after{label}:
"""


def attacker(*codes: str) -> str:
    body = "".join(attempt(i, code) for i, code in enumerate(codes))
    return f"{HANDLER}\nattack:\n{body}\nli a0, 0\ncall finish\n"


def got(ended: Ended) -> list[tuple[int, int]]:
    lines = [line.split() for line in ended.output.splitlines() if line.strip()]
    return [(int(cause, 16), int(value, 16)) for cause, value in lines]


OUTSIDE = [
    RAM_BASE + SMALL,  # behind its memory, where the next VM's would be
    SLICES, SLICES + SMALL, POOLS, BASE + 0x1000,  # the machine's addresses mean nothing here
    0x200_4000, 0x1000_9000, 0x3000_0000, 0x10_1000,  # CLINT, behind virtio, PCIe, RTC
    0x4000_0000, 0x1_0000_0000, 1 << 55,
]  # fmt: skip


@technique
@carrier
@pytest.mark.parametrize("code", ["ld t1, 0(t0)", "sd t1, 0(t0)", "lb t1, 0(t0)", "sb t1, 0(t0)"])
def test_memory_of_others_is_not_there(
    carrier: str, technique: str, code: str, tmp_path: Path
) -> None:
    places = [place for place in OUTSIDE if not RAM_BASE <= place < RAM_BASE + SMALL]
    ended = CARRIERS[carrier](
        small(attacker(*(f"li t0, {place}\n{code}" for place in places)), technique=technique),
        tmp_path,
    )
    cause = LOAD_ACCESS if code[0] == "l" else STORE_ACCESS
    assert got(ended) == [(cause, place) for place in places]


@technique
@carrier
def test_jump_out_of_memory(carrier: str, technique: str, tmp_path: Path) -> None:
    places = [RAM_BASE + SMALL, 0x1000_0000, BASE + (1 << 30)]
    codes = [f"li t0, {place}\njr t0" for place in places]
    ended = CARRIERS[carrier](small(attacker(*codes), technique=technique), tmp_path)
    assert got(ended) == [(FETCH_ACCESS, place) for place in places]


MACHINE_CSRS = ["mstatus", "mtvec", "mepc", "pmpcfg0", "pmpaddr0", "mie", "medeleg", "mscratch"]


@technique
@carrier
def test_machine_state_is_out_of_reach(carrier: str, technique: str, tmp_path: Path) -> None:
    codes = [f"csrr t0, {name}" for name in MACHINE_CSRS]
    codes += [f"csrw {name}, t0" for name in MACHINE_CSRS]
    codes += ["mret", "csrw cycle, t0", "csrw time, t0"]
    ended = CARRIERS[carrier](small(attacker(*codes), technique=technique), tmp_path)
    results = got(ended)
    assert len(results) == len(codes)
    assert {cause for cause, _ in results} == {ILLEGAL}
    assert all(value & 3 == 3 for _, value in results)  # stval has the instruction


HYPERVISOR_CSRS = ["hstatus", "hgatp", "hvip", "hideleg", "htimedelta", "vsatp", "vsstatus"]


@technique
@carrier
def test_guests_have_no_hypervisor_extension(carrier: str, technique: str, tmp_path: Path) -> None:
    codes = [f"csrr t0, {name}" for name in HYPERVISOR_CSRS]
    codes += [f"csrw {name}, t0" for name in HYPERVISOR_CSRS]
    codes += ["hfence.vvma x0, x0", "hfence.gvma x0, x0", "hlv.d t0, (t0)", "hlvx.wu t0, (t0)"]
    ended = CARRIERS[carrier](small(attacker(*codes), technique=technique), tmp_path)
    assert [cause for cause, _ in got(ended)] == [ILLEGAL] * len(codes)


def paging(entry: int, root: str = "la t0, table") -> str:
    """Sv39 with the lowest GiB mapped by `entry`, our own RAM by itself; load from address 8."""
    return f"""
    la t0, table
    li t1, {entry}
    sd t1, 0(t0)
    li t1, {RAM_BASE >> 12 << 10 | 0xCF}
    sd t1, 16(t0)
    {root}
    srli t0, t0, 12
    li t1, {8 << 60}
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    li t2, 8
    ld t1, 0(t2)
"""


TABLE = "\n.balign 4096\ntable:\n.zero 4096\n"


@technique
@carrier
def test_forged_tables_reach_nothing(carrier: str, technique: str, tmp_path: Path) -> None:
    """Tables that map memory behind the guest's own, or lie there themselves."""
    leaves = [RAM_BASE + (1 << 30), 1 << 40]
    codes = [paging(leaf >> 12 << 10 | 0xC7) + "\ncsrw satp, x0\n" for leaf in leaves]
    pointer = SLICES + SMALL >> 12 << 10 | 1  # a table in the next VM's slice
    codes.append(paging(pointer) + "\ncsrw satp, x0\n")
    body = attacker(*codes).replace("trapped:", "trapped:\ncsrw satp, x0\nsfence.vma")
    ended = CARRIERS[carrier](small(body + TABLE, technique=technique), tmp_path)
    found = got(ended)
    assert found == [(LOAD_ACCESS, 8)] * 3
