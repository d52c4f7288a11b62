"""Shadow page tables: what the real hart translates with while a guest runs.

A root is one guest address space as one virtual mode sees it under its SUM and MXR. Its leaves are
copies of what `paging.walk` finds in the guest's tables, made when the guest first touches a page,
and never permit more. A shadow is a translation cache: `sfence.vma` empties it. Tables below a root
hold nothing of the guest, so emptying a root clears its leaves only, which its log names.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, fence_space, fence_space_page, fence_translation
from ringzero.bare.stubs import fence_page as fence_address
from ringzero.hypervisor.techniques.translate import csr_page
from ringzero.hypervisor.vm.state import (
    GUEST_RAM,
    LOG,
    OPEN_RAM,
    PAGE,
    POOL_SIZE,
    POOLS,
    ROOTS,
    SUPERPAGE,
    Root,
    Vm,
    status,
)
from ringzero.isa.hart import S
from ringzero.isa.privileged.paging import (
    BARE,
    OWN,
    PPN,
    STATUS_MXR,
    STATUS_SUM,
    SV39,
    A,
    D,
    R,
    Translation,
    U,
    V,
    W,
    X,
    finish,
    read_entry,
    walk,
    well_formed,
)
from ringzero.isa.privileged.pmp import ALL
from ringzero.isa.privileged.trap import page_fault
from ringzero.lang import load, native, store, typed_range, u64

LEAF = R | W | X
SHARED = 1 << 8  # a software bit: other roots use the table below too (translate/copies.py)
WHOLE = LEAF | SHARED  # what stands for a page as a whole
SPACE_SHIFT, SPACES = 44, 1 << 16
ROOM = 4 * PAGE  # for a root, and for tables that `attach` may need

found = Translation()


@native
def rights_now(mode: u64, status: u64) -> u64:
    """What of the virtual hart's state decides what a page permits: the mode, SUM and MXR."""
    rights = mode | (status & STATUS_MXR) >> 17
    if mode == S:
        rights = rights | (status & STATUS_SUM) >> 17
    return rights


@native
def is_open(vm: Vm, address: u64) -> bool:
    """Whether a guest-physical address is in the guest's own memory."""
    return address - OPEN_RAM < vm.size


@native
def translate_page(vm: Vm, address: u64, access: int) -> None:
    """What the guest's tables say about an address, in `found`; or raises what they say."""
    hart, root = vm.hart, vm.roots[vm.active]
    if hart.satp >> 60 == BARE:
        found.physical, found.size, found.permissions = address, SUPERPAGE, ALL
    elif root.guest_leaves != 0 and root.guest_region == address >> 21:
        walk_lowest(vm, root.guest_leaves, address, access)
    else:
        walk(hart, hart.satp, address, access, hart.mode, found)
        if found.size == PAGE:
            remember_table(vm, root, address)


@native
def walk_lowest(vm: Vm, table: u64, address: u64, access: int) -> None:
    """The last step of `paging.walk`, with the table that earlier steps led to.

    A hart may keep entries that are not leaves until an sfence.vma without an address (privileged
    spec 12.2.1), and so may we.
    """
    where = table + ((address >> 12 & 511) << 3)
    pte = read_entry(vm.hart, OWN, where, address, access)
    if not well_formed(pte, vm.hart.menvcfg) or pte & LEAF == 0:
        raise page_fault(vm.hart, address, access)
    finish(vm.hart, OWN, where, pte, u64(0), address, access, vm.hart.mode, found)


@native(inline=False)
def remember_table(vm: Vm, root: Root, address: u64) -> None:
    """Keep which guest table holds the leaf that `walk` has just found."""
    satp = vm.hart.satp
    level, table = (satp >> 60) - SV39 + 2, (satp & ((1 << 44) - 1)) << 12
    while level > 0:
        entry = load(u64, table + ((address >> level * 9 + 12 & 511) << 3) + vm.offset)
        table = (entry & PPN) << 2
        level -= 1
    root.guest_region, root.guest_leaves = address >> 21, table


@native
def is_for(root: Root, satp: u64, rights: u64) -> bool:
    """Whether a root is in use for an address space and a mode's rights."""
    return root.satp == satp and root.rights == rights and root.table != 0


@native(inline=False)
def search(vm: Vm, satp: u64, rights: u64) -> u64:
    """The root for an address space; a new one if there is none."""
    for i in typed_range(u64(ROOTS)):
        if is_for(vm.roots[i], satp, rights):
            return i
    return adopt(vm, rights)


@native
def select(vm: Vm) -> None:
    """Use the root for what the virtual hart is now; give up an old one if there is none."""
    hart = vm.hart
    rights = rights_now(hart.mode, hart.mstatus)
    active = vm.roots[vm.active]
    chosen = active.near[rights]
    if not is_for(vm.roots[chosen], hart.satp, rights):
        chosen = search(vm, hart.satp, rights)
        active.near[rights] = chosen
    vm.active = chosen
    vm.space = vm.roots[chosen].space


