"""Every fence of translation, with page tables that change under running code (`fence_guest`), in
every tier.

The reference engine walks tables afresh for each access, so whatever was fenced must be visible,
and what was not, need not have been.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.native.state import CONTEXTS
from ringzero.engine.ports import Stop, Why
from ringzero.engine.reference import ReferenceHarts
from ringzero.isa.tools.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.fence_guest import (
    CODE_AT,
    CODES,
    DATA_AT,
    RINGS,
    SPACES,
    SV39,
    USER,
    Ring,
    leaf,
    root,
    space_tables,
    start,
    table,
)
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import Eager, First, compare, state


def calls(harts: Any) -> int:
    """How many actions were asked for."""
    traps = harts.counts(0).traps
    return sum(traps.get(cause, 0) for cause in (8, 9, 10))


EVERYWHERE = pytest.mark.parametrize("ring", RINGS.values(), ids=RINGS)


class Forgetful(Interpreter):
    """Keeps no translation from one instruction to the next."""

    def run(self, instructions: int | None = None) -> Stop:
        end = self.elapsed + (instructions or 0)
        while self.elapsed < end:
            self.flush_translations()
            self.step()
        return Stop(Why.LIMIT, 0)


@EVERYWHERE
def test_the_interpreter_does_what_the_reference_does(ring: Ring) -> None:
    reference, its_memory = start(ReferenceHarts, ring, 0)
    native, memory = start(Interpreter, ring, 0)
    native.run(600)
    reference.run(native.elapsed)
    compare(state(reference, its_memory), state(native, memory))
    assert calls(native) > 0


@EVERYWHERE
@pytest.mark.parametrize("seed", range(10, 13))
def test_no_tier_sees_what_was_fenced(seed: int, ring: Ring) -> None:
    forgetful, its_memory = start(Forgetful, ring, seed)
    tiers = [start(make, ring, seed) for make in (Interpreter, First, Eager)]
    pick = random.Random(~seed)
    for _ in range(10):
        count = pick.randint(1, 5000)
        forgetful.run(count)
        expected = state(forgetful, its_memory)
        for harts, memory in tiers:
            harts.run(count)
            compare(expected, state(harts, memory))
        tiers[2][0].compile_here()
    assert tiers[2][0].installed > 0
    assert calls(forgetful) > 40


SWITCHING = """
    la t0, handler
    csrw mtvec, t0
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li s2, {first}
    li s3, {second}
    csrw satp, s2
    li s0, {data}
    li t0, {code}
    csrw mepc, t0
    li t0, {status}
    csrw mstatus, t0
    mret
.align 2
handler:
    csrw satp, s3
    mv t2, s2
    mv s2, s3
    mv s3, t2
    {fence}
    csrr t0, mepc
    addi t0, t0, 4
    csrw mepc, t0
    mret
"""
BODY = "ld t1, 0(s0)\nsd t1, 8(s0)\necall\n"


def switching(fence: str) -> Interpreter:
    """Two spaces take turns, at each system call from U."""
    memory = GuestMemory(16 << 20)
    harts = Interpreter(memory, Bus(), 1, deterministic=True)
    status = RINGS["U"].status
    words = SWITCHING.format(
        first=root(0), second=root(1), data=DATA_AT, code=CODE_AT, status=status, fence=fence
    )
    memory.write(BASE, assemble_text(words, BASE))
    for place in CODES:
        memory.write(place, assemble_text("body:\n" + BODY * 80 + "j body\n", CODE_AT))
    for number in range(2):
        for at, value in space_tables(number, RINGS["U"]).items():
            memory.write(at, value.to_bytes(8, "little"))
    harts.hart(0).pc, harts.hart(0).mode = BASE, 3
    return harts


@pytest.mark.parametrize(
    ("fence", "refills"),
    [("", 0), ("sfence.vma x0, x0", 3), (f"li t0, {SPACES[0]}\nsfence.vma x0, t0", 1.5),
     (f"li t0, {CODE_AT}\nsfence.vma t0, x0", 1), (f"li t0, {CODE_AT}\nli t1, 9\n"
      "sfence.vma t0, t1", 0)],
    ids=["none", "all", "space", "page", "another-space"],
)  # fmt: skip
def test_switches_cost_what_their_fences_drop(fence: str, refills: float) -> None:
    """Refills of code, loads and stores for each system call, once both spaces are known."""
    harts = switching(fence)
    harts.run(600)
    before = harts.counts(0)
    harts.run(600)
    after = harts.counts(0)
    turns = after.traps[8] - before.traps[8]
    assert turns > 30
    assert abs((after.refills - before.refills) / turns - refills) < 0.15


def test_more_spaces_than_sets() -> None:
    """The longest unused set is taken, and nothing of its former space is seen."""
    harts, pick = switching(""), random.Random(1)
    memory, hart, roots = harts.memory, harts.hart(0), []
    assert isinstance(memory, GuestMemory)
    for number in range(CONTEXTS + 9):
        at, data = BASE + 0x80_0000 + number * 0x3000, BASE + 0xA0_0000 + number * 0x1000
        entries = {at + 8: table(at + 0x1000), at + 0x1000: table(at + 0x2000)}
        entries |= {at + 0x2000: leaf(CODES[0], USER), at + 0x2040: leaf(data, USER)}
        for place, value in (entries | {data: number}).items():
            memory.write(place, value.to_bytes(8, "little"))
        roots.append(SV39 | (100 + number) << 44 | at >> 12)
    harts.run(60)
    for _ in range(300):
        number = pick.randrange(len(roots))
        hart.x[7] = hart.x[18] = hart.x[19] = roots[number]
        harts.run(40)
        assert hart.x[6] == number
    assert 20 < harts.profile().fresh - CONTEXTS < 300
