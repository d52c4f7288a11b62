"""Roots: shadow page tables of one guest address space as one virtual mode sees it.

Leaves are copies of what `paging.walk` finds in the guest's tables, made when the guest first
touches a page, and never permit more. A shadow is a translation cache: `sfence.vma` empties it.
Tables below a root hold nothing of the guest, so emptying a root clears its leaves only, which its
log names.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, fence_space, fence_translation
from ringzero.hypervisor.shadow.guest_tables import rights_now
from ringzero.hypervisor.vm import technique
from ringzero.hypervisor.vm.state import PAGE, POOL_SIZE, POOLS, ROOTS, Root, Vm, status
from ringzero.isa.privileged.paging import BARE, SV39
from ringzero.lang import native, store, typed_range, u64

SPACE_SHIFT, SPACES = 44, 1 << 16  # where satp has the address space identifier
ROOM = 4 * PAGE  # for a root, and for tables that a technique adds to it


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
    technique.root_made(vm, root)
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


@native(inline=False)
def begin_again(vm: Vm) -> None:
    """No page is left for a table: drop all, and go on with a new root."""
    recycle(vm)
    vm.active = adopt(vm, rights_now(vm.hart.mode, vm.hart.mstatus))
    vm.space = vm.roots[vm.active].space
    use(vm)