@native
def use(vm: Vm) -> None:
    """Let the real hart translate with the active root."""
    if csr.satp.read() != vm.space:
        csr.satp.write(vm.space)
        if csr.satp.read() != vm.space:  # no address space identifiers here
            fence_translation()


@native(inline=False)
def adopt(vm: Vm, rights: u64) -> u64:
    """An empty root for the present address space."""
    satp = vm.hart.satp
    mode = satp >> 60
    if mode == BARE:
        mode = u64(SV39)
    chosen = vm.victim
    vm.victim = chosen + 1
    if vm.victim == ROOTS:
        vm.victim = u64(0)
    root = vm.roots[chosen]
    empty(vm, chosen)
    if root.table == 0 or root.space >> 60 != mode:
        table = u64(0)
        if vm.pool_next + ROOM <= vm.pool_end:
            table = new_table(vm)
        if table == 0:
            recycle(vm)
            table = new_table(vm)
        root.table, root.leaves = table, 0
    space = vm.index * ROOTS + chosen + 1
    root.satp, root.rights, root.guest_leaves = satp, rights, 0
    root.space = mode << 60 | space << SPACE_SHIFT | root.table >> 12
    if vm.translator.on != 0:
        csr_page.attach(vm, root)
    fence_space(space)  # the number may have stood for tables that are gone
    return chosen


@native
def new_table(vm: Vm) -> u64:
    """A table page of zeros, or 0 when the pool is used up."""
    page = vm.pool_next
    if page >= vm.pool_end:
        return u64(0)
    vm.pool_next = page + PAGE
    at = page
    while at < page + PAGE:
        for i in range(0, 64, 8):
            store(u64, at + i, 0)
        at += 64
    return page


@native(inline=False)
def recycle(vm: Vm) -> None:
    """The pool is used up: forget every root of this VM."""
    for i in typed_range(u64(ROOTS)):
        root = vm.roots[i]
        root.table, root.count, root.regions, root.leaves = 0, 0, 0, 0
        root.split_from, root.split_to = 0, 0
        fence_space(vm.index * ROOTS + i + 1)
    vm.filled = 0
    vm.pool_next = POOLS + vm.index * POOL_SIZE
    status[vm.index].recycles += 1


@native(inline=False)
def empty(vm: Vm, index: u64) -> None:
    """Forget all translations of a root."""
    root = vm.roots[index]
    if root.count == 0:
        return
    for i in typed_range(root.count):
        store(u64, root.log[i], 0)
    root.count, root.regions, root.leaves = 0, 0, 0
    root.split_from, root.split_to = 0, 0
    vm.filled = vm.filled & ~(u64(1) << index)
    fence_space(root.space >> SPACE_SHIFT & (SPACES - 1))
    status[vm.index].flushes += 1


@native
def fill(vm: Vm, address: u64, found: Translation) -> None:
    """Add the page around `address` to the active root; its guest-physical place is in RAM."""
    root = vm.roots[vm.active]
    known = root.leaves != 0 and root.region == address >> 21
    if known and found.size == PAGE and root.count != LOG:
        slot = root.leaves + (address >> 12 & 511) * 8
        put_leaf(vm, root, address, slot, found.physical + vm.offset & ~u64(PAGE - 1))
    else:
        fill_elsewhere(vm, root, address, found)


@native
def put_leaf(vm: Vm, root: Root, address: u64, slot: u64, page: u64) -> None:
    """Write a leaf for what is in `found`, and note where."""
    old = load(u64, slot)
    store(u64, slot, page >> 2 | V | U | A | D | found.permissions << 1)
    if old & V != 0:  # the hart may hold what stood here
        fence_here(vm, address)
    log(vm, root, address, slot)


@native
def log(vm: Vm, root: Root, address: u64, slot: u64) -> None:
    """An entry of the active root was written."""
    if root.count == 0:
        vm.filled = vm.filled | u64(1) << vm.active
    root.log[root.count] = slot
    root.count += 1
    root.regions = root.regions | u64(1) << (address >> 21 & 63)
    vm.fills += 1


@native(inline=False)
def fill_elsewhere(vm: Vm, root: Root, address: u64, found: Translation) -> None:
    """`fill`, where the table for it was not the last one, or a larger page may do."""
    if root.count == LOG:
        empty(vm, vm.active)
    place = found.physical + vm.offset
    offset = address & (SUPERPAGE - 1)
    whole = found.size >= SUPERPAGE and place & (SUPERPAGE - 1) == offset
    if found.physical < GUEST_RAM + SUPERPAGE:  # not all of this one is open
        whole = False
    if found.size > PAGE and (not whole or found.size > SUPERPAGE):
        remember_split(root, address & ~(found.size - 1), found.size)
    slot, level = descend(vm, root, address, u64(whole))
    if slot == 0:
        start_again(vm, address, found)
        return
    page = place & ~u64(PAGE - 1)
    if level == 1:
        page = place & ~u64(SUPERPAGE - 1)
    put_leaf(vm, root, address, slot, page)


@native
def fence_here(vm: Vm, address: u64) -> None:
    """The real hart may hold what stood in the active root for an address."""
    fence_space_page(address, vm.roots[vm.active].space >> SPACE_SHIFT & (SPACES - 1))


