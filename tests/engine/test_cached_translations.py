"""Cached translations of regions: which accesses have one, and that it equals the TLB's."""

from __future__ import annotations

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.regions.find.cached_translations import cached_translations
from ringzero.engine.regions.find.flow import blocks
from ringzero.engine.regions.find.graph import Code, explore
from ringzero.engine.regions.find.loops import loops
from ringzero.isa.tools.program import assemble_text
from tests.engine.side_by_side import Eager, compare, finish, state
from tests.engine.two_pages import ALL, READ_ONLY, REMAP, machine


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
