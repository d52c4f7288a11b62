"""Fences of translation: which contexts, and which of their entries, they concern.

Privileged spec 12.2.1 (sfence.vma) and 21.3.2 (hfence). A fence may drop more than it must and
never less. Where pieces of a superpage are, a fence for one address is one for all of its pieces.
"""

from __future__ import annotations

from ringzero.engine.native.code.decoded_pages import INVALID
from ringzero.engine.native.state import (
    CONTEXT_SIZE,
    CONTEXTS,
    TABLES,
    TLB_SIZE,
    Core,
    TlbContext,
    core_of,
)
from ringzero.engine.native.translation.contexts import (
    GUEST,
    OWN,
    clear_context,
    giga_number,
    has_pieces,
    mega_number,
    shared,
    translating,
)
from ringzero.isa.hart import Hart
from ringzero.isa.instructions.rv_h import OF_GUEST, OF_VIRTUAL
from ringzero.isa.instructions.rv_priv import ADDRESS_GIVEN, ASID_GIVEN
from ringzero.lang import ctz, native, typed_range, u32, u64

PAGE_MASK = ~0xFFF
SPACE_AT, SPACES = 44, 0xFFFF  # the ASID in satp and vsatp
MACHINE_AT, MACHINES = 44, 0x3FFF  # the VMID in hgatp


@native
def fence_translation(hart: Hart, address: u64, number: u64, which: u64) -> None:
    """sfence.vma, and hfence by `which`; in VS-mode sfence.vma is hfence.vvma of the present VM.

    A guest physical address may be behind any of its guest's entries.
    """
    core = core_of(hart)
    core.fences[which & 3] += 1
    if which & OF_GUEST != 0:
        fence_guests(core, number, which)
        return
    regime = u64(OWN)
    if which & OF_VIRTUAL != 0 or hart.virtual != 0:
        regime = u64(GUEST)
    if which & ADDRESS_GIVEN != 0:
        fence_page(core, regime, address, number, which)
        return
    for index in typed_range(u64(CONTEXTS)):
        here = core.contexts[index]
        if here.filled != 0 and concerned(core, here, regime, number, which):
            flush_context(core, index)


@native
def concerned(core: Core, here: TlbContext, regime: u64, asid: u64, which: u64) -> bool:
    """Whether a fence of a regime's translations by their virtual addresses is for a set.

    Global pages of a set that all address spaces share are none of one address space's.
    """
    if here.key.regime & regime == 0:
        return False
    if here.key.regime == OWN | GUEST:
        return True
    if regime == GUEST and not of_machine(here, translating(core.hart.hgatp) >> MACHINE_AT):
        return False
    if which & ASID_GIVEN == 0:
        return True
    if shared(here.key.mmu_mode) and here.private == 0:
        return False
    return (here.key.space >> SPACE_AT ^ asid) & SPACES == 0


@native
def of_machine(here: TlbContext, vmid: u64) -> bool:
    """Whether a set holds translations of a virtual machine."""
    return (here.key.guest >> MACHINE_AT ^ vmid) & MACHINES == 0


@native
def fence_guests(core: Core, vmid: u64, which: u64) -> None:
    """hfence.gvma, whatever address it gives."""
    for index in typed_range(u64(CONTEXTS)):
        here = core.contexts[index]
        if here.filled != 0 and here.key.regime & GUEST != 0:
            if which & ASID_GIVEN == 0 or here.key.regime != GUEST or of_machine(here, vmid):
                flush_context(core, index)


@native
def fence_page(core: Core, regime: u64, address: u64, asid: u64, which: u64) -> None:
    """A fence for one address: looks only at sets that may hold its page."""
    page = (address >> 12) & (TLB_SIZE - 1)
    left = u64(core.by_page[page]) | core.superpages
    while left != 0:
        index = ctz(left)
        left = left & (left - 1)
        here = core.contexts[index]
        if concerned(core, here, regime, asid, which):
            if here.pieces != 0 and in_superpage(here, address):
                drop_superpage(core, index, address)
            elif not drop_page(core, index, page, address & PAGE_MASK):
                core.by_page[page] = core.by_page[page] & ~(u32(1) << u32(index))


@native
def drop_page(core: Core, index: u64, page: u64, tag: u64) -> bool:
    """Drop a page from a set's tables; whether another stands in its place in one of them."""
    others = False
    for table in range(TABLES):
        entry = core.tables[index * CONTEXT_SIZE + table * TLB_SIZE + page]
        if entry.tag == tag:
            entry.tag = INVALID
        elif entry.tag >> 12 & (TLB_SIZE - 1) == page and entry.tag & 0xFFF == 0:
            others = True
    return others


@native
def in_superpage(here: TlbContext, address: u64) -> bool:
    """Whether pieces of a superpage around an address may be in a set."""
    if here.tera != 0 or has_pieces(here, mega_number(address)):
        return True
    return has_pieces(here, giga_number(address))


@native
def drop_superpage(core: Core, index: u64, address: u64) -> None:
    """Drop what a set holds of a superpage of 2 MiB; all it holds for a larger one."""
    here = core.contexts[index]
    if here.tera != 0 or has_pieces(here, giga_number(address)):
        flush_context(core, index)
        return
    first = index * CONTEXT_SIZE + ((address >> 12) & (TLB_SIZE - 512))
    for table in range(TABLES):
        for i in typed_range(u64(512)):
            entry = core.tables[first + table * TLB_SIZE + i]
            if entry.tag >> 21 == address >> 21:
                entry.tag = INVALID


@native
def flush_context(core: Core, index: u64) -> None:
    """Empty a set, counted."""
    core.flushed += 1
    clear_context(core, index)


@native(cold=True)
def flush_all(core: Core) -> None:
    """All translations are void: physical memory protection or envcfg has changed, or Python."""
    for index in typed_range(u64(CONTEXTS)):
        if core.contexts[index].filled != 0:
            flush_context(core, index)


@native(cold=True)
def flush_guests(core: Core) -> None:
    """Those of guest virtual addresses are."""
    for index in typed_range(u64(CONTEXTS)):
        here = core.contexts[index]
        if here.filled != 0 and here.key.regime & GUEST != 0:
            flush_context(core, index)
