"""Contexts of the TLB: one for each address space and state that translates differently.

A hart points at the set that holds for it (`Core.tlb`); a change of mode or SUM takes the pointer
that is bound to it, a write of satp leaves all sets as they are and looks for those of the new
space, which are taken from the longest unused where there are none. Supervisor mode without SUM
sees global pages and little else: all address spaces share its set, and what is not global in it
goes when another enters. Decision 24.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import page_number
from ringzero.engine.native.code.decoded_pages import INVALID
from ringzero.engine.native.state import (
    CONTEXT_SIZE,
    CONTEXTS,
    DECODED_MASKS,
    EXECUTES,
    GUEST_SUPERVISOR,
    GUEST_SUPERVISOR_SUM,
    GUEST_USER,
    LARGE,
    LARGE_WORDS,
    LOG,
    MACHINE,
    MMU_MODES,
    SUPERVISOR,
    SUPERVISOR_SUM,
    TABLES,
    TLB_SIZE,
    UNUSUAL,
    USER,
    WRITES,
    Core,
    TlbContext,
    TlbKey,
)
from ringzero.isa.hart import Hart, M, S
from ringzero.isa.privileged.paging import BARE, STATUS_MXR, STATUS_SUM, Translation
from ringzero.isa.privileged.trap import STATUS_MPP, STATUS_MPRV, STATUS_MPV
from ringzero.lang import advance, likely, native, typed_range, u16, u32, u64

OWN, GUEST = 1, 2  # regimes: V=0's translations, V=1's

# ---- what holds for a hart


@native
def mmu_mode_of(hart: Hart) -> u64:
    """Which of the bound sets holds translations for the hart as it is."""
    if hart.mstatus & (STATUS_MXR | STATUS_MPRV) != 0:
        if hart.mode != M or hart.mstatus & STATUS_MPRV != 0:
            return UNUSUAL
    if hart.virtual != 0:
        return guest_mmu_mode_of(hart)
    if hart.mode == M:
        return MACHINE
    if hart.mode != S:
        return USER
    if hart.mstatus & STATUS_SUM != 0:
        return SUPERVISOR_SUM
    return SUPERVISOR


@native
def guest_mmu_mode_of(hart: Hart) -> u64:
    """The same while V=1."""
    if hart.vsstatus & STATUS_MXR != 0:
        return UNUSUAL
    if hart.mode != S:
        return GUEST_USER
    if hart.vsstatus & STATUS_SUM != 0:
        return GUEST_SUPERVISOR_SUM
    return GUEST_SUPERVISOR


@native
def key_of(hart: Hart, mmu_mode: u64, key: TlbKey) -> None:
    """All that translation depends on, but for what voids all translations when it changes."""
    key.mmu_mode = mmu_mode
    key.regime = OWN
    if hart.virtual != 0:
        key.regime = GUEST
    if mmu_mode == UNUSUAL:
        key.mmu_mode = mmu_mode | unusual_state(hart)
        if hart.mstatus & STATUS_MPRV != 0:
            key.regime = OWN
            if hart.mstatus & STATUS_MPV != 0:
                key.regime = GUEST
            if hart.mode != M:
                key.regime = OWN | GUEST
    key.guest = 0
    root = hart.satp
    if key.regime == GUEST:
        key.guest = translating(hart.hgatp)
        root = hart.vsatp
    key.space = translating(root)
    if mmu_mode == MACHINE:
        key.regime = 0
        key.space = 0
    key.digest = digest_of(key)


@native
def unusual_state(hart: Hart) -> u64:
    """What else matters where the MMU mode is UNUSUAL, above the mode's bits."""
    status = hart.mstatus & (STATUS_MPRV | STATUS_MXR | STATUS_SUM | STATUS_MPP | STATUS_MPV)
    guests = (hart.vsstatus & (STATUS_MXR | STATUS_SUM)) >> 12
    return status << 12 | guests | hart.mode << 3 | hart.virtual << 5


@native
def translating(root: u64) -> u64:
    """A root register, or 0 where it translates nothing."""
    return root if root >> 60 != BARE else u64(0)


