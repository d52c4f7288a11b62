"""Code that may be executed but not decoded as a page: pages that PMP divides, and ROM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringzero.engine.interpreter.engine import Interpreter
from ringzero.engine.reference.harts import ReferenceHarts
from ringzero.isa.tools.program import assemble_text, labels
from ringzero.outcome import PoweredOff
from tests.engine.machines import ALL_ENGINES, bare
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import compare, finish, start, state
from tests.guest_files import RAM
from tests.limits import HUNG

EXIT = """
exit:
    la t6, tohost
    li t5, 1
    sd t5, 0(t6)
hang:
    j hang
handler:
    csrr s8, mcause
    csrr s9, mepc
    csrr s10, mtval
    csrr s11, mstatus
    j exit
"""
SEEN = ("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "a0", "a1", "ra")
COUNTED = 3_000  # rounds of the loop: enough for compiled blocks and regions around it

# A locked range of PMP ends in the middle of `divided`, which holds a loop that calls a function
# in a page of its own, branches, stores into itself, and takes a trap back to M-mode.
DIVIDED = f"""
    la t0, handler
    csrw mtvec, t0
    la t0, {{end}}
    srli t0, t0, 2
    csrw pmpaddr0, t0
    li t0, {{entry}}
    csrw pmpcfg0, t0
    li s0, {COUNTED}
    la s6, divided
    jalr s6
    j exit
{EXIT}
.balign 4096
function:
    addi s2, s2, 3
    beqz s4, back
    xor s2, s2, s0
back:
    ret
.balign 4096
divided:
    mv s5, ra
again:
    addi s1, s1, 1
    andi s4, s1, 1
    .half 1
    beqz s4, even
    call function
    j odd
even:
    la t1, changed
    lw t2, 0(t1)
    slli t3, s4, 20
    add t2, t2, t3
    sw t2, 0(t1)
    fence.i
changed:
    addi s3, s3, 7
odd:
    rdinstret s7
    addi s0, s0, -1
    bnez s0, again
    jr s5
.balign 64
middle:
    .zero 30
    .half 1
last:
    nop
    nop
.balign 4096
"""


def ended(text: str, folder: Path, engine: str, **start: int) -> tuple[dict[str, int], Any]:
    """The registers at the end of a program, and how it ended."""
    with bare(text, folder, engine, clock="instructions") as machine:
        outcome = machine.run(instructions=10 * COUNTED * 20)
        return {name: machine.read_register(name) for name in SEEN}, outcome


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the reference engine, which divides nothing into pages, makes of the loop."""
    text = DIVIDED.format(end="middle", entry=0x8F)
    found, outcome = ended(text, tmp_path_factory.mktemp("reference"), "reference")
    assert outcome == PoweredOff(0)
    assert found["s1"] == COUNTED
    assert found["s8"] == 0, "no trap was taken"
    return found


@pytest.mark.parametrize("engine", ALL_ENGINES[1:])
def test_a_page_that_pmp_divides_is_executed_where_pmp_permits(
    tmp_path: Path, engine: str, expected: dict[str, int]
) -> None:
    """Privileged spec 3.7: PMP decides by physical address, whatever page it is in."""
    found, outcome = ended(DIVIDED.format(end="middle", entry=0x8F), tmp_path, engine)
    assert outcome == PoweredOff(0)
    assert found == expected


