"""Fences: what `sfence.vma` takes out of shadow tables, by address or altogether."""

from __future__ import annotations

from ringzero.bare.stubs import fence_page as fence_address
from ringzero.hypervisor.shadow.entries import WHOLE
from ringzero.hypervisor.shadow.roots import SPACE_SHIFT, empty
from ringzero.hypervisor.vm.state import ROOTS, Root, Vm
from ringzero.isa.privileged.paging import SV39, V
from ringzero.lang import load, native, store, typed_range, u64


@native
def forget_page(root: Root, address: u64) -> u64:
    """Void what a root says about one address: 0 if that was nothing, 1; or 2, a part of it."""
    if root.split_to != 0 and root.split_from <= address <= root.split_to:
        return u64(2)
    if root.regions >> (address >> 21 & 63) & 1 == 0:
        return u64(0)
    if root.leaves != 0 and root.region == address >> 21:
        pte = root.leaves + (address >> 12 & 511) * 8
        if load(u64, pte) == 0:
            return u64(0)
        store(u64, pte, 0)
        return u64(1)
    shift = ((root.space >> 60) - SV39) * 9 + 30
    pte = root.table + (address >> shift & 511) * 8
    entry = load(u64, pte)
    while entry & V != 0:
        if entry & WHOLE != 0:
            store(u64, pte, 0)
            return u64(1)
        shift -= 9
        pte = (entry >> 10 << 12) + (address >> shift & 511) * 8
        entry = load(u64, pte)
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
