"""Windows of regions: which accesses have them, and that they show what the tables would."""

from __future__ import annotations

from typing import Any

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.regions.find.cached_translations import cached_translations
from ringzero.engine.regions.find.flow import blocks
from ringzero.engine.regions.find.graph import Code, explore
from ringzero.engine.regions.find.loops import loops
from ringzero.isa.tools.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.machines import begin, open_memory
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import Eager, compare, finish, state

TABLES = BASE + 0x10_0000
SATP = 8 << 60 | TABLES >> 12  # Sv39
FRAMES = BASE + 0x20_0000
CODE, DATA = 0x40_0000, 0x41_0000  # virtual
ALL, READ_ONLY = 0xCF, 0xC3  # of a page table entry
BACKWARDS = 3  # pages of data lie in memory in the other order

PROGRAM = """
loop:
    li s3, 80
    mv t0, s2
    mv t4, s4
again:
    ld t1, 0(t0)
    lbu t2, 13(t0)
    add a0, a0, t1
    xor a1, a1, t2
    sw a0, 0(t4)
    sb a1, 9(t4)
    lwu t3, 4(t0)
    sh t3, -20(t4)
    add t0, t0, s8
    add t4, t4, s8
    sd a0, 8(sp)
    addi s3, s3, -1
    bnez s3, again
    {change}
    addi s9, s9, -1
    bnez s9, loop
end:
    wfi
    j end
.align 9
handler:
    csrr t6, sepc
    addi t6, t6, 4
    csrw sepc, t6
    sret
"""

REMAP = """
    ld t5, 0(s5)
    ld t6, 8(s5)
    sd t6, 0(s5)
    sd t5, 8(s5)
    sfence.vma
"""


def _write(memory: GuestMemory, address: int, value: int) -> None:
    memory.write(address, value.to_bytes(8, "little"))


def machine(make: Any, step: int, second: int, change: str) -> tuple[Any, GuestMemory]:
    """A hart in S-mode that steps from one page of data to the second, whose entry is given."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(BASE, assemble_text(PROGRAM.format(change=change), CODE))
    lowest = TABLES + 0x2000
    _write(memory, TABLES, (TABLES + 0x1000) >> 2 | 1)
    _write(memory, TABLES + 0x1000 + 8 * 2, lowest >> 2 | 1)
    _write(memory, lowest, BASE >> 2 | ALL)
    _write(memory, lowest + 8, lowest >> 2 | ALL)
    frames = [FRAMES + 4096 * (BACKWARDS - i) for i in range(4)]
    for index, frame in enumerate(frames):
        memory.write(frame, bytes((7 * i + index) & 0xFF for i in range(4096)))
        _write(memory, lowest + 8 * (16 + index), frame >> 2 | (second if index == 1 else ALL))
    hart = begin(
        harts, CODE, mode=1, satp=8 << 60 | TABLES >> 12, stvec=CODE + 0x200, medeleg=0xFFFF
    )
    end = DATA + 4096
    for number, value in ((2, DATA + 0x3100), (18, end - 40 * step - 16), (20, end - 41 * step),
                          (21, CODE + 4096 + 8 * 16), (24, step), (25, 30)):  # fmt: skip
        hart.x[number] = value
    open_memory(hart)
    return harts, memory


@pytest.mark.parametrize("change", ["", REMAP], ids=["still", "remapped"])
@pytest.mark.parametrize("second", [ALL, READ_ONLY, 0], ids=["all", "read-only", "unmapped"])
@pytest.mark.parametrize("step", [8, 4, 3, 40, 1])
def test_a_step_onto_another_page(step: int, second: int, change: str) -> None:
    expected, its_memory = machine(Interpreter, step, second, change)
    regions, memory = machine(Eager, step, second, change)
    for turn in range(8):
        expected.run(1511)
        regions.run(1511)
        compare(state(expected, its_memory), state(regions, memory))
        if turn < 5:
            regions.compile_here()
    finish(expected)
    finish(regions)
    compare(state(expected, its_memory), state(regions, memory))
    assert regions.installed > 0


def numbers_of(text: str) -> dict[int, int]:
    """The cached translations' numbers by offsets, of a region at the start of a program."""
    code = assemble_text(text, 0)
    graph = explore(Code.single(code + bytes(4096 - len(code))), 0)
    return {at: one.number for at, one in cached_translations(blocks(graph)).items()}


def test_steps_have_cached_translations_and_chases_have_none() -> None:
    stepping = numbers_of("again:\n lw t0, 0(a0)\n addi a0, a0, 4\n bne a0, a1, again\n")
    assert set(stepping) == {0}
    chasing = numbers_of("again:\n ld a0, 0(a0)\n bnez a0, again\n")
    assert chasing == {}
    once = numbers_of("lw t0, 0(a0)\n sw t0, 4(a0)\n ret\n")
    assert once == {}


def test_what_is_computed_of_what_was_loaded_has_none() -> None:
    found = numbers_of(
        """
        again:
            lbu t0, 0(a0)
            slli t0, t0, 3
            add t1, a2, t0
            ld t2, 0(t1)
            xor a3, a3, t2
            addi a0, a0, 1
            bne a0, a1, again
        """
    )
    assert set(found) == {0}


def test_loops_and_their_depth() -> None:
    code = assemble_text(
        """
        outer:
            li t0, 9
        inner:
            addi t0, t0, -1
            bnez t0, inner
            addi t1, t1, -1
            bnez t1, outer
            ret
        """,
        0,
    )
    graph = explore(Code.single(code + bytes(4096 - len(code))), 0)
    found = {loop.depth: loop for loop in loops(blocks(graph))}
    assert sorted(found) == [1, 2]
    assert found[2].members == found[1].inner
    assert found[2].members < found[1].members
