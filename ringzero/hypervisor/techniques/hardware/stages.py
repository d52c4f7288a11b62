"""The G-stage: tables from a guest's physical addresses to the machine's, one set for each VM.

The hart walks them for every access of a guest in VS and VU. An entry is made when the guest first
needs it, as large as its place permits. It permits everything and never changes: what it maps is
the VM's own, and its first bytes, where firmware would be, are never mapped.
"""

from __future__ import annotations

from ringzero.bare.stubs import stub
from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.shadow.roots import new_table
from ringzero.hypervisor.vm.state import Vm
from ringzero.isa.privileged.paging import SV39, A, D, R, U, V, W, X
from ringzero.lang import load, native, store, u64

VMID_SHIFT = 44
GIGABYTES = 2  # the level of Sv39x4's root
ROOT_PAGES = 4
ROOT = (1 << 44) - 1  # hgatp.PPN
EVERYTHING = V | R | W | X | U | A | D

fence_machine = stub("fence_machine", "hfence.gvma x0, x0")
fence_guest = stub("fence_guest", "hfence.vvma x0, x0")


@native
def make(vm: Vm) -> None:
    """An empty root, at the beginning of the VM's pool: 16 KiB, aligned as Sv39x4 wants it."""
    root = new_table(vm)
    for _ in range(ROOT_PAGES - 1):
        new_table(vm)
    vm.stage = SV39 << 60 | (vm.index + 1) << VMID_SHIFT | root >> 12


@native
def fits(vm: Vm, physical: u64, level: u64) -> bool:
    """Whether one entry of a level can map all around an address, and nothing else."""
    size = u64(1) << level * 9 + 12
    start = physical & ~(size - 1)
    if vm.offset & (size - 1) != 0:
        return False
    return start >= RAM_BASE and size <= vm.size and start - RAM_BASE <= vm.size - size


@native
def fill(vm: Vm, physical: u64) -> bool:
    """Map the page around an address of the VM's memory; False when the pool is used up."""
    level = u64(GIGABYTES)
    pte = ((vm.stage & ROOT) << 12) + (physical >> level * 9 + 12) * 8
    while level > 0 and not fits(vm, physical, level):
        entry = load(u64, pte)
        if entry & V == 0:
            table = new_table(vm)
            if table == 0:
                return False
            entry = table >> 2 | V
            store(u64, pte, entry)
        level -= 1
        pte = (entry >> 10 << 12) + (physical >> level * 9 + 12 & 511) * 8
    size = u64(1) << level * 9 + 12
    if load(u64, pte) != 0:  # the hart remembers that there was nothing
        fence_machine()
    store(u64, pte, (physical & ~(size - 1)) + vm.offset >> 2 | EVERYTHING)
    vm.fills += 1
    return True
