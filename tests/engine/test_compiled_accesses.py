"""Groups of accesses in compiled code: at pages' ends, and where a look-up no longer holds."""

from __future__ import annotations

from typing import Any

import pytest

from ringzero.engine.compiler import Compiled
from ringzero.engine.interpreter import Interpreter
from ringzero.isa.tools.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import First, Second, compare, finish, state
from tests.engine.two_pages import ALL, READ_ONLY, REMAP, machine

# Loads and stores around one register, which steps over the end of RAM in the midst of a run of
# them; the base is loaded over, written between two accesses, and x0 is written.
PROGRAM = """
loop:
    ld t1, -16(a0)
    sd t1, -8(a0)
    ld t2, 0(a0)
    lw t3, 8(a0)
    sb t2, 15(a0)
    lhu zero, 2(a0)
    ld a2, 3(a0)
    add a3, a3, a2
    sd a0, 16(a0)
    sd a3, 24(a0)
    addi a0, a0, 8
    ld a4, 0(a0)
    ld a5, -24(a0)
    sd a5, 8(a1)
    sd a4, 0(a1)
    ld a1, 0(a1)
    ld a1, 24(s1)
    ld a5, 0(a1)
    addi s0, s0, -1
    bnez s0, loop
end:
    wfi
    j end
.align 9
handler:
    csrr t6, mepc
    addi t6, t6, 4
    csrw mepc, t6
    addi s2, s2, 1
    mret
"""


@pytest.mark.parametrize("make", [First, Second], ids=["first", "second"])
@pytest.mark.parametrize("change", ["", REMAP], ids=["still", "remapped"])
@pytest.mark.parametrize("second", [ALL, READ_ONLY, 0], ids=["all", "read-only", "unmapped"])
@pytest.mark.parametrize("step", [8, 3, 40])
def test_a_step_onto_another_page(
    make: type[Compiled], step: int, second: int, change: str
) -> None:
    expected, its_memory = machine(Interpreter, step, second, change)
    compiled, memory = machine(make, step, second, change)
    for _ in range(8):
        for harts in (expected, compiled):
            harts._run(harts.elapsed + 1500)
        compare(state(expected, its_memory), state(compiled, memory))
    finish(expected)
    finish(compiled)
    compare(state(expected, its_memory), state(compiled, memory))
    assert compiled.compiling.state.instructions > 0
    compiled.close()


def at_the_end_of_memory(make: Any, before: int) -> tuple[Any, GuestMemory]:
    """A hart in M-mode, `before` bytes before the end of RAM."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(BASE, assemble_text(PROGRAM, BASE))
    hart, end, own = harts.hart(0), BASE + (4 << 20), BASE + 0x3000
    memory.write(own + 24, own.to_bytes(8, "little"))
    memory.write(end - 4096, bytes(i * 5 & 0xFF for i in range(4096)))
    fields = {"pc": BASE, "mode": 3, "mtvec": BASE + 0x200}
    for name, value in fields.items():
        setattr(hart, name, type(getattr(hart, name))(value))
    for number, value in ((10, end - before), (11, own), (9, own), (8, 60)):
        hart.x[number] = value
    return harts, memory


@pytest.mark.parametrize("make", [First, Second], ids=["first", "second"])
@pytest.mark.parametrize("before", [300, 301, 4096 + 100, 4096 + 96])
def test_accesses_to_the_end_of_memory(make: type[Compiled], before: int) -> None:
    expected, its_memory = at_the_end_of_memory(Interpreter, before)
    compiled, memory = at_the_end_of_memory(make, before)
    for _ in range(12):
        for harts in (expected, compiled):
            harts._run(harts.elapsed + 100)
        compare(state(expected, its_memory), state(compiled, memory))
    finish(expected)
    finish(compiled)
    compare(state(expected, its_memory), state(compiled, memory))
    assert (expected.hart(0).x[18] > 0) == (before < 4096)  # it trapped
    if make is Second:  # First compiles before it knows what follows
        assert compiled.compiling.state.instructions > 0
    compiled.close()
