"""Traps, interrupts, and the privileged instructions, run by the reference engine."""

from __future__ import annotations

from typing import Any

import pytest

from ringzero.engine.reference import ReferenceEngine, Step
from ringzero.isa.hart import Hart, M, S, U, reset
from ringzero.isa.privileged.trap import (
    BREAKPOINT,
    FETCH_ACCESS,
    ILLEGAL_INSTRUCTION,
    LOAD_ACCESS,
    STORE_ACCESS,
    pending_interrupt,
)
from ringzero.isa.tools.program import assemble_text
from ringzero.lang import u64
from tests.lockstep.subjects import RAM, BareBoard

HANDLER, S_HANDLER, DATA = RAM + 0x800, RAM + 0x900, RAM + 0x1000
MIE, MPIE, SIE, SPIE, SPP = 1 << 3, 1 << 7, 1 << 1, 1 << 5, 1 << 8
MPRV, TVM, TW, TSR, FS = 1 << 17, 1 << 20, 1 << 21, 1 << 22, 3 << 13
INTERRUPT = 1 << 63


class Machine:
    """The reference engine with a program, and memory open to all modes."""

    def __init__(self, source: str, mode: int = M) -> None:
        self.hart: Any = Hart()
        self.board = BareBoard(0x1_0000)
        self.engine = ReferenceEngine(self.hart, self.board)
        reset(self.hart, 0, RAM)
        code = assemble_text(source, RAM)
        self.board.ram[: len(code)] = code
        self.hart.mode = u64(mode)
        self.hart.mtvec, self.hart.stvec = u64(HANDLER), u64(S_HANDLER)
        self.hart.pmpcfg[0], self.hart.pmpaddr[0] = u64(0x1F), u64((1 << 54) - 1)

    def set(self, **fields: int) -> Machine:
        for name, value in fields.items():
            setattr(self.hart, name, u64(int(getattr(self.hart, name)) | value))
        return self

    def steps(self, count: int) -> Machine:
        for _ in range(count):
            self.last = self.engine.step()
        return self

    @property
    def trap(self) -> tuple[int, int, int]:
        """mcause, mepc from the start of RAM, mtval."""
        hart = self.hart
        assert hart.pc == HANDLER
        return int(hart.mcause), int(hart.mepc) - RAM, int(hart.mtval)


@pytest.mark.parametrize(("mode", "cause"), [(U, 8), (S, 9), (M, 11)])
def test_ecall_tells_the_mode(mode: int, cause: int) -> None:
    machine = Machine("nop\necall", mode).set(mstatus=MIE).steps(2)
    assert machine.last is Step.TRAPPED
    assert machine.trap == (cause, 4, 0)
    assert machine.hart.mode == M
    assert machine.hart.mstatus & (MIE | MPIE | 3 << 11) == MPIE | mode << 11
    assert machine.hart.retired == 1


def test_ebreak_has_its_address_in_mtval() -> None:
    assert Machine("ebreak").steps(1).trap == (BREAKPOINT, 0, RAM)


@pytest.mark.parametrize(("source", "word"), [(".word 0xffffffff", 0xFFFF_FFFF), (".half 0", 0)])
def test_illegal_instructions_have_their_word_in_mtval(source: str, word: int) -> None:
    assert Machine(source).steps(1).trap == (ILLEGAL_INSTRUCTION, 0, word)


