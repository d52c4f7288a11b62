"""What the isa's text stands on when it runs on a virtual hart: its ports, bound to one VM.

Guest-physical memory is the VM's slice, and beside it there are the VM's devices. The virtual hart
has no M-mode of its own, so physical memory protection permits all that there is.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.devices import bus
from ringzero.hypervisor.vm import technique
from ringzero.hypervisor.vm.state import Vm
from ringzero.isa import ports
from ringzero.isa.hart import Hart
from ringzero.isa.privileged import pmp
from ringzero.lang import Fixed, Native, load, native, reinterpret, store, u64


@native
def holds(vm: Vm, address: u64, size: int) -> bool:
    """Whether a naturally aligned access is to the VM's memory."""
    return address - RAM_BASE < vm.size


@native
def physical_read(hart: Hart, kind: type[Fixed], address: u64) -> tuple[u64, bool]:
    """A guest-physical load."""
    vm = reinterpret(Vm, hart)
    if holds(vm, address, kind.bits // 8):
        return u64(load(kind, address + vm.offset)), True
    return bus.read(vm, address, kind.bits // 8)


@native
def physical_write(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> bool:
    """A guest-physical store."""
    vm = reinterpret(Vm, hart)
    if holds(vm, address, kind.bits // 8):
        store(kind, address + vm.offset, kind(value))
        return True
    return bus.write(vm, address, kind.bits // 8, value)


@native
def physical_compare_exchange(
    hart: Hart, kind: type[Fixed], address: u64, expected: u64, value: u64
) -> tuple[bool, bool]:
    """One hart runs all VMs and is not interrupted in here, so two steps are one."""
    vm = reinterpret(Vm, hart)
    if not holds(vm, address, kind.bits // 8):
        return False, False
    place = address + vm.offset
    if u64(load(kind, place)) != expected:
        return False, True
    store(kind, place, kind(value))
    return True, True


@native
def now(hart: Hart) -> u64:
    """The board's time is every guest's."""
    return csr.time.read()


@native
def fence_translation(hart: Hart, address: u64, asid: u64, which: u64) -> None:
    """A guest's sfence.vma empties its shadows."""
    technique.fence(reinterpret(Vm, hart), address, asid, which)


@native
def pmp_permissions(hart: Hart, address: u64, size: u64, mode: u64) -> u64:
    """Whatever answers may be used."""
    return pmp.ALL


BINDINGS: dict[Native, Native] = {
    ports.physical_read: physical_read,
    ports.physical_write: physical_write,
    ports.physical_compare_exchange: physical_compare_exchange,
    ports.now: now,
    ports.fence_translation: fence_translation,
    pmp.pmp_permissions: pmp_permissions,
}
