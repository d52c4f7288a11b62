"""Misaligned accesses in regions: they leave, until the region is compiled again for them."""

from __future__ import annotations

import pytest

from ringzero.engine.interpreter import Interpreter
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import Learning, compare, machine, state

pytestmark = pytest.mark.usefixtures("cold_regions")

COPY = """
    auipc s4, 5
    addi s5, s4, {from}
    addi s6, s4, {to}
loop:
    li s2, 40
    mv a1, s5
    mv a2, s6
again:
    ld a3, 0(a1)
    addi a1, a1, 8
    addi a2, a2, 8
    sd a3, -8(a2)
    lhu a4, 1(a1)
    add a5, a5, a4
    addi s2, s2, -1
    bnez s2, again
    addi s3, s3, -1
    bnez s3, loop
end:
    wfi
    j end
"""


@pytest.mark.parametrize(
    ("source", "target"), [(3, 1024), (8, 1021), (0x400 - 0x200 + 1, -0x155)], ids=str
)
def test_misaligned_accesses_stay_inside(source: int, target: int) -> None:
    text = COPY.replace("{from}", str(source)).replace("{to}", str(target))
    numbers = [0x0102_0304_0506_0708 * (i + 1) % (1 << 64) for i in range(256)]
    data = "\n".join(f".dword {number}" for number in numbers)
    parts = {0: text, 0x5000: data}
    expected, its_memory = machine(Interpreter, parts, 20_000)
    regions, memory = machine(Learning, parts, 20_000)
    for turn in range(16):
        expected.run(60_013)
        regions.run(60_013)
        compare(state(expected, its_memory), state(regions, memory))
        if turn == 1:
            regions.compile_here()
        regions.learn()
        while regions._hot_exits:
            regions._recompile_at_exit(*regions._hot_exits.popleft())
        regions.between()
    left = regions.profile().side_exits
    assert left > 8192, "nothing here leaves a region"
    expected.run(400_000)
    regions.run(400_000)
    compare(state(expected, its_memory), state(regions, memory))
    crossing = 400_000 // (40 * 8) * 2  # at a page's end, once in a round and access
    assert regions.profile().side_exits - left <= crossing
    assert BASE <= int(regions.hart(0).pc) < BASE + 4096
