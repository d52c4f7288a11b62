"""What cbo.zero writes, and the address that its faults report, in every engine.

"When a page fault, guest-page fault, or access fault exception is taken, the relevant *tval CSR is
written with the faulting effective address (i.e. the value of rs1)" (unprivileged spec, "CMO").
The whole block has to be permitted, or nothing of it is written. Spike looks at one byte after the
other and reports that, so lockstep cannot tell.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.outcome import PoweredOff
from tests.engine.machines import ALL_ENGINES, bare
from tests.guest_files import RAM
from tests.limits import HUNG

ROOT, TABLE, LEAF, DATA, GUEST_ROOT, GUEST_TABLE, GUEST_LEAF = (
    RAM + page * 4096 for page in (2, 3, 4, 5, 8, 12, 13)
)
READ_ONLY, EXECUTE_ONLY = 0xD3, 0xD9  # V, R or X, U, A, D
MAPPED = 0x4000_0000
MPRV, MPP_S, MPV, SUM = 1 << 17, 1 << 11, 1 << 39, 1 << 18
SV39 = 8 << 60
STORE_ACCESS, STORE_PAGE, STORE_GUEST_PAGE = 7, 15, 23

PROGRAM = """
    la t0, handler
    csrw mtvec, t0
{prepare}
    li t1, {address}
    {instruction} (t1)
    j exit
.balign 4
handler:
    csrr s0, mcause
    csrr s1, mtval
    csrr s2, mtval2
exit:
    csrw mstatus, x0
    la t6, tohost
    li t5, 1
    sd t5, 0(t6)
hang:
    j hang
.balign 4096
    .zero 4096
root:
    .zero 8
    .dword {pointer}
.balign 4096
table:
    .dword {to_leaf}
.balign 4096
    .dword {page}
.balign 4096
data:
    .zero 4096
    .zero 8192
guest_root:
    .zero 8
    .dword {guest_pointer}
.balign 4096
    .zero 12288
guest_table:
    .dword {to_guest_leaf}
.balign 4096
    .dword {page}
.balign 4096
"""


def entry(address: int, flags: int = 1) -> int:
    """A page table entry."""
    return address >> 2 | flags


def program(prepare: str, address: int, page: int = READ_ONLY, what: str = "cbo.zero") -> str:
    """A program that zeroes a block, behind what prepares the fault."""
    return PROGRAM.format(
        prepare=prepare, address=address, instruction=what, page=entry(DATA, page),
        pointer=entry(TABLE), to_leaf=entry(LEAF),
        guest_pointer=entry(GUEST_TABLE), to_guest_leaf=entry(GUEST_LEAF),
    )  # fmt: skip


def with_mode(status: int, csr: str, value: int) -> str:
    """Data accesses with the rights of another mode, and a root of its translation."""
    return f"""
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li t0, {value}
    csrw {csr}, t0
    li t0, {MPRV | status}
    csrs mstatus, t0
    """


def locked(start: int, end: int) -> str:
    """PMP that lets nobody write from start to end."""
    return f"""
    li t0, {start >> 2}
    csrw pmpaddr0, t0
    li t0, {end >> 2}
    csrw pmpaddr1, t0
    li t0, 0x8900  # L, TOR, R
    csrw pmpcfg0, t0
    """


SATP, HGATP = SV39 | ROOT >> 12, SV39 | GUEST_ROOT >> 12
FAULTS = {
    "nothing there": ("", 0x3_0000_0000 + 0x12C, STORE_ACCESS),
    "PMP, the block": (locked(DATA, DATA + 64), DATA + 0x2C, STORE_ACCESS),
    "PMP, its first word": (locked(DATA, DATA + 4), DATA + 0x2D, STORE_ACCESS),
    "PMP, its last word": (locked(DATA + 60, DATA + 64), DATA + 0x2C, STORE_ACCESS),
    "PMP, the word itself": (locked(DATA + 0x2C, DATA + 0x30), DATA + 0x2C, STORE_ACCESS),
    "PMP, the page": (locked(DATA, DATA + 4096), DATA + 0x7FF, STORE_ACCESS),
    "page of S": (with_mode(MPP_S | SUM, "satp", SATP), MAPPED + 0xFF3, STORE_PAGE),
    "page of U": (with_mode(0, "satp", SATP), MAPPED + 0xFF3, STORE_PAGE),
    "no page": (with_mode(MPP_S, "satp", SATP), MAPPED + 0x1033, STORE_PAGE),
    "page of VS": (with_mode(MPP_S | SUM | MPV, "vsatp", SATP), MAPPED + 0xFF3, STORE_PAGE),
    "guest page": (with_mode(MPP_S | MPV, "hgatp", HGATP), MAPPED + 0xFF3, STORE_GUEST_PAGE),
}


def seen(folder: Path, engine: str, text: str) -> list[int]:
    """mcause, mtval and mtval2 behind a program's fault."""
    with bare(text, folder, engine) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        return [machine.read_register(name) for name in ("s0", "s1", "s2")]


def expected(address: int, cause: int) -> list[int]:
    """What they are to be: guest-page faults report the guest physical address too."""
    return [cause, address, address >> 2 if cause == STORE_GUEST_PAGE else 0]


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulting_cbo_zero_reports_the_address_in_rs1(
    tmp_path: Path, engine: str, fault: str
) -> None:
    prepare, address, cause = FAULTS[fault]
    assert seen(tmp_path, engine, program(prepare, address)) == expected(address, cause)


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulting_cbo_clean_reports_the_address_in_rs1(
    tmp_path: Path, engine: str, fault: str
) -> None:
    """It needs no more than reading, so that is what is taken away."""
    prepare, address, cause = FAULTS[fault]
    text = program(prepare.replace("0x8900", "0x8800"), address, EXECUTE_ONLY, "cbo.clean")
    assert seen(tmp_path, engine, text) == expected(address, cause)


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize("prepare", ["", locked(DATA + 2048, DATA + 4096)], ids=["page", "divided"])
def test_cbo_zero_clears_the_block_around_rs1(tmp_path: Path, engine: str, prepare: str) -> None:
    text = program(prepare, DATA + 64 + 17)
    with bare(text, tmp_path, engine) as machine:
        machine.write_memory(DATA, b"\xff" * 256)
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        assert machine.read_register("s0") == 0
        assert machine.read_memory(DATA, 256) == b"\xff" * 64 + bytes(64) + b"\xff" * 128


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize("fault", [name for name in FAULTS if name.startswith("PMP")])
def test_a_faulting_cbo_zero_writes_nothing(tmp_path: Path, engine: str, fault: str) -> None:
    prepare, address, _ = FAULTS[fault]
    with bare(program(prepare, address), tmp_path, engine) as machine:
        machine.write_memory(DATA, b"\xff" * 4096)
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        assert machine.read_memory(DATA, 4096) == b"\xff" * 4096
