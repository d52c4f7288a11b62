"""Entries of shadow tables: filling in a page that the guest's tables map."""

from __future__ import annotations

from ringzero.bare.stubs import fence_space, fence_space_page
from ringzero.hypervisor.shadow.guest_tables import LEAF, found
from ringzero.hypervisor.shadow.roots import SPACE_SHIFT, SPACES, begin_again, empty, new_table
from ringzero.hypervisor.vm.state import LOG, PAGE, SUPERPAGE, Root, Vm
from ringzero.isa.privileged.paging import SV39, A, D, Translation, U, V
from ringzero.lang import load, native, store, u64

SHARED = 1 << 8  # a software bit: other roots use the table below too (translate/copies.py)
WHOLE = LEAF | SHARED  # what stands for a page as a whole


@native
def fill(vm: Vm, address: u64, found: Translation) -> None:
    """Add the page around `address` to the active root; its guest-physical place is in RAM."""
    root = vm.roots[vm.active]
    known = root.leaves != 0 and root.region == address >> 21
    if known and found.size == PAGE and root.count != LOG:
        pte = root.leaves + (address >> 12 & 511) * 8
        put_leaf(vm, root, address, pte, found.physical + vm.offset & ~u64(PAGE - 1))
    else:
        fill_elsewhere(vm, root, address, found)


@native
def put_leaf(vm: Vm, root: Root, address: u64, pte: u64, page: u64) -> None:
    """Write a leaf for what is in `found`, and note where."""
    old = load(u64, pte)
    store(u64, pte, page >> 2 | V | U | A | D | found.permissions << 1)
    if old & V != 0:  # the hart may hold what stood here
        fence_here(vm, address)
    log(vm, root, address, pte)


@native
def log(vm: Vm, root: Root, address: u64, pte: u64) -> None:
    """An entry of the active root was written."""
    if root.count == 0:
        vm.filled = vm.filled | u64(1) << vm.active
    root.log[root.count] = pte
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
    if found.size > PAGE and (not whole or found.size > SUPERPAGE):
        remember_split(root, address & ~(found.size - 1), found.size)
    pte, level = descend(vm, root, address, u64(whole))
    if pte == 0:
        start_again(vm, address, found)
        return
    page = place & ~u64(PAGE - 1)
    if level == 1:
        page = place & ~u64(SUPERPAGE - 1)
    put_leaf(vm, root, address, pte, page)


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
    pte = root.table + (address >> level * 9 + 12 & 511) * 8
    while level > lowest:
        entry = load(u64, pte)
        table = entry >> 10 << 12
        if entry & V == 0 or entry & WHOLE != 0:
            table = new_table(vm)
            if table == 0:
                return u64(0), level
            store(u64, pte, table >> 2 | V)
            if entry & V != 0:  # a superpage stood here, and is nowhere to be found from now on
                fence_space(root.space >> SPACE_SHIFT & (SPACES - 1))
        level -= 1
        pte = table + (address >> level * 9 + 12 & 511) * 8
    if level == 1:
        entry = load(u64, pte)
        if entry & V == 0 or entry & WHOLE != 0:
            return pte, level
        remember_split(root, address & ~u64(SUPERPAGE - 1), u64(SUPERPAGE))
        pte = (entry >> 10 << 12) + (address >> 12 & 511) * 8
    root.region, root.leaves = address >> 21, pte & ~u64(PAGE - 1)
    return pte, u64(0)


@native(inline=False)
def start_again(vm: Vm, address: u64, found: Translation) -> None:
    """No page is left for a table: drop all, and fill the first entry of a new root."""
    begin_again(vm)
    fill(vm, address, found)


@native
def remember_split(root: Root, start: u64, size: u64) -> None:
    """A guest page has several entries here: a fence of one of its addresses concerns them all."""
    if root.split_to == 0 or start < root.split_from:
        root.split_from = start
    if root.split_to == 0 or start + size - 1 > root.split_to:
        root.split_to = start + size - 1
