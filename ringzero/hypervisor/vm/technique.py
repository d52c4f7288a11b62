"""What each technique does in its own way: declared here, chosen in `techniques/table.py`.

Files below that table call these ports. When the program is compiled each port is bound to a
function that looks the VM's technique up in the table, so that no file has to import techniques.
"""

from __future__ import annotations

from ringzero.hypervisor.vm.state import Root, Vm
from ringzero.lang import port, u64


@port
def enter(vm: Vm) -> None:
    """Make the real hart the likeness of the virtual one, which runs next."""


@port
def leave(vm: Vm) -> None:
    """An exit needs the whole state: the virtual hart gets what the guest keeps in memory of it."""


@port
def trap_taken(vm: Vm) -> None:
    """The virtual hart has taken a trap, and goes on at its handler."""


@port
def fence(vm: Vm, address: u64, asid: u64, which: u64) -> None:
    """The guest's tables have changed: as `isa.ports.fence_translation` describes it."""


@port
def memory_written(vm: Vm, address: u64, size: u64) -> None:
    """The hypervisor has stored to the guest's memory, for a call that asked for it."""


@port
def root_made(vm: Vm, root: Root) -> None:
    """An empty shadow root is about to be used."""


@port
def has_extension(vm: Vm, extension: u64) -> bool:
    """Whether an SBI extension that is the technique's own is offered to the VM."""


@port
def call(vm: Vm, function: u64) -> tuple[u64, u64]:
    """Answer a call of that extension: an error of the SBI, and a value."""
