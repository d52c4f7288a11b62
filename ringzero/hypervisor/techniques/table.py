"""The table of techniques: where a guest's exits begin, and what a technique does in its own way.

`BINDINGS` binds the ports of `vm/technique.py`, by which everything below calls the technique of a
VM. A new technique is a row here, and a folder beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringzero.board import sbi
from ringzero.hypervisor.dispatch import enter as shadowed
from ringzero.hypervisor.dispatch import fast
from ringzero.hypervisor.shadow import fences
from ringzero.hypervisor.techniques import HARDWARE, PARAVIRT, TRANSLATE, TRAP
from ringzero.hypervisor.techniques.hardware import enter as hardware
from ringzero.hypervisor.techniques.hardware import exits as hardware_exits
from ringzero.hypervisor.techniques.paravirt import enter as paravirt
from ringzero.hypervisor.techniques.paravirt import exits as paravirt_exits
from ringzero.hypervisor.techniques.paravirt import hypercalls
from ringzero.hypervisor.techniques.translate import copies, csr_page
from ringzero.hypervisor.techniques.translate import enter as translate
from ringzero.hypervisor.techniques.translate import exits as translate_exits
from ringzero.hypervisor.vm import technique
from ringzero.hypervisor.vm.entry import guest_trap, translate_trap, trap
from ringzero.hypervisor.vm.state import Root, Vm
from ringzero.lang import Native, Stub, address_of, native, u64


@native
def nothing(vm: Vm) -> None:
    """The technique has nothing to do here."""
    pass


@native
def no_root(vm: Vm, root: Root) -> None:
    """A root needs nothing more."""
    pass


@native
def nothing_known(vm: Vm, address: u64, size: u64) -> None:
    """Nothing is kept of what is in the guest's memory."""
    pass


@native
def no_extension(vm: Vm, extension: u64) -> bool:
    """The technique has no SBI extension of its own."""
    return False


@native
def no_call(vm: Vm, function: u64) -> tuple[u64, u64]:
    """There is no such call."""
    return u64(sbi.NOT_SUPPORTED), u64(0)


@dataclass(frozen=True)
class Technique:
    """One technique; the functions are those of `vm/technique.py`."""

    number: int
    vector: Stub
    """The real mtvec while a new guest runs."""
    exits: tuple[Native, ...]
    """What entry stubs call for this technique."""
    enter: Native[[Vm], None]
    fence: Native[[Vm, u64, u64, u64], None]
    create: Native[[Vm], None] = nothing
    """Prepare a new VM."""
    leave: Native[[Vm], None] = nothing
    trap_taken: Native[[Vm], None] = nothing
    memory_written: Native[[Vm, u64, u64], None] = nothing_known
    root_made: Native[[Vm, Root], None] = no_root
    has_extension: Native[[Vm, u64], bool] = no_extension
    call: Native[[Vm, u64], tuple[u64, u64]] = no_call


TABLE = (
    Technique(TRAP, trap, exits=(fast.quick_exit,), enter=shadowed.enter, fence=fences.fence),
    Technique(
        TRANSLATE,
        translate_trap,
        exits=(translate_exits.translate_exit,),
        create=translate.create,
        enter=translate.enter,
        fence=translate.fence,
        memory_written=copies.forget,
        root_made=csr_page.attach,
    ),
    Technique(
        PARAVIRT,
        trap,  # until its kernel shares a page
        exits=(fast.quick_exit, paravirt_exits.shared_exit),
        enter=paravirt.enter,
        leave=paravirt.leave,
        trap_taken=paravirt.trap_taken,
        fence=fences.fence,
        has_extension=hypercalls.has_extension,
        call=hypercalls.answer,
    ),
    Technique(
        HARDWARE,
        guest_trap,
        exits=(hardware_exits.quick_guest_exit, hardware_exits.handle_guest_exit),
        create=hardware.create,
        enter=hardware.enter,
        fence=hardware.fence,
    ),
)


@native
def create(vm: Vm) -> None:
    """Prepare a new VM for its technique."""
    for one in TABLE:
        if vm.technique == one.number:
            vm.vector = address_of(one.vector)
            one.create(vm)


@native
def enter(vm: Vm) -> None:
    """See `technique.enter`."""
    for one in TABLE:
        if vm.technique == one.number:
            one.enter(vm)
            return


@native
def leave(vm: Vm) -> None:
    """See `technique.leave`."""
    for one in TABLE:
        if vm.technique == one.number:
            one.leave(vm)


@native
def trap_taken(vm: Vm) -> None:
    """See `technique.trap_taken`."""
    for one in TABLE:
        if vm.technique == one.number:
            one.trap_taken(vm)


@native
def fence(vm: Vm, address: u64, asid: u64, which: u64) -> None:
    """See `technique.fence`."""
    for one in TABLE:
        if vm.technique == one.number:
            one.fence(vm, address, asid, which)


@native
def memory_written(vm: Vm, address: u64, size: u64) -> None:
    """See `technique.memory_written`."""
    for one in TABLE:
        if vm.technique == one.number:
            one.memory_written(vm, address, size)


@native
def root_made(vm: Vm, root: Root) -> None:
    """See `technique.root_made`."""
    for one in TABLE:
        if vm.technique == one.number:
            one.root_made(vm, root)


@native
def has_extension(vm: Vm, extension: u64) -> bool:
    """See `technique.has_extension`."""
    for one in TABLE:
        if vm.technique == one.number and one.has_extension(vm, extension):
            return True
    return False


@native
def call(vm: Vm, function: u64) -> tuple[u64, u64]:
    """See `technique.call`."""
    for one in TABLE:
        if vm.technique == one.number:
            return one.call(vm, function)
    return no_call(vm, function)


EXITS = tuple(dict.fromkeys(answer for one in TABLE for answer in one.exits))

BINDINGS: dict[Native, Native] = {
    technique.enter: enter,
    technique.leave: leave,
    technique.trap_taken: trap_taken,
    technique.fence: fence,
    technique.memory_written: memory_written,
    technique.root_made: root_made,
    technique.has_extension: has_extension,
    technique.call: call,
}
