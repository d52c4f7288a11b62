"""CSRs: what each holds of what is written, who may touch it, and what follows from a write."""

from __future__ import annotations

from typing import Any

import pytest

from ringzero.isa.csr import Csr, CsrError, const, rw
from ringzero.isa.csrs.registry import ALL, NUMBERS, csr_read, csr_write
from ringzero.isa.hart import ADDRESS_SPACE, INTERRUPTS, MAPPINGS, TRANSLATION, Hart, M, S, U, reset
from ringzero.isa.privileged.trap import ILLEGAL_INSTRUCTION, STCE, Trap, pending_interrupt
from ringzero.lang import u64

ONES = (1 << 64) - 1


class Clock:
    """A host with nothing but the time."""

    time = 0

    def now(self, hart: Hart) -> u64:
        return u64(self.time)


@pytest.fixture
def hart() -> Any:
    made: Any = Hart()
    made.host = Clock()
    reset(made, 3, 0x8000_0000)
    return made


def read(hart: Any, name: str) -> int:
    return int(csr_read(hart, NUMBERS[name]))


def write(hart: Any, name: str, value: int) -> int:
    csr_write(hart, NUMBERS[name], u64(value))
    return read(hart, name)


def refused(hart: Any, name: str, *, writing: bool = False) -> bool:
    try:
        if writing:
            csr_write(hart, NUMBERS[name], u64(0))
        else:
            csr_read(hart, NUMBERS[name])
    except Trap:
        assert hart.cause == ILLEGAL_INSTRUCTION
        return True
    return False


@pytest.mark.parametrize(
    ("name", "written", "held"),
    [
        ("mstatus", ONES, 0x8000_000A_007E_79AA),
        ("mstatus", 2 << 11, 0xA_0000_0000),  # there is no mode 2
        ("mstatus", 1 << 13, 0xA_0000_2000),  # FS Initial is not dirty
        ("misa", 0, 0x8000_0000_0014_112F),
        ("medeleg", ONES, 0xCB3FE),
        ("mideleg", ONES, 0x222),
        ("mie", ONES, 0xAAA),
        ("mip", ONES, 0x222),
        ("mtvec", 0x8000_0003, 0x8000_0001),
        ("mepc", 0x8000_0003, 0x8000_0002),
        ("mcounteren", ONES, 0xFFFF_FFFF),
        ("mcountinhibit", ONES, 0xFFFF_FFFD),
        ("menvcfg", ONES, 0xE000_0000_0000_00F1),
        ("menvcfg", 0x20, 0),  # CBIE = 2 is reserved
        ("senvcfg", 0x30, 0x30),
        ("mcause", ONES, ONES),
        ("satp", 8 << 60 | 0xABCD << 44 | 0x1234, 8 << 60 | 0xABCD << 44 | 0x1234),
        ("satp", 10 << 60, 10 << 60),
        ("satp", 11 << 60 | 5, 0),  # an unsupported mode: nothing of it is written
        ("pmpcfg0", 0x1A, 0x18),  # writable but not readable is reserved
        ("pmpcfg0", 0x60, 0),
        ("pmpaddr3", ONES, (1 << 54) - 1),
        ("pmpaddr63", ONES, 0),
        ("pmpcfg14", ONES, 0),
        ("mhpmcounter3", ONES, 0),
        ("mhpmevent31", ONES, 0),
        ("scounteren", ONES, 0xFFFF_FFFF),
        ("stimecmp", ONES, ONES),
        ("mstateen1", ONES, 1 << 63),
        ("tselect", 1, 0),
    ],
)
def test_a_csr_holds_what_is_legal(hart: Any, name: str, written: int, held: int) -> None:
    assert write(hart, name, written) == held


def test_constants(hart: Any) -> None:
    assert read(hart, "mhartid") == 3
    for name in ("mvendorid", "marchid", "mimpid", "mconfigptr"):
        assert read(hart, name) == 0


def test_rows_are_named_by_their_members() -> None:
    assert NUMBERS["pmpcfg2"] == 0x3A2
    assert NUMBERS["hpmcounter31"] == 0xC1F
    assert NUMBERS["pmpaddr15"] == 0x3BF
    assert "pmpcfg1" not in NUMBERS


def test_sstatus_is_a_part_of_mstatus(hart: Any) -> None:
    write(hart, "mstatus", 3 << 11 | 1 << 17)
    assert write(hart, "sstatus", ONES) == 0x8000_0002_000C_6122
    assert read(hart, "mstatus") == 0x8000_000A_000E_7922


def test_sie_and_sip_show_what_is_delegated(hart: Any) -> None:
    write(hart, "mideleg", 0x202)
    assert write(hart, "sie", ONES) == 0x202
    assert read(hart, "mie") == 0x202
    write(hart, "mip", ONES)
    assert read(hart, "sip") == 0x202
    assert write(hart, "sip", 0) == 0x200  # only its software bit is S's to write
    assert read(hart, "mip") == 0x220


def test_fcsr_and_its_parts(hart: Any) -> None:
    assert refused(hart, "fcsr")  # FS is Off
    write(hart, "mstatus", 1 << 13)
    assert write(hart, "fcsr", ONES) == 0xFF
    assert (read(hart, "fflags"), read(hart, "frm")) == (0x1F, 7)
    assert write(hart, "frm", 2) == 2
    assert read(hart, "fcsr") == 0x5F
    assert read(hart, "mstatus") >> 13 & 3 == 3