@native
def shared(mmu_mode: u64) -> bool:
    """Whether all address spaces of a format use one set."""
    if mmu_mode == SUPERVISOR:
        return True
    return mmu_mode == GUEST_SUPERVISOR


@native
def digest_of(key: TlbKey) -> u64:
    """A number that is the same for the same set, and 0 for none."""
    space = key.space
    if shared(key.mmu_mode):
        space = space >> 60
    return (space * 0x9E37_79B9_7F4A_7C15 + key.guest) * 0xC2B2_AE3D_27D4_EB4F + key.mmu_mode + 1


# ---- which set it uses


@native
def select_context(core: Core) -> None:
    """Point the hart at the tables that hold for it as it is."""
    mmu_mode = mmu_mode_of(core.hart)
    bound = core.bound[mmu_mode]
    if likely(bound != 0 and mmu_mode != UNUSUAL):
        core.context = bound - 1
    else:
        core.context = find_context(core, mmu_mode)
    core.mmu_mode = mmu_mode
    core.tlb = advance(core.tables, core.context * CONTEXT_SIZE)


@native
def leave_space(core: Core) -> None:
    """A root was written: the sets of what it names are to be looked for."""
    for mmu_mode in typed_range(u64(MMU_MODES)):
        core.bound[mmu_mode] = 0


@native(cold=True)
def find_context(core: Core, mmu_mode: u64) -> u64:
    """The set for the hart as it is; the longest unused, emptied, if there is none."""
    key = TlbKey()
    key_of(core.hart, mmu_mode, key)
    core.chosen += 1
    index = search(core, key)
    if index == CONTEXTS:
        index = claim(core)
        core.digests[index] = key.digest
    found = core.contexts[index]
    if found.key.space != key.space and found.private != 0:
        clear_context(core, index)
    if key.regime == OWN | GUEST:
        clear_context(core, index)  # MPRV below M-mode: any fence may concern it
    found.used = core.chosen
    found.key.mmu_mode = key.mmu_mode
    found.key.space = key.space
    found.key.guest = key.guest
    found.key.regime = key.regime
    core.bound[mmu_mode] = index + 1
    return index


@native
def search(core: Core, key: TlbKey) -> u64:
    """The set for a key, or SETS."""
    for index in typed_range(u64(CONTEXTS)):
        if core.digests[index] == key.digest and same(core.contexts[index].key, key):
            return index
    return u64(CONTEXTS)


@native
def same(one: TlbKey, other: TlbKey) -> bool:
    """Whether two keys stand for one set."""
    if one.mmu_mode != other.mmu_mode or one.guest != other.guest:
        return False
    if shared(one.mmu_mode):
        return one.space >> 60 == other.space >> 60
    return one.space == other.space


@native
def claim(core: Core) -> u64:
    """Take the longest unused set, and empty it."""
    chosen = u64(0)
    for index in typed_range(u64(CONTEXTS)):
        if core.contexts[index].used < core.contexts[chosen].used:
            chosen = index
    core.claimed += 1
    clear_context(core, chosen)
    for mmu_mode in typed_range(u64(MMU_MODES)):
        if core.bound[mmu_mode] == chosen + 1:
            core.bound[mmu_mode] = 0
    for table in range(TABLES):  # other entries of fresh memory can match no address
        core.tables[chosen * CONTEXT_SIZE + table * TLB_SIZE].tag = INVALID
    return chosen


# ---- what is in a set


@native
def describe(core: Core, address: u64, found: Translation) -> None:
    """Note what fences will have to know of a page that is about to be cached."""
    present = core.contexts[core.context]
    if not found.everyone:
        present.private += 1
    if found.size > 4096:
        present.pieces += 1
        core.superpages = core.superpages | (u64(1) << core.context)
        if found.size > 1 << 30:
            present.tera = 1
        elif found.size > 1 << 21:
            note_superpage(present, giga_number(address))
        else:
            note_superpage(present, mega_number(address))


@native
def mega_number(address: u64) -> u64:
    """Of the 2 MiB around an address."""
    return (address >> 21) + 1


