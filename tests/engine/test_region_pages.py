"""Regions that run through two pages, while the second one changes under them."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.native.code.decoded_pages import INVALID
from ringzero.engine.native.state import Link
from ringzero.engine.regions.find.graph import LIMIT, Code, explore
from ringzero.isa.tools.program import assemble_text
from ringzero.lang.host import view
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.machines import begin, open_memory
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import Eager, compare, finish, state

TABLES = BASE + 0x10_0000
SATP = 8 << 60 | TABLES >> 12  # Sv39
ONE, TWO, DATA, STACK = (BASE + 0x20_0000 + 4096 * i for i in range(4))
CODE = 0x40_0000  # virtual: the loop, the page that changes, data, page table, an alias, stack
PTE = 0xCF  # valid, readable, writable, executable, accessed, dirty

PROGRAM = """
loop:
    li s2, 50
again:
    addi sp, sp, -16
    sd s2, 0(sp)
    sd a0, 8(sp)
    jal ra, leaf
    ld s2, 0(sp)
    addi sp, sp, 16
    addi s2, s2, -1
    bnez s2, again
    {change}
    addi s3, s3, -1
    bnez s3, loop
end:
    wfi
    j end
.align 8
handler:
    csrr t1, scause
    addi t1, t1, -12
    beqz t1, map
    csrr t1, sepc
    addi t1, t1, 4
    csrw sepc, t1
    sret
map:
    {remap}
    sret
.align 12
leaf:
    addi a0, a0, {add}
    ld t0, 0(s7)
    add a1, a1, t0
    sd a1, 8(s7)
    {last}
    ret
"""

REMAP = """
    ld t0, 256(s7)
    ld t1, 264(s7)
    sd t1, 256(s7)
    sd t0, 264(s7)
    sd t1, 0(s5)
    sfence.vma
"""

PATCH = """
    lw t0, 0(s6)
    lui t1, 0x100
    xor t0, t0, t1
    sw t0, 0(s6)
    fence.i
"""

UNMAP = """
    sd zero, 0(s5)
    sfence.vma
"""


def machine(make: Any, change: str, last: str) -> tuple[Any, GuestMemory]:
    """A hart in S-mode, with one page that loops and one that it calls."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    for page, add in ((TWO, 100), (ONE, 1)):
        code = assemble_text(PROGRAM.format(change=change, add=add, last=last, remap=REMAP), CODE)
        memory.write(BASE, code[:4096])
        memory.write(page, code[4096:])
    lowest = TABLES + 0x2000
    _write(memory, TABLES, (TABLES + 0x1000) >> 2 | 1)
    _write(memory, TABLES + 0x1000 + 8 * 2, lowest >> 2 | 1)
    for index, page in enumerate((BASE, ONE, DATA, lowest, ONE, STACK)):
        _write(memory, lowest + 8 * index, page >> 2 | PTE)
    _write(memory, DATA + 256, ONE >> 2 | PTE)
    _write(memory, DATA + 264, TWO >> 2 | PTE)
    _write(memory, DATA, 12345)
    hart = begin(
        harts, CODE, mode=1, satp=8 << 60 | TABLES >> 12, stvec=CODE + 0x100, medeleg=0xFFFF
    )
    for number, value in ((2, 0x5800), (19, 3000), (21, 0x3008), (22, 0x4000), (23, 0x2000)):
        hart.x[number] = CODE + value if number != 19 else value
    open_memory(hart)
    return harts, memory


def _write(memory: GuestMemory, address: int, value: int) -> None:
    memory.write(address, value.to_bytes(8, "little"))


def links(harts: Any) -> list[Any]:
    """What regions expect of other pages."""
    size = ctypes.sizeof(view(Link))
    count = harts._compiler.code.newest.links
    return [view(Link).from_address(harts.shared.links + i * size) for i in range(count)]


@pytest.mark.parametrize(
    ("change", "last"),
    [
        ("", ""),
        (REMAP, ""),
        (PATCH, ""),
        (PATCH, "ld t2, 0(a0)"),
        (REMAP, "ld t2, -8(sp)"),
        (UNMAP, ""),
    ],
    ids=["still", "remapped", "patched", "faulting", "missing", "unmapped"],
)
def test_the_second_page_changes(change: str, last: str) -> None:
    expected, its_memory = machine(Interpreter, change, last)
    regions, memory = machine(Eager, change, last)
    bound = 0
    for turn in range(16):
        expected.run(2911)
        regions.run(2911)
        compare(state(expected, its_memory), state(regions, memory))
        if turn < 10:
            regions.compile_here()
        if regions.installed:
            bound += any(link.bound != INVALID or link.refused for link in links(regions))
    finish(expected)
    finish(regions)
    compare(state(expected, its_memory), state(regions, memory))
    assert regions.installed > 0
    assert bound > 0


def test_profile_tells_of_regions_and_side_exits() -> None:
    regions, _ = machine(Eager, REMAP, "")
    for _ in range(8):
        regions.run(2911)
        regions.compile_here()
    seen = regions.profile()
    assert seen.compiled <= seen.loaded == regions.installed > 0  # some are from disk
    assert seen.side_exits == sum(seen.exits_by_address.values()) > 0
    assert all(BASE <= address < STACK for address in seen.exits_by_address)


def test_a_long_path_ends_where_another_region_begins() -> None:
    page = assemble_text("addi a0, a0, 1\n" * 400, 0)
    everything = explore(Code.single(page), 0)
    assert len(everything.operations) == LIMIT
    assert everything.frontier == {4 * LIMIT}
    parted = explore(Code(lambda distance: page, taken=lambda at: at in (8, 400)), 0)
    assert max(parted.operations) == 396
