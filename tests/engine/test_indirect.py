"""Jumps through registers in regions: to addresses that the code makes of pc, and to any other."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.regions.find.graph import Code, explore
from ringzero.engine.regions.profile.targets import JumpTargets
from ringzero.isa.tools.program import assemble_text
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import Eager, Learning, compare, finish, machine, state

FAR_CALL = """
    li s2, 40
again:
    auipc t1, 2
    {between}
    jalr ra, 16(t1)
    addi s2, s2, -1
    bnez s2, again
    addi s3, s3, -1
    bnez s3, back
end:
    wfi
    j end
back:
    {back}
"""
POINTERS = """
    auipc s4, 5
    nop
loop:
    li s2, 60
again:
    andi t0, s2, {mask}
    slli t0, t0, 3
    add t0, t0, s4
    ld t1, 0(t0)
    jalr ra, 0(t1)
    addi s2, s2, -1
    bnez s2, again
    {change}
    addi s3, s3, -1
    bnez s3, loop
end:
    wfi
    j end
"""
LEAVES = """
    add a0, a0, s2
    ret
    nop
    nop
    xor a1, a1, a0
    ret
    nop
    nop
    sub a2, a0, s2
    ret
    nop
    nop
    addi a3, a3, 3
    ret
    nop
    nop
"""
SWAP = """
    andi t0, s3, 31
    bnez t0, over
    ld t0, 0(s4)
    ld t1, 8(s4)
    sd t1, 0(s4)
    sd t0, 8(s4)
over:
"""
PATCH = """
    andi t0, s3, 31
    bnez t0, over
    ld t0, 0(s4)
    lw t1, 0(t0)
    lui t2, 0x100
    xor t1, t1, t2
    sw t1, 0(t0)
    fence.i
over:
"""
FUNCTION = """
    add a0, a0, s2
    xor a1, a1, a0
    ret
"""


def run_both(parts: dict[int, str], turns: int = 12) -> Any:
    """The same by the interpreter and by regions, compared at many places; the latter."""
    expected, its_memory = machine(Interpreter, parts)
    regions, memory = machine(Eager, parts)
    for turn in range(turns):
        expected.run(2911)
        regions.run(2911)
        compare(state(expected, its_memory), state(regions, memory))
        if turn < 6:
            regions.compile_here()
    finish(expected)
    finish(regions)
    compare(state(expected, its_memory), state(regions, memory))
    assert regions.installed > 0
    return regions


@pytest.mark.parametrize("between", ["", "addi t1, t1, 16"], ids=["pair", "longer"])
def test_a_call_by_auipc_and_jalr_stays_inside(between: str) -> None:
    back = "j again - 4"
    call = FAR_CALL.format(between=between, back=back)
    at = 0x2000 + 4 + 16 + (16 if between else 0)
    parts = {0: call, at: FUNCTION}
    graph = explore(Code(lambda distance: _page(parts, distance)), 4)
    assert at in graph.operations
    run_both(parts)


def test_a_path_past_auipc_may_bring_another_address() -> None:
    """The same jalr is reached with t1 as another function's address."""
    back = "la t1, other - 16\n    li s2, 40\n    j again + 4"
    call = FAR_CALL.format(between="", back=back)
    other = "\nother:\n    sub a0, a0, s2\n    ret\n"
    parts = {0: call + other, 0x2014: FUNCTION}
    graph = explore(Code(lambda distance: _page(parts, distance)), 4)
    jump = graph.operations[8]
    assert jump.one.name == "jalr"
    assert jump.goes is None
    assert run_both(parts).hart(0).x[10] != 0


def _page(parts: dict[int, str], distance: int) -> bytes | None:
    code = bytearray(1 << 15)
    for at, text in parts.items():
        made = assemble_text(text, at)
        code[at : at + len(made)] = made
    return bytes(code[4096 * distance : 4096 * (distance + 1)]) if 0 <= distance < 8 else None


def _pointers(mask: int, change: str, far: int = 0x2000) -> dict[int, str]:
    table = "\n".join(f".dword {BASE + far + 16 * i}" for i in range(mask + 1))
    return {0: POINTERS.format(mask=mask, change=change), far: LEAVES, 0x5000: table}


@pytest.mark.parametrize("far", [0x400, 0x2000], ids=["near", "far"])
@pytest.mark.parametrize(
    ("mask", "change"),
    [(0, ""), (1, ""), (3, ""), (1, SWAP), (1, PATCH)],
    ids=["one", "two", "four", "changing", "patched"],
)
def test_regions_learn_where_pointers_lead(mask: int, change: str, far: int) -> None:
    parts = _pointers(mask, change, far)
    expected, its_memory = machine(Interpreter, parts, 6000)
    regions, memory = machine(Learning, parts, 6000)
    for turn in range(60):
        expected.run(32749)
        regions.run(32749)
        compare(state(expected, its_memory), state(regions, memory))
        if turn == 2 or (turn > 20 and not regions.recompiled):
            regions.compile_here()
        regions.learn()
    assert any(region.targets for region in regions.all_regions())
    jump = BASE + 4 * 7
    inside = [region for region in regions.all_regions() if region.targets]
    assert {BASE + at for region in inside for at, _ in region.targets} == {jump}
    for _ in range(8):
        expected.run(2903)
        regions.run(2903)
        compare(state(expected, its_memory), state(regions, memory))


def test_targets_that_cover_little_are_not_compared_with() -> None:
    targets, place = JumpTargets(), (3, 0x80)
    for turn in range(64):
        targets.learn(place, 32 * (turn % 8))
    assert targets.of(place) == ()
    for _ in range(256):
        targets.learn(place, (1 << 64) - 16)
    assert targets.of(place) == (-16,)
    assert not targets.learn(place, 1 << 40)
    assert targets.of((4, 0x80)) == ()


def test_far_callees_are_followed_from_small_regions_only() -> None:
    call = "auipc t1, 2\n    jalr ra, 0(t1)\n"
    small, large = ("addi a0, a0, 1\n" * n + call + "    ret\n" for n in (8, 80))
    for text, followed in ((small, True), (large, False)):
        at = 0x2000 + (32 if followed else 320)
        parts = {0: text, at: FUNCTION}
        graph = explore(Code(partial(_page, parts)), 0)
        assert (at in graph.operations) is followed
        run = next(op for op in graph.operations.values() if op.one.name == "jalr" and op.calls)
        assert run.goes == at
        assert (run.next in graph.entries) is not followed