@native(inline=False)
def descend(vm: Vm, root: Root, address: u64, lowest: u64) -> tuple[u64, u64]:
    """Where an address's entry stands at level `lowest`, and its level; makes tables on the way.

    The level is 0 all the same if smaller pages were here before. No place: the pool is used up.
    """
    level = (root.space >> 60) - SV39 + 2
    slot = root.table + (address >> level * 9 + 12 & 511) * 8
    while level > lowest:
        entry = load(u64, slot)
        table = entry >> 10 << 12
        if entry & V == 0 or entry & WHOLE != 0:
            table = new_table(vm)
            if table == 0:
                return u64(0), level
            store(u64, slot, table >> 2 | V)
            if entry & V != 0:  # a superpage stood here, and is nowhere to be found from now on
                fence_space(root.space >> SPACE_SHIFT & (SPACES - 1))
        level -= 1
        slot = table + (address >> level * 9 + 12 & 511) * 8
    if level == 1:
        entry = load(u64, slot)
        if entry & V == 0 or entry & WHOLE != 0:
            return slot, level
        remember_split(root, address & ~u64(SUPERPAGE - 1), u64(SUPERPAGE))
        slot = (entry >> 10 << 12) + (address >> 12 & 511) * 8
    root.region, root.leaves = address >> 21, slot & ~u64(PAGE - 1)
    return slot, u64(0)


@native(inline=False)
def start_again(vm: Vm, address: u64, found: Translation) -> None:
    """No page is left for a table: drop all, and fill the first entry of a new root."""
    begin_again(vm)
    fill(vm, address, found)


@native(inline=False)
def begin_again(vm: Vm) -> None:
    """No page is left for a table: drop all, and go on with a new root."""
    recycle(vm)
    vm.active = adopt(vm, rights_now(vm.hart.mode, vm.hart.mstatus))
    vm.space = vm.roots[vm.active].space
    use(vm)


@native
def remember_split(root: Root, start: u64, size: u64) -> None:
    """A guest page has several entries here: a fence of one of its addresses concerns them all."""
    if root.split_to == 0 or start < root.split_from:
        root.split_from = start
    if root.split_to == 0 or start + size - 1 > root.split_to:
        root.split_to = start + size - 1


@native
def forget_page(root: Root, address: u64) -> u64:
    """Void what a root says about one address: 0 if that was nothing, 1; or 2, a part of it."""
    if root.split_to != 0 and root.split_from <= address <= root.split_to:
        return u64(2)
    if root.regions >> (address >> 21 & 63) & 1 == 0:
        return u64(0)
    if root.leaves != 0 and root.region == address >> 21:
        slot = root.leaves + (address >> 12 & 511) * 8
        if load(u64, slot) == 0:
            return u64(0)
        store(u64, slot, 0)
        return u64(1)
    shift = ((root.space >> 60) - SV39) * 9 + 30
    slot = root.table + (address >> shift & 511) * 8
    entry = load(u64, slot)
    while entry & V != 0:
        if entry & WHOLE != 0:
            store(u64, slot, 0)
            return u64(1)
        shift -= 9
        slot = (entry >> 10 << 12) + (address >> shift & 511) * 8
        entry = load(u64, slot)
    return u64(0)


@native
def concerned(root: Root, asid: u64, by_asid: bool) -> bool:
    """Whether a fence is for this root's address space."""
    return not by_asid or root.satp >> SPACE_SHIFT & 0xFFFF == asid & 0xFFFF


@native
def fence_page(vm: Vm, address: u64, asid: u64, by_asid: bool) -> bool:
    """sfence.vma for one address; whether any shadow knew it."""
    left, index, known, split = vm.filled, u64(0), u64(0), u64(0)
    while left != 0:
        if left & 1 != 0 and concerned(vm.roots[index], asid, by_asid):
            found = forget_page(vm.roots[index], address)
            if found != 0:
                known = u64(1)
                if found == 2:
                    split = split | u64(1) << index
        left = left >> 1
        index += 1
    if known == 0:
        return False
    fence_address(address)
    if split != 0:
        empty_some(vm, split)
    return True


@native(inline=False)
def empty_some(vm: Vm, which: u64) -> None:
    """Empty the roots with a bit in `which`."""
    for i in typed_range(u64(ROOTS)):
        if which >> i & 1 != 0:
            empty(vm, i)


@native(inline=False)
def fence_all(vm: Vm, asid: u64, by_asid: bool) -> None:
    """sfence.vma for all addresses."""
    for i in typed_range(u64(ROOTS)):
        if concerned(vm.roots[i], asid, by_asid):
            vm.roots[i].guest_leaves = 0
            empty(vm, i)


@native
def fence(vm: Vm, address: u64, asid: u64, which: u64) -> None:
    """sfence.vma, as `ports.fence_translation` describes it."""
    if which & 1 != 0:
        fence_page(vm, address, asid, which & 2 != 0)
    else:
        fence_all(vm, asid, which & 2 != 0)
