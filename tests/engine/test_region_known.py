"""Regions of a page that also holds data, and of one that is patched."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.regions.find.pages import CodePages
from ringzero.isa.tools.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.machines import begin
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import Eager, compare, finish, state

PROGRAM = """
    auipc s0, 0
    addi s0, s0, 1024
    li s3, 3000
again:
    andi t1, s3, 7
    slli t1, t1, 3
    add t1, t1, s0
    ld t2, 0(t1)
    add t2, t2, s3
    sd t2, 0(t1)
    add a0, a0, t2
    {change}
    addi s3, s3, -1
    bnez s3, again
end:
    wfi
    j end
"""

pytestmark = pytest.mark.usefixtures("cold_regions")

ADD = 0x00750533  # add a0, a0, t2; and with t1, once bit 20 is another

# Every 64th round the addition becomes another, and back.
PATCH = """
    andi t3, s3, 63
    bnez t3, on
    lw t4, {add}(s1)
    lui t5, 0x100
    xor t4, t4, t5
    sw t4, {add}(s1)
    fence.i
on:
"""


class Seeing(Eager):
    """Knows what ran, as the engine does."""

    @functools.cached_property
    def _pages(self) -> CodePages:
        return CodePages(self.shared, self.cores, self.memory, self._targets)


def machine(make: Any, change: str) -> tuple[Any, GuestMemory]:
    """A hart in M-mode that counts in the page that holds its loop."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    code = assemble_text(PROGRAM.format(change=change.format(add=0)), BASE)
    place = code.index(ADD.to_bytes(4, "little"))
    code = assemble_text(PROGRAM.format(change=change.format(add=place)), BASE)
    memory.write(BASE, code)
    hart = begin(harts, BASE)
    hart.x[9] = BASE
    return harts, memory


def run(change: str) -> Seeing:
    """A run with regions, after a look that it did what the interpreter does."""
    expected, its_memory = machine(Interpreter, change)
    regions, memory = machine(Seeing, change)
    for _ in range(10):
        expected.run(1511)
        regions.run(1511)
        compare(state(expected, its_memory), state(regions, memory))
        regions.compile_here()
    finish(expected)
    finish(regions)
    compare(state(expected, its_memory), state(regions, memory))
    assert isinstance(regions, Seeing)
    return regions


def test_data_beside_code_changes_no_region() -> None:
    regions = run("")
    assert regions.installed > 0
    assert len(regions._made) == 1  # one content of the page was ever looked up
    heads = [region.head for known in regions._made.values() for region in known.all()]
    assert len(heads) == len(set(heads))


def test_a_patched_loop_has_a_region_for_each_content() -> None:
    regions = run(PATCH)
    known = {(r.head, r.digest) for one in regions._made.values() for r in one.all()}
    assert len({digest for _, digest in known}) > 1
    assert regions.installed > 0


def test_another_run_finds_regions_under_the_first_content() -> None:
    first = run("")
    page = next(iter(first._made))
    later, memory = machine(Seeing, "")
    assert memory.read(BASE, 256) == page[:256]
    later.run(1511)
    later.compile_here()
    assert later._compiler.loaded > 0
    assert later._compiler.compiled == 0
