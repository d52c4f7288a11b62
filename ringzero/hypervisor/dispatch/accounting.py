"""What an exit counts as, and whose the instructions are that were executed between two exits."""

from __future__ import annotations

from ringzero.hypervisor.vm.state import Vm, status
from ringzero.isa.hart import U
from ringzero.lang import load, native, store, u64


@native
def account(vm: Vm, entered: u64) -> None:
    """The last exit's instructions are known, now that the next one began at `entered`."""
    spent = vm.resumed - vm.entered
    vm.overhead += spent
    store(u64, vm.tally + 8, load(u64, vm.tally + 8) + spent)
    vm.entered = entered


@native
def tell(vm: Vm, row: u64, emulated: int) -> None:
    """This exit counts in that row of Status.tallies; whether it executed an instruction."""
    tally = vm.tallies + (row << 4)
    vm.tally = tally
    store(u64, tally, load(u64, tally) + 1)
    vm.emulated += emulated


@native
def count_status(vm: Vm) -> None:
    """One more exit for sstatus; `count_retired` counts its instruction by that."""
    vm.tally = vm.quick
    store(u64, vm.quick, load(u64, vm.quick) + 1)


@native
def count_retired(vm: Vm) -> None:
    """Bring `hart.retired` up to date: what passed, but for our own instructions and others'."""
    own = vm.overhead + vm.away
    vm.hart.retired = vm.entered - own + vm.emulated + load(u64, vm.quick)


@native
def credit(vm: Vm) -> None:
    """The instructions since the last time are the guest's user's, or its kernel's."""
    count_retired(vm)
    gained = vm.hart.retired - vm.counted
    vm.counted = vm.hart.retired
    status[vm.index].fills = vm.fills
    if vm.hart.mode == U:
        status[vm.index].user += gained
    else:
        status[vm.index].kernel += gained
