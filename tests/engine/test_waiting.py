"""Every way in which a hart waits for a timer: it wakes when that is due, not a second later.

The machine's longest sleep is an hour here, so that a wake-up that is missed cannot pass for one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.machines import run_loop
from ringzero.outcome import PoweredOff
from tests.engine.machines import ALL_ENGINES, bare
from tests.limits import HUNG

ROUNDS = 20
MTI, STI, VSTI, STCE = 1 << 7, 1 << 5, 1 << 6, 1 << 63
MTIMECMP = 0x200_4000
SETS = {  # how the deadline in t1 becomes a timer's
    "mtimecmp": (MTI, "slli t2, s11, 3\nadd t2, t2, s9\nsd t1, 0(t2)"),
    "mtimecmp in halves": (MTI, "slli t2, s11, 3\nadd t2, t2, s9\nli t3, -1\nsw t3, 4(t2)\n"
                           "sw t1, 0(t2)\nsrli t3, t1, 32\nsw t3, 4(t2)"),
    "stimecmp": (STI, "csrw stimecmp, t1"),
    "vstimecmp": (VSTI, "csrr t2, htimedelta\nadd t2, t1, t2\ncsrw vstimecmp, t2"),
}  # fmt: skip

# Hart 0 counts its rounds in s0 and the ticks that it woke late in s1. Others do the same, and wait
# for ever then. With interrupts, the handler puts the timer off, and ends
# the wait even where it comes before it.
PROGRAM = """
    la t0, handler
    csrw mtvec, t0
    csrr s11, mhartid
    li s9, {MTIMECMP}
    li s8, 0x200bff8
    li t0, {STCE}
    csrs menvcfg, t0
    csrs henvcfg, t0
    li t0, -123456789
    csrw htimedelta, t0
    li t0, {enabled}
    csrw mie, t0
    {others}
    li s2, {ROUNDS}
again:
    ld t1, 0(s8)
    li t2, {ticks}
    add t1, t1, t2
    mv s3, t1
    {set}
    csrs mstatus, {interrupts}
    wfi
woken:
    csrci mstatus, 8
    ld t1, 0(s8)
    sub t1, t1, s3
    bltz t1, early
    add s1, s1, t1
    addi s0, s0, 1
    li t1, -1
    {set}
    bne s0, s2, again
    bnez s11, rest
    li t5, 1
exit:
    la t6, tohost
    sd t5, 0(t6)
rest:
    csrw mie, x0
    wfi
    j rest
early:
    li t5, 3
    j exit
.balign 4
handler:
    li t1, -1
    {set}
    la t1, woken
    csrw mepc, t1
    mret
"""


def program(timer: str, *, interrupts: bool, ticks: int = 1000, others: str = "") -> str:
    """Waits for a timer, again and again."""
    bit, text = SETS[timer]
    return PROGRAM.format(
        MTIMECMP=MTIMECMP, STCE=STCE, ROUNDS=ROUNDS, enabled=bit, set=text, ticks=ticks,
        interrupts="s5" if interrupts else "x0", others=f"li s5, 8\n{others}",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_look_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_loop, "LONGEST_SLEEP", 3600.0)


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize("timer", SETS)
@pytest.mark.parametrize("interrupts", [False, True], ids=["masked", "taken"])
def test_a_waiting_hart_wakes_when_its_timer_is_due(
    tmp_path: Path, engine: str, timer: str, interrupts: bool
) -> None:
    """With the host's clock; an M-mode guest's CLINT timer came up to a second late."""
    with bare(program(timer, interrupts=interrupts), tmp_path, engine) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        assert machine.read_register("s0") == ROUNDS


@pytest.mark.parametrize(
    ("engine", "parallel"),
    [("reference", False), ("interpreter", False), ("interpreter", True), ("auto", True)],
)
@pytest.mark.parametrize("timer", SETS)
def test_harts_that_wait_together_each_wake_in_time(
    tmp_path: Path, engine: str, timer: str, parallel: bool
) -> None:
    text = program(timer, interrupts=True)
    with bare(text, tmp_path, engine, cpus=3, parallel=parallel) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        assert machine.read_register("s0") == ROUNDS


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize("timer", SETS)
@pytest.mark.parametrize("interrupts", [False, True], ids=["masked", "taken"])
def test_the_instruction_clock_goes_on_at_the_deadline(
    tmp_path: Path, engine: str, timer: str, interrupts: bool
) -> None:
    """One that is due already, but not enabled, keeps the clock from no later one."""
    other = "stimecmp" if timer.startswith("mtimecmp") else "mtimecmp"
    due = f"li t1, 1\n{SETS[other][1]}"
    text = program(timer, interrupts=interrupts, ticks=2000, others=due)
    with bare(text, tmp_path, engine, clock="instructions") as machine:
        assert machine.run(instructions=100_000) == PoweredOff(0)
        assert machine.read_register("s0") == ROUNDS
        assert machine.read_register("s1") <= 2 * ROUNDS, (
            "woken later than after a few instructions"
        )


@pytest.mark.parametrize("engine", ["reference", "interpreter"])
def test_a_timer_that_is_due_but_not_enabled_does_not_keep_the_host_busy(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = f"li t1, 1\n{SETS['stimecmp'][1]}"
    text = program("mtimecmp", interrupts=True, ticks=100_000, others=due)
    with bare(text, tmp_path, engine) as machine:
        run, count = machine.harts.run, 0

        def counted(instructions: int | None = None) -> object:
            nonlocal count
            count += 1
            return run(instructions)

        monkeypatch.setattr(machine.harts, "run", counted)
        assert machine.run(timeout=HUNG) == PoweredOff(0)
    assert count < 10 * ROUNDS
