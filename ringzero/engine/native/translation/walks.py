"""Walks of page tables, counted: how often the TLB is refilled, and what that reads.

Instructions do not show how long walks are, and two stages make them long. Nothing is counted
where the cache hits.
"""

from __future__ import annotations

from ringzero.engine.native.state import MACHINE, Core, core_of
from ringzero.isa.hart import Hart
from ringzero.isa.privileged import paging
from ringzero.isa.privileged.paging import Translation, translate_page
from ringzero.lang import native, original, u64

read_entry_definition = original(paging.read_entry)


@native
def read_entry(hart: Hart, stage: int, where: u64, address: u64, access: int) -> u64:
    """`isa.paging.read_entry`, counted: what instructions do not show of a walk's length."""
    core = core_of(hart)
    if core.aside == 0:
        core.entries[stage] += 1
    return read_entry_definition(hart, stage, where, address, access)


@native
def find_page(core: Core, address: u64, kind: int, found: Translation) -> None:
    """Translate a page for the tables."""
    if core.mmu_mode != MACHINE:
        core.refills = u64(core.refills + 1)
    translate_page(core.hart, address, kind, found)
