"""Entering and leaving a VM whose kernel may share a page with the hypervisor."""

from __future__ import annotations

from ringzero.hypervisor.dispatch.enter import deliver, show_state, use_shadows
from ringzero.hypervisor.techniques.paravirt import shared_page
from ringzero.hypervisor.vm.state import Vm
from ringzero.lang import native


@native
def enter(vm: Vm) -> None:
    """As for the technique trap, and the page shows the virtual hart's CSRs."""
    deliver(vm)
    use_shadows(vm)
    if vm.page != 0:
        shared_page.push(vm)
    show_state(vm)


@native
def leave(vm: Vm) -> None:
    """The virtual hart's CSRs are what the page says."""
    if vm.page != 0:
        shared_page.pull(vm)


@native
def trap_taken(vm: Vm) -> None:
    """The handler finds the page."""
    if vm.page != 0:
        shared_page.lend(vm)
