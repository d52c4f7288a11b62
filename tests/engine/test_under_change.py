"""Random programs under interrupts at random points, and under page tables that change.

The program runs in S-mode on one virtual page of code, which stands for either of two physical
pages with different code; its machine-mode handler swaps them at every `ecall`, and another page of
data with it. The test raises interrupts between two stretches; the handler writes down where each
one came. Tiers are compared with the reference engine, or with each other, after every stretch.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.reference import ReferenceHarts
from ringzero.isa.tools.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.machines import begin, give_numbers
from tests.engine.random_programs import BASE, page_of_loops, registers
from tests.engine.side_by_side import Eager, compare, state

TABLES = BASE + 0x10_0000
CODES = (BASE + 0x20_0000, BASE + 0x20_1000)
DATA = (BASE + 0x20_4000, BASE + 0x20_8000)  # two sets of three pages
JOURNAL = BASE + 0x30_0000
CODE_AT, DATA_AT = 0x4000_0000, 0x4000_8000
LEAF = 0xCF  # valid, readable, writable, executable, accessed, dirty
TABLE = 0x01
SOFTWARE = 2  # bit of a supervisor software interrupt, which nobody delegates

MONITOR = f"""
    la t0, handler
    csrw mtvec, t0
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li t0, {SOFTWARE}
    csrw mie, t0
    li t0, {8 << 60 | TABLES >> 12}
    csrw satp, t0
    li t0, {DATA_AT + 4096}
    mv s0, t0
    li s2, 0
    li s3, 0
    li s4, 0
    li s5, 0
    li t0, 0x6800
    csrw mstatus, t0
    li t0, {CODE_AT}
    csrw mepc, t0
    mret
.align 2
handler:
    csrr sp, mcause
    bltz sp, interrupt
    csrr gp, mepc
    addi gp, gp, 4
    csrw mepc, gp
    addi sp, sp, -9
    bnez sp, back
    li sp, {TABLES + 0x2000}
    ld gp, 0(sp)
    li tp, {1 << 10}
    xor gp, gp, tp
    sd gp, 0(sp)
    ld gp, 72(sp)
    li tp, {4 << 10 ^ 8 << 10}
    xor gp, gp, tp
    sd gp, 72(sp)
    li gp, {CODE_AT}
    li tp, {DATA_AT + 4096}
    {{fence}}
back:
    mret
interrupt:
    csrci mip, {SOFTWARE}
    li sp, {JOURNAL}
    ld gp, 0(sp)
    addi gp, gp, 8
    sd gp, 0(sp)
    andi gp, gp, 2040
    add sp, sp, gp
    csrr gp, mepc
    sd gp, 8(sp)
    mret
"""
FENCES = ("sfence.vma", "sfence.vma gp\n    sfence.vma tp")


def page_tables() -> list[tuple[int, int]]:
    """Addresses of entries, and what they hold."""
    entries = [
        (TABLES + 8, (TABLES + 0x1000) >> 12 << 10 | TABLE),
        (TABLES + 0x1000, (TABLES + 0x2000) >> 12 << 10 | TABLE),
        (TABLES + 0x2000, CODES[0] >> 12 << 10 | LEAF),
    ]
    for page in range(3):
        entries.append((TABLES + 0x2040 + 8 * page, (DATA[0] + 4096 * page) >> 12 << 10 | LEAF))
    return entries


def start(make: Any, seed: int) -> tuple[Any, GuestMemory]:
    """A machine of one hart, about to enter S-mode."""
    pick = random.Random(seed)
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(BASE, assemble_text(MONITOR.format(fence=FENCES[seed % 2]), BASE))
    for place in CODES:
        memory.write(place, page_of_loops(pick))
    for place in DATA:
        memory.write(place, pick.randbytes(3 * 4096))
    for at, value in page_tables():
        memory.write(at, value.to_bytes(8, "little"))
    hart = begin(harts, BASE)
    give_numbers(hart, registers(seed))
    return harts, memory


def interrupt(harts: Any) -> None:
    hart = harts.hart(0)
    hart.mip = type(hart.mip)(int(hart.mip) | SOFTWARE)


def journal(memory: GuestMemory) -> int:
    """How many interrupts were taken."""
    return int.from_bytes(memory.read(JOURNAL, 8), "little") // 8


@pytest.mark.parametrize("seed", range(4))
def test_the_interpreter_does_what_the_reference_does(seed: int) -> None:
    reference, its_memory = start(ReferenceHarts, seed)
    native, memory = start(Interpreter, seed)
    pick, raised = random.Random(~seed), 0
    for _ in range(20):
        native.run(pick.randint(1, 200))
        reference.run(native.elapsed - reference.elapsed)
        compare(state(reference, its_memory), state(native, memory))
        if pick.random() < 0.7:
            raised += 1
            interrupt(native)
            interrupt(reference)
    assert raised // 2 < journal(memory) <= raised  # one may come while another waits


@pytest.mark.parametrize("seed", range(20, 25))
def test_regions_do_what_the_interpreter_does(seed: int) -> None:
    expected, its_memory = start(Interpreter, seed)
    regions, memory = start(Eager, seed)
    pick = random.Random(~seed)
    for _ in range(24):
        count = pick.randint(1, 6000)
        expected.run(count)
        regions.run(count)
        compare(state(expected, its_memory), state(regions, memory))
        regions.compile_here()
        if pick.random() < 0.7:
            interrupt(expected)
            interrupt(regions)
    assert regions.installed > 0
    assert journal(memory) > 5


@pytest.mark.parametrize("seed", range(40, 42))
def test_single_steps_do_what_a_free_run_does(seed: int) -> None:
    free, its_memory = start(Interpreter, seed)
    stepped, memory = start(Interpreter, seed)
    pick = random.Random(~seed)
    for _ in range(12):
        free.run(pick.randint(1, 400))
        while stepped.elapsed < free.elapsed:
            stepped.step()
        compare(state(free, its_memory), state(stepped, memory))
        interrupt(free)
        interrupt(stepped)


def test_programs_swap_their_pages() -> None:
    harts, _ = start(Interpreter, 0)
    harts.run(50_000)
    assert harts.counts(0).traps.get(9, 0) > 20