@native
def giga_number(address: u64) -> u64:
    """Of the 1 GiB around an address."""
    return (address >> 30) + (1 << 50)


@native
def note_superpage(here: TlbContext, number: u64) -> None:
    """Pieces of it are in a set."""
    place = number & (LARGE - 1)
    other = (number * 0x9E37_79B9_7F4A_7C15) >> 54
    if here.large[place] == number or here.large[other] == number:
        return
    if here.large[place] == 0:
        here.large[place] = number
    elif here.large[other] == 0:
        here.large[other] = number
    else:
        word = (number >> 6) & (LARGE_WORDS - 1)
        here.others[word] = here.others[word] | (u64(1) << number)


@native
def has_pieces(here: TlbContext, number: u64) -> bool:
    """Whether pieces of a superpage may be in a set."""
    if here.large[number & (LARGE - 1)] == number:
        return True
    if here.large[(number * 0x9E37_79B9_7F4A_7C15) >> 54] == number:
        return True
    return (here.others[(number >> 6) & (LARGE_WORDS - 1)] >> number) & 1 != 0


@native
def enter(core: Core, table: int, tag: u64, offset: u64) -> None:
    """Cache one page. Masks first: another hart may look for it (`pages.drop_entries`)."""
    present = core.contexts[core.context]
    index = (tag >> 12) & (TLB_SIZE - 1)
    if present.filled < LOG:
        present.entered[present.filled] = u16(index + table)
    present.filled += 1
    bit = u32(1) << u32(core.context)
    core.by_page[index] = core.by_page[index] | bit
    if table == WRITES:
        frame = ((tag + offset) >> 12) & (TLB_SIZE - 1)
        core.by_frame[frame] = core.by_frame[frame] | bit
    elif table == EXECUTES:
        decoded = page_number(offset) & (DECODED_MASKS - 1)
        core.by_decoded[decoded] = core.by_decoded[decoded] | bit
    entry = core.tlb[index + table]
    entry.tag = tag
    entry.offset = offset


@native
def clear_context(core: Core, index: u64) -> None:
    """Empty the tables of a set, at the cost of what they hold if that is little."""
    here = core.contexts[index]
    if here.filled == 0:
        return
    if here.filled <= LOG:
        for i in typed_range(here.filled):
            clear_place(core, index, u64(here.entered[i]))
    else:
        clear_all_places(core, index)
    here.filled = 0
    here.private = 0
    if here.pieces != 0:
        here.pieces = 0
        here.tera = 0
        for i in typed_range(u64(LARGE)):
            here.large[i] = 0
        for i in typed_range(u64(LARGE_WORDS)):
            here.others[i] = 0
        core.superpages = core.superpages & ~(u64(1) << index)


@native
def clear_place(core: Core, index: u64, place: u64) -> None:
    """Drop an entry, and its bits in the masks."""
    entry = core.tables[index * CONTEXT_SIZE + place]
    bits = ~(u32(1) << u32(index))
    page = place & (TLB_SIZE - 1)
    core.by_page[page] = core.by_page[page] & bits
    if WRITES <= place < WRITES + TLB_SIZE:
        frame = ((entry.tag + entry.offset) >> 12) & (TLB_SIZE - 1)
        core.by_frame[frame] = core.by_frame[frame] & bits
    elif EXECUTES <= place < EXECUTES + TLB_SIZE:
        decoded = page_number(entry.offset) & (DECODED_MASKS - 1)
        core.by_decoded[decoded] = core.by_decoded[decoded] & bits
    entry.tag = INVALID


@native
def clear_all_places(core: Core, index: u64) -> None:
    """The same for all of a set."""
    for i in typed_range(u64(CONTEXT_SIZE)):
        core.tables[index * CONTEXT_SIZE + i].tag = INVALID
    bits = ~(u32(1) << u32(index))
    for i in typed_range(u64(TLB_SIZE)):
        core.by_page[i] = core.by_page[i] & bits
        core.by_frame[i] = core.by_frame[i] & bits
    for i in typed_range(u64(DECODED_MASKS)):
        core.by_decoded[i] = core.by_decoded[i] & bits
