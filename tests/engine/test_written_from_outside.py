"""Registers and CSRs that the API writes: every engine legalises or refuses them alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.errors import UsageError
from ringzero.isa.csrs.registry import NUMBERS
from ringzero.machines.riscv import Machine
from ringzero.outcome import TimedOut
from tests.engine.machines import ALL_ENGINES, bare
from tests.guest_files import RAM

ONES = (1 << 64) - 1
VALUES = (0, ONES, 0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA, 1, 8 << 60 | 0x8_0000)
PROGRAM = """
again:
    addi a0, a0, 1
    addi a1, a1, 1
    j again
"""


def written(machine: Machine, name: str, value: int) -> int | str:
    """What a CSR reads as after a write from outside, or the refusal."""
    try:
        machine.write_csr(name, value)
        return machine.read_csr(name)
    except UsageError as error:
        return str(error)


def everything(folder: Path, engine: str) -> dict[str, list[int | str]]:
    """What each CSR makes of some values."""
    with bare(PROGRAM, folder, engine, clock="instructions") as machine:
        machine.run(instructions=1000)
        return {name: [written(machine, name, value) for value in VALUES] for name in NUMBERS}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int | str]]:
    """What the reference engine makes of them."""
    return everything(tmp_path_factory.mktemp("reference"), "reference")


@pytest.mark.parametrize("engine", ALL_ENGINES[1:])
def test_every_csr_is_legalised_as_the_reference_engine_does(
    tmp_path: Path, engine: str, expected: dict[str, list[int | str]]
) -> None:
    assert everything(tmp_path, engine) == expected


@pytest.mark.parametrize(
    ("name", "value", "legal"),
    [
        ("mepc", 0x8000_0001, 0x8000_0000),
        ("sepc", ONES, ONES - 1),
        ("vsepc", 0x8000_0003, 0x8000_0002),
        ("mtvec", 0x8000_0003, 0x8000_0001),
        ("mcycle", 1000, 1000),
        ("minstret", 0, 0),
        ("mcountinhibit", 5, 5),
        ("frm", 15, "CSR frm cannot be written."),  # FS is Off
        ("mhartid", 1, "CSR mhartid cannot be written."),
    ],
)
@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_a_csr_reads_as_what_is_legal_of_a_write(
    tmp_path: Path, engine: str, name: str, value: int, legal: int | str
) -> None:
    with bare(PROGRAM, tmp_path, engine, clock="instructions") as machine:
        machine.run(instructions=100)
        assert written(machine, name, value) == legal


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_counters_written_from_outside_count_on_from_there(tmp_path: Path, engine: str) -> None:
    with bare(PROGRAM, tmp_path, engine, clock="instructions") as machine:
        machine.run(instructions=50)
        machine.write_csr("minstret", 1000)
        machine.write_csr("mcycle", 2000)
        machine.run(instructions=10)
        assert (machine.read_csr("minstret"), machine.read_csr("mcycle")) == (1010, 2010)
        machine.write_csr("mcountinhibit", 4)
        machine.step(5)
        assert (machine.read_csr("minstret"), machine.read_csr("mcycle")) == (1010, 2015)
        machine.write_csr("mcountinhibit", 1)
        machine.step(7)
        assert (machine.read_csr("minstret"), machine.read_csr("mcycle")) == (1017, 2015)


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_an_odd_pc_is_refused_and_the_hart_stays_where_it_is(tmp_path: Path, engine: str) -> None:
    with bare(PROGRAM, tmp_path, engine) as machine:
        machine.pc = RAM
        for refused in (RAM + 1, RAM + 4 | 1, ONES):
            with pytest.raises(UsageError, match="is odd"):
                machine.pc = refused
            with pytest.raises(UsageError, match="is odd"):
                machine.write_register("pc", refused)
        machine.step()
        assert (machine.pc, machine.read_register("a0")) == (RAM + 4, 1)


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_a_pc_between_instructions_of_four_bytes_is_executed_alike(
    tmp_path: Path, engine: str
) -> None:
    """Two bytes behind `addi a0, a0, 1` stands the parcel 0x0015: c.nop 5, then `addi a1, …`."""
    with bare(PROGRAM, tmp_path, engine, clock="instructions") as machine:
        machine.pc = RAM + 2
        assert machine.run(instructions=2) == TimedOut()
        assert (machine.pc, machine.read_register("a0")) == (RAM + 8, 0)
        assert machine.read_register("a1") == 1


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_what_a_write_changes_holds_from_the_next_instruction_on(
    tmp_path: Path, engine: str
) -> None:
    """mstatus, mie and mip, stimecmp, and what permits: nothing that an engine keeps is older."""
    with bare(PROGRAM, tmp_path, engine, clock="instructions") as machine:
        machine.run(instructions=1000)
        machine.write_csr("mtvec", RAM + 0x100)
        machine.write_csr("mie", 1 << 5)
        machine.write_csr("mstatus", 1 << 3)
        before = machine.read_register("a0")
        machine.write_csr("menvcfg", 1 << 63)
        machine.write_csr("stimecmp", 0)
        machine.step()
        assert (machine.pc, machine.read_csr("mcause")) == (RAM + 0x100, 1 << 63 | 5)
        assert machine.read_register("a0") == before
        machine.write_csr("stimecmp", ONES)
        machine.pc = RAM
        machine.run(instructions=3)
        machine.write_csr("pmpaddr0", RAM + 0x1000 >> 2)
        machine.write_csr("pmpcfg0", 0x89)  # locked: nobody executes below, M-mode neither
        machine.step()
        assert machine.read_csr("mcause") == 1
