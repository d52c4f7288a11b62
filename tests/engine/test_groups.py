"""Groups of accesses in compiled code: random ones around two registers, over pages and their ends.

A group shares one look at the TLB. What could go wrong is an access that is taken for one of the
group and is not: on another page, misaligned, or a store where only loads were looked up.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringzero.engine.compiler import Compiled
from ringzero.engine.interpreter import Interpreter
from ringzero.isa.tools.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import compare, finish, state

RAM = 4 << 20
FRAME = """
loop:
    {accesses}
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
LOADS = {1: ("lb", "lbu"), 2: ("lh", "lhu"), 4: ("lw", "lwu"), 8: ("ld",)}
STORES = {1: "sb", 2: "sh", 4: "sw", 8: "sd"}


def accesses(chance: random.Random) -> str:
    """Loads and stores around a0 and a1, mostly near each other, mostly aligned."""
    lines = []
    for _ in range(chance.randrange(8, 30)):
        size = chance.choice((1, 2, 4, 4, 8, 8, 8))
        reach = chance.choice((32, 32, 128, 2000))
        offset = chance.randrange(-reach, reach)
        if chance.random() < 0.9:
            offset = offset // size * size
        base = chance.choice(("a0", "a0", "a0", "a1"))
        kind = chance.random()
        if kind < 0.55:
            name = chance.choice(LOADS[size])
            lines.append(f"{name} {chance.choice(('a2', 't0', 't1', 's3'))}, {offset}({base})")
        elif kind < 0.9:
            lines.append(f"{STORES[size]} {chance.choice(('a2', 't0', 's3', 'zero'))}, "
                         f"{offset}({base})")  # fmt: skip
        else:
            lines.append(f"addi {base}, {base}, {chance.choice((8, -8, 4, 64, 1, 2040))}")
    return "\n    ".join(lines)


class Second(Compiled):
    """Compiles a block when it is executed for the second time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.compiling.state.threshold = 2


class ThroughTlb(Second):
    """The same where M-mode reads memory through the TLB as other modes do."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.compiling.state.mapped = 1


def begin(make: Any, seed: int) -> tuple[Any, GuestMemory]:
    """A hart in M-mode at a random program, its bases near the ends of pages or of RAM."""
    chance = random.Random(seed)
    memory = GuestMemory(RAM)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(BASE, assemble_text(FRAME.format(accesses=accesses(chance)), BASE))
    memory.write(BASE + 0x8000, bytes(i * 7 & 0xFF for i in range(0x8000)))
    hart = harts.hart(0)
    for name, value in {"pc": BASE, "mode": 3, "mtvec": BASE + 0x200}.items():
        setattr(hart, name, type(getattr(hart, name))(value))
    ends = (BASE + 0xA000, BASE + 0xB000, BASE + RAM)
    for number in (10, 11):
        near = chance.choice(ends) - chance.choice((0, 8, 16, 64, 100, 1024))
        hart.x[number] = near - chance.choice((0, 0, 0, 1, 4))
    hart.x[8], hart.x[12], hart.x[19] = 40, 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210
    return harts, memory


@pytest.mark.parametrize("make", [Second, ThroughTlb], ids=["direct", "through the TLB"])
@pytest.mark.parametrize("seed", range(60))
def test_accesses_of_a_group_are_those_of_the_interpreter(make: type[Compiled], seed: int) -> None:
    expected, its_memory = begin(Interpreter, seed)
    compiled, memory = begin(make, seed)
    for _ in range(6):
        for harts in (expected, compiled):
            harts._run(harts.elapsed + 150)
        compare(state(expected, its_memory), state(compiled, memory))
    finish(expected)
    finish(compiled)
    compare(state(expected, its_memory), state(compiled, memory))
    assert compiled.compiling.state.instructions > 0
    compiled.close()
