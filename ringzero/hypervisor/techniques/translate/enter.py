"""A VM whose code is translated: its beginning, the way into it, and fences."""

from __future__ import annotations

from ringzero.hypervisor.dispatch import enter as shadowed
from ringzero.hypervisor.shadow import fences
from ringzero.hypervisor.techniques.translate import copies, csr_page, placement, sites
from ringzero.hypervisor.vm.state import COUNT_SITES, LOG, PAGE, ROOTS, Vm, config, status
from ringzero.isa.hart import S
from ringzero.lang import native, store, u64


@native
def create(vm: Vm) -> None:
    """Divide the area of a VM with this technique."""
    own, wanted = vm.translator, config.vms[vm.index]
    all = vm.size
    at = wanted.area
    own.area, own.leaves = at, at + csr_page.PAGES * PAGE
    own.gigabyte = own.leaves + PAGE
    own.tables = own.gigabyte + PAGE
    own.pages = own.tables + (all >> 21 << 7)
    own.trampolines = own.pages + (all >> 12 << 2)
    own.owners = own.trampolines + placement.TRAMPOLINES * placement.SIZE
    own.sites = own.owners + csr_page.PAGES * PAGE // 2
    status[vm.index].sites = own.sites
    own.addresses = own.sites + sites.SITES * sites.SIZE
    own.next = own.addresses + ROOTS * LOG * 8 + PAGE - 1 & ~u64(PAGE - 1)
    own.end = at + wanted.area_size
    while at < own.next:
        store(u64, at, 0)
        at += 8
    own.eagerness = wanted.eagerness
    own.counting = u64(config.flags & COUNT_SITES != 0)
    own.on = 1
    csr_page.setup(vm)
    copies.make_filter(vm)


@native
def resume(vm: Vm) -> None:
    """Let translated code have the virtual hart, if it goes on in virtual S."""
    if vm.hart.mode == S and vm.translator.on != 0:
        if vm.translator.clash != 0:
            copies.stop(vm)
        else:
            csr_page.push(vm)


@native
def enter(vm: Vm) -> None:
    """As for the technique trap, and translated code finds its CSRs."""
    shadowed.enter(vm)
    resume(vm)


@native
def fence(vm: Vm, address: u64, asid: u64, which: u64) -> None:
    """The shadows forget, and so does what translated code knows of the guest's tables."""
    fences.fence(vm, address, asid, which)
    note_fence(vm, address, which & 1 == 0)


@native
def note_fence(vm: Vm, address: u64, all: bool) -> None:
    """After a fence the guest may have mapped other tables, or our part of its address space."""
    if all:
        csr_page.end_poke(vm)
    if all or address >> 30 == csr_page.MEMORY_VIEW >> 30:
        vm.translator.clash = vm.translator.clash | u64(csr_page.guest_has_top(vm))