@pytest.mark.parametrize("engine", ALL_ENGINES[1:])
def test_hot_code_calls_from_a_divided_page(tmp_path: Path, engine: str) -> None:
    """Long enough for the function that it calls to become a compiled block, and a region."""
    rounds = 40 * COUNTED
    text = DIVIDED.format(end="middle", entry=0x8F).replace(f"li s0, {COUNTED}", f"li s0, {rounds}")
    with bare(text, tmp_path, engine) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        found = {name: machine.read_register(name) for name in ("s0", "s1", "s2", "s3", "s8")}
    expected = 0
    for left in range(rounds, 0, -2):  # the odd rounds
        expected = expected + 3 ^ left
    assert found == {"s0": 0, "s1": rounds, "s2": expected, "s3": rounds // 2 * 7, "s8": 0}


LEAVES = """
    la t0, handler
    csrw mtvec, t0
    la t0, end
    srli t0, t0, 2
    csrw pmpaddr0, t0
    li t0, -1
    csrw pmpaddr1, t0
    li t0, 0x8b8f  # locked: RWX up to `end`, RW from there
    csrw pmpcfg0, t0
    j runs
{exit}
.balign 4096
runs:
    addi s0, s0, 1
    addi s1, s1, 1
.balign 4
end:
    addi s2, s2, 1
.balign 4096
"""


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_execution_ends_where_pmp_ends_it_inside_a_page(tmp_path: Path, engine: str) -> None:
    found, _ = ended(LEAVES.format(exit=EXIT), tmp_path, engine)
    assert (found["s0"], found["s1"], found["s2"]) == (1, 1, 0)
    assert (found["s8"], found["s9"], found["s10"]) == (1, 0x8000_1008, 0x8000_1008)


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_the_second_half_of_an_instruction_faults_at_its_own_address(
    tmp_path: Path, engine: str
) -> None:
    """mtval is the address of the portion of the instruction that faulted (spec 3.1.16)."""
    text = LEAVES.replace(".balign 4\nend:\n", ".half 1\n").replace(
        "la t0, end", "li t0, 0x8000100c"
    )
    found, _ = ended(text.format(exit=EXIT), tmp_path, engine)
    assert (found["s0"], found["s1"], found["s2"]) == (1, 1, 0)
    assert (found["s8"], found["s9"], found["s10"]) == (1, 0x8000_100A, 0x8000_100C)


BELOW = """
    la t0, handler
    csrw mtvec, t0
    la t0, first
    srli t0, t0, 2
    csrw pmpaddr0, t0
    la t0, second
    srli t0, t0, 2
    csrw pmpaddr1, t0
    li t0, -1
    csrw pmpaddr2, t0
    li t0, {entries}
    csrw pmpcfg0, t0
    la t0, user
    csrw mepc, t0
    mret
{exit}
.balign 4096
user:
    li s0, 300
first:
    addi s1, s1, 1
    addi s0, s0, -1
    bnez s0, first
second:
    addi s2, s2, 1
    ecall
.balign 4096
"""


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize(
    ("entries", "cause", "where"),
    [
        (0x0F0F0F, 8, "second"),  # three ranges, all of which U-mode may execute
        (0x080F0F, 1, "second"),  # the last one it may not
        (0x0F080F, 1, "first"),
    ],
)
def test_user_mode_executes_the_ranges_that_it_may(
    tmp_path: Path, engine: str, entries: int, cause: int, where: str
) -> None:
    text = BELOW.format(entries=entries, exit=EXIT)
    found, outcome = ended(text, tmp_path, engine)
    assert outcome == PoweredOff(0)
    assert found["s8"] == cause
    at = labels(text, RAM)[where]
    assert found["s9"] == (at + 4 if cause == 8 else at)


IN_ROM = f"""
    la t0, handler
    csrw mtvec, t0
    li t0, 0x2000
    li s0, {COUNTED}
    jalr s6, 0(t0)
    j exit
{EXIT}
"""
ROM_TEXT = """
    mv s7, s6
more:
    addi s1, s1, 1
    .half 1
    andi s2, s1, 3
    bnez s2, odd
    addi s3, s3, 5
odd:
    auipc s4, 0
    addi s0, s0, -1
    bnez s0, more
    .half 1
    jr s7
"""


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_code_in_rom_is_executed(tmp_path: Path, engine: str) -> None:
    with bare(IN_ROM, tmp_path, engine, clock="instructions") as machine:
        rom = machine.board.rom
        code = assemble_text(ROM_TEXT, 0x2000)
        rom.content = rom.content[:0x1000] + code + rom.content[0x1000 + len(code) :]
        assert machine.run(instructions=30 * COUNTED) == PoweredOff(0)
        assert machine.read_register("s1") == COUNTED
        assert machine.read_register("s3") == COUNTED // 4 * 5
        assert machine.read_register("s4") == 0x2000 + labels(ROM_TEXT)["odd"]
        assert machine.read_register("s8") == 0, "a trap was taken"


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_single_steps_through_code_in_rom(tmp_path: Path, engine: str) -> None:
    with bare("j 0x80000000", tmp_path, engine) as machine:
        rom = machine.board.rom
        code = assemble_text(
            "addi a0, a0, 1\nbeqz zero, 0x2008\naddi a0, a0, 1\naddi a0, a0, 2", 0x2000
        )
        rom.content = rom.content[:0x1000] + code + rom.content[0x1000 + len(code) :]
        machine.pc = 0x2000
        seen = []
        for _ in range(4):
            seen.append((machine.pc, machine.read_register("a0")))
            machine.step()
        assert seen == [(0x2000, 0), (0x2004, 1), (0x2008, 1), (0x200C, 2)]
        assert machine.read_register("a0") == 4


NA4_ALL = 0x17  # four bytes that everybody may access: they divide the page that they are in


def divide(harts: Any, *places: int) -> None:
    """Let PMP divide the pages of some addresses; in M-mode nothing is forbidden by that."""
    hart = harts.hart(0)
    for index, place in enumerate(places):
        hart.pmpaddr[index] = type(hart.pmpaddr[index])(place >> 2)
        entries = int(hart.pmpcfg[0]) | NA4_ALL << 8 * index
        hart.pmpcfg[0] = type(hart.pmpcfg[0])(entries)
    harts.flush_translations()


@pytest.mark.parametrize("seed", range(300, 306))
def test_random_programs_in_a_divided_page_equal_the_reference(seed: int) -> None:
    reference, its_memory = start(ReferenceHarts, seed)
    native, memory = start(Interpreter, seed)
    for harts in (reference, native):
        divide(harts, BASE + 0x7F8)
        harts.run(2000)
    compare(state(reference, its_memory), state(native, memory))


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("seed", range(310, 316))
def test_random_programs_over_a_page_that_is_divided_and_one_that_is_not(
    seed: int, page: int
) -> None:
    """Code that jumps between both, and changes itself, is what it is without PMP."""
    base = BASE + 4096 - 16 * (seed % 7) - 0x9C - 2 * (seed % 2)
    whole, its_memory = start(Interpreter, seed, base=base)
    divided, memory = start(Interpreter, seed, base=base)
    divide(divided, BASE + 4096 * page + 0xFFC)
    finish(whole)
    finish(divided)
    expected, found = state(whole, its_memory), state(divided, memory)
    for name in ("pmpcfg", "pmpaddr"):
        del expected[name], found[name]
    compare(expected, found)
