"""Jumps through registers in regions: to addresses that the code makes of pc, and to any other."""

from __future__ import annotations

from typing import Any

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.region_graph import Code, explore
from ringzero.isa.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.random_programs import BASE
from tests.engine.test_engines_agree import Eager, compare, finish, state

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
FUNCTION = """
    add a0, a0, s2
    xor a1, a1, a0
    ret
"""


def machine(make: Any, parts: dict[int, str]) -> tuple[Any, GuestMemory]:
    """A hart in M-mode, at the beginning of code at these distances."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    for distance, text in parts.items():
        memory.write(BASE + distance, assemble_text(text, BASE + distance))
    hart = harts.hart(0)
    fields = {"pc": BASE, "mode": 3, "mstatus": 0xA_0000_0000, "stimecmp": (1 << 64) - 1,
              "reservation": (1 << 64) - 1}  # fmt: skip
    for name, value in fields.items():
        setattr(hart, name, type(getattr(hart, name))(value))
    hart.x[19] = 600
    return harts, memory


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