@pytest.mark.parametrize(
    ("mode", "name", "allowed"),
    [(M, "mstatus", True), (S, "mstatus", False), (S, "sstatus", True), (U, "sstatus", False),
     (S, "stimecmp", False), (S, "senvcfg", False), (S, "sstateen0", False), (U, "cycle", False)],
)  # fmt: skip
def test_modes(hart: Any, mode: int, name: str, allowed: bool) -> None:
    hart.mode = mode
    assert refused(hart, name) is not allowed


def test_numbers_that_are_read_only_or_nobody_s(hart: Any) -> None:
    assert refused(hart, "mhartid", writing=True)
    assert refused(hart, "cycle", writing=True)
    with pytest.raises(Trap):
        csr_read(hart, 0x5C0)
    with pytest.raises(Trap):
        csr_read(hart, NUMBERS["pmpcfg0"] + 1)  # RV64 has the even ones


def test_what_opens_csrs_to_lower_modes(hart: Any) -> None:
    write(hart, "mcounteren", 0b111)
    write(hart, "menvcfg", STCE)
    write(hart, "mstateen0", 3 << 62)
    hart.mode = S
    assert not any(refused(hart, n) for n in ("time", "stimecmp", "senvcfg", "sstateen0", "satp"))
    hart.mode = U
    assert refused(hart, "time")
    hart.scounteren = u64(0b010)
    assert not refused(hart, "time")
    assert refused(hart, "instret")


def test_tvm_keeps_s_from_satp(hart: Any) -> None:
    write(hart, "mstatus", 1 << 20)
    assert not refused(hart, "satp")
    hart.mode = S
    assert refused(hart, "satp")
    assert refused(hart, "satp", writing=True)


def test_counters_follow_retired_instructions(hart: Any) -> None:
    hart.retired = 100
    write_only(hart, "minstret", 5)
    hart.retired = 101  # the writing instruction itself
    assert read(hart, "minstret") == 5
    hart.retired = 111
    assert read(hart, "instret") == 15
    assert read(hart, "mcycle") == 111


def write_only(hart: Any, name: str, value: int) -> None:
    csr_write(hart, NUMBERS[name], u64(value))


def test_a_write_of_mcountinhibit_takes_effect_after_the_writing_instruction(hart: Any) -> None:
    """Privileged spec 3.1.10: any CSR write takes effect after the writing instruction."""
    hart.retired = 10
    write_only(hart, "mcountinhibit", 0b101)  # the eleventh instruction, which still counts
    hart.retired = 20
    assert (read(hart, "mcycle"), read(hart, "minstret")) == (11, 11)
    write_only(hart, "mcycle", 7)
    assert read(hart, "mcycle") == 7
    write_only(hart, "mcountinhibit", 0)  # which does not count yet
    hart.retired = 21
    assert (read(hart, "mcycle"), read(hart, "minstret")) == (7, 11)
    hart.retired = 22
    assert (read(hart, "mcycle"), read(hart, "minstret")) == (8, 12)
    write_only(hart, "mcountinhibit", 0b100)
    hart.retired = 30
    assert (read(hart, "mcycle"), read(hart, "minstret")) == (16, 13)
    write_only(hart, "mcountinhibit", 0b100)  # nothing changes
    hart.retired = 31
    assert (read(hart, "mcycle"), read(hart, "minstret")) == (17, 13)


def test_pmp_locks(hart: Any) -> None:
    write(hart, "pmpaddr0", 0x1000)
    write(hart, "pmpaddr1", 0x2000)
    write(hart, "pmpcfg0", 0x8F << 8)  # entry 1: locked, top of range, RWX
    assert write(hart, "pmpcfg0", 0) == 0x8F << 8
    assert write(hart, "pmpaddr1", 0) == 0x2000
    assert write(hart, "pmpaddr0", 0) == 0x1000  # the bottom of the locked range
    assert write(hart, "pmpaddr2", 5) == 5


def test_stimecmp_drives_stip(hart: Any) -> None:
    write(hart, "mip", 0x20)
    assert read(hart, "mip") == 0x20
    write(hart, "stimecmp", 50)
    write(hart, "menvcfg", STCE)
    assert read(hart, "mip") == 0  # the comparison has taken the place of the stored bit
    hart.host.time = 50
    assert read(hart, "mip") == 0x20
    assert write(hart, "mip", 0) == 0x20
    write(hart, "mie", 0x20)
    write(hart, "mstatus", 1 << 3)
    assert pending_interrupt(hart) == 1 << 63 | 5


def test_device_lines_are_ored_into_mip(hart: Any) -> None:
    hart.lines = u64(1 << 11 | 1 << 9)
    assert read(hart, "mip") == 0xA00
    assert write(hart, "mip", 0) == 0xA00


def test_writes_say_what_engines_look_at_again(hart: Any) -> None:
    for name, bit in (("mie", INTERRUPTS), ("satp", ADDRESS_SPACE), ("pmpcfg0", MAPPINGS),
                      ("mstatus", TRANSLATION | INTERRUPTS)):  # fmt: skip
        hart.changes = u64(0)
        write_only(hart, name, 0)
        assert hart.changes & bit == bit, name
    hart.changes = u64(0)
    write_only(hart, "mscratch", 0)
    assert hart.changes == 0


def test_definitions_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(CsrError, match="overlaps"):
        type("one", (Csr,), {"A": rw(3, 0), "B": rw(3)}, at=0x7C0)
    with pytest.raises(CsrError, match="does not fit"):
        type("two", (Csr,), {"A": const(1, 0, 9)}, at=0x7C0)
    with pytest.raises(CsrError, match="add one"):
        type("three", (Csr,), {"A": rw(3)}, at=0x7C0)
    with pytest.raises(CsrError, match="same number"):
        type("four", (Csr,), {"A": const(0, 0, 0)}, at=0x300)
    assert all(csr.name not in ("one", "two", "three", "four") for csr in ALL)