@pytest.mark.parametrize(
    ("mode", "status", "source", "legal"),
    [
        (M, 0, "mret", True), (S, 0, "mret", False), (U, 0, "mret", False),
        (M, 0, "sret", True), (S, 0, "sret", True), (U, 0, "sret", False), (S, TSR, "sret", False),
        (M, TSR, "sret", True),
        (M, TW, "wfi", True), (S, 0, "wfi", True), (S, TW, "wfi", False), (U, 0, "wfi", False),
        (S, 0, "sfence.vma", True), (S, TVM, "sfence.vma", False), (M, TVM, "sfence.vma", True),
        (U, 0, "sfence.vma", False), (S, TVM, "sinval.vma x1, x2", False),
        (S, TVM, "sfence.w.inval", True), (U, 0, "sfence.inval.ir", False),
        (M, 0, "fadd.d f0, f1, f2", False), (M, FS, "fadd.d f0, f1, f2, rne", True),
        (M, 0, "fld f0, 0(x0)", False),
    ],
)  # fmt: skip
def test_what_is_legal_where(mode: int, status: int, source: str, legal: bool) -> None:
    machine = Machine(source, mode).set(mstatus=status)
    machine.hart.mepc = machine.hart.sepc = u64(RAM + 0x40)
    machine.steps(1)
    assert (machine.last is Step.RETIRED) is legal
    if not legal:
        assert machine.trap[0] == ILLEGAL_INSTRUCTION


def test_mret_restores_what_the_trap_saved() -> None:
    machine = Machine("mret").set(mstatus=MPIE | S << 11 | MPRV, mepc=RAM + 0x40).steps(1)
    hart = machine.hart
    assert (hart.pc, hart.mode) == (RAM + 0x40, S)
    assert hart.mstatus & 0x2_1888 == MIE | MPIE  # MPP is U, and MPRV ends with M-mode


def test_sret_restores_what_the_trap_saved() -> None:
    machine = Machine("sret", S).set(mstatus=SIE | SPP, sepc=RAM + 0x40).steps(1)
    hart = machine.hart
    assert (hart.pc, hart.mode) == (RAM + 0x40, S)
    assert hart.mstatus & (SIE | SPIE | SPP) == SPIE


def test_delegated_exceptions_go_to_s_unless_they_come_from_m() -> None:
    machine = Machine("ecall", U).set(medeleg=1 << 8, mstatus=SIE).steps(1)
    hart = machine.hart
    assert (hart.pc, hart.mode, hart.scause, hart.sepc) == (S_HANDLER, S, 8, RAM)
    assert hart.mstatus & (SIE | SPIE | SPP) == SPIE
    assert Machine("ebreak").set(medeleg=1 << 3).steps(1).trap[0] == BREAKPOINT


@pytest.mark.parametrize("vectored", [0, 1])
def test_vectored_interrupts_spread_and_exceptions_do_not(vectored: int) -> None:
    machine = Machine("nop").set(mtvec=vectored, mie=1 << 7, lines=1 << 7, mstatus=MIE).steps(1)
    assert machine.hart.pc == HANDLER + 4 * 7 * vectored
    assert machine.hart.mcause == INTERRUPT | 7
    assert Machine("ebreak").set(mtvec=vectored).steps(1).hart.pc == HANDLER


@pytest.mark.parametrize(
    ("mode", "status", "delegated", "pending", "taken"),
    [
        (M, 0, 0, 0xAAA, 0), (M, MIE, 0, 0xAAA, 11), (S, 0, 0, 0xAAA, 11), (U, 0, 0, 0xAAA, 11),
        (M, MIE, 0x222, 0xAAA, 11), (M, MIE, 0x222, 0x222, 0), (S, SIE, 0x222, 0xAAA, 11),
        (S, SIE, 0x222, 0x222, 9), (S, 0, 0x222, 0x222, 0), (U, 0, 0x222, 0x222, 9),
        (S, 0, 0, 0x222, 9),
    ],
)  # fmt: skip
def test_which_interrupt_is_taken(
    mode: int, status: int, delegated: int, pending: int, taken: int
) -> None:
    machine = Machine("", mode).set(mstatus=status, mideleg=delegated, mie=0xAAA, lines=pending)
    assert pending_interrupt(machine.hart) == (INTERRUPT | taken if taken else 0)


def test_priority_within_a_mode() -> None:
    hart = Machine("").set(mstatus=MIE, mie=0xAAA).hart
    order = []
    pending = 0xAAA
    while pending:
        hart.mip = u64(pending)
        chosen = int(pending_interrupt(hart)) & 63
        order.append(chosen)
        pending &= ~(1 << chosen)
    assert order == [11, 3, 7, 9, 1, 5]


