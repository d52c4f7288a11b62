"""What the guest's own tables say about an address, and whose memory it leads to."""

from __future__ import annotations

from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.vm.state import PAGE, SUPERPAGE, Root, Vm
from ringzero.isa.hart import S
from ringzero.isa.privileged.paging import (
    BARE,
    OWN,
    PPN,
    STATUS_MXR,
    STATUS_SUM,
    SV39,
    R,
    Translation,
    W,
    X,
    finish,
    read_entry,
    walk,
    well_formed,
)
from ringzero.isa.privileged.pmp import ALL
from ringzero.isa.privileged.trap import page_fault
from ringzero.lang import load, native, u64

LEAF = R | W | X

found = Translation()
"""What `translate_page` has found last."""


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
    return address - RAM_BASE < vm.size


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