def test_wfi_waits_for_what_mie_enables() -> None:
    machine = Machine("wfi\nnop").set(mie=1 << 1).steps(2)
    assert machine.last is Step.WAITING
    assert machine.hart.pc == RAM + 4
    machine.set(mip=1 << 5).steps(1)
    assert machine.last is Step.WAITING
    machine.set(mip=1 << 1).steps(1)  # pending and enabled ends it, though MIE is off
    assert (machine.last, machine.hart.pc) == (Step.RETIRED, RAM + 8)


def test_accesses_to_nothing() -> None:
    assert Machine("ld x1, 16(x0)").steps(1).trap == (LOAD_ACCESS, 0, 16)
    assert Machine("sd x1, 16(x0)").steps(1).trap == (STORE_ACCESS, 0, 16)
    assert Machine("jr x0").steps(2).trap == (FETCH_ACCESS, -RAM, 0)


@pytest.mark.parametrize(
    ("source", "cause"),
    [("lr.w x1, (x5)", LOAD_ACCESS), ("sc.d x1, x2, (x5)", STORE_ACCESS),
     ("amoadd.w x1, x2, (x5)", STORE_ACCESS)],
)  # fmt: skip
def test_misaligned_atomics_are_access_faults(source: str, cause: int) -> None:
    machine = Machine(source)
    machine.hart.x[5] = u64(DATA + 2)
    assert machine.steps(1).trap == (cause, 0, DATA + 2)


def test_sc_succeeds_once_and_only_while_the_value_stands() -> None:
    first = "lr.d x1, (x5)\nsc.d x2, x6, (x5)\nsc.d x3, x6, (x5)\n"
    machine = Machine(f"{first}lr.d x1, (x5)\nsd x0, 0(x5)\nsc.d x4, x6, (x5)")
    machine.hart.x[5], machine.hart.x[6] = u64(DATA), u64(7)
    machine.steps(6)
    assert [int(machine.hart.x[i]) for i in (2, 3, 4)] == [0, 1, 1]
    assert machine.board.read(DATA, 8) == 0


def test_cache_blocks() -> None:
    machine = Machine("cbo.zero (x5)\ncbo.clean (x5)\ncbo.flush (x6)")
    machine.board.write(DATA + 0x78, 8, 1)
    machine.board.write(DATA + 0x80, 8, 2)
    machine.hart.x[5] = u64(DATA + 0x79)
    machine.steps(2)
    assert (machine.board.read(DATA + 0x78, 8), machine.board.read(DATA + 0x80, 8)) == (0, 2)
    assert machine.steps(1).trap == (STORE_ACCESS, 8, 0)  # managing a block faults as stores do


def test_csr_set_does_not_latch_a_device_line() -> None:
    machine = Machine("csrrsi x1, mip, 2").set(lines=1 << 9).steps(1)
    assert machine.hart.x[1] == 1 << 9
    assert machine.hart.mip == 2


def test_counts_by_mode_and_cause() -> None:
    machine = Machine("nop\nnop\necall", S).steps(3)
    assert machine.engine.counts.retired == {S: 2}
    assert machine.engine.counts.traps == {9: 1}


def test_floats_become_dirty_when_written() -> None:
    machine = Machine("fsd f0, 0(x5)\nfmv.d.x f1, x6").set(mstatus=1 << 13)
    machine.hart.x[5] = u64(DATA)
    assert machine.steps(1).hart.mstatus & FS == 1 << 13
    assert machine.steps(1).hart.mstatus & FS == FS


def test_running_stops_at_the_limit_or_in_wfi() -> None:
    machine = Machine("loop: addi x1, x1, 1\nj loop")
    assert machine.engine.run(7) == 7
    assert machine.hart.x[1] == 4
    assert Machine("nop\nwfi\nnop").engine.run(100) == 2
