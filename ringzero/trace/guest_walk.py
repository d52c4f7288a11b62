"""Where an address of a guest under our hypervisor leads, as each of its techniques does it.

With shadow tables: the guest's own tables, which the hypervisor reads, and the shadow, which the
hart reads, side by side. In VS-mode: both stages, as the hart walks them. The state is the VM's in
the hypervisor's memory, and where the VM is on the real hart right now, that one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ringzero.board.addresses import RAM_BASE
from ringzero.errors import UsageError
from ringzero.hypervisor.shadow.guest_tables import rights_now
from ringzero.hypervisor.techniques import TECHNIQUES
from ringzero.hypervisor.vm import state as layout
from ringzero.isa.csrs.supervisor import VISIBLE
from ringzero.isa.hart import M, S, U
from ringzero.lang import u64
from ringzero.lang.host import view
from ringzero.machines.inspect import copy_of
from ringzero.trace.walk import Entry, Walk, walk, walk_in

if TYPE_CHECKING:
    from ringzero.machines.virtual import VirtualMachines

MODES = {"": None, "U": U, "S": S}
COLUMN = 66
OWN_TABLES = "the guest's tables"


@dataclass(frozen=True)
class GuestWalk:
    """One translation of a VM's; `real` is what the hart itself does, in one stage or two."""

    vm: int
    technique: str
    guest: Walk
    real: Walk | None
    """None: the guest never ran with these rights in this address space, so no shadow exists."""
    offset: int
    """From a guest-physical address to the machine's, for the VM's memory."""
    size: int
    """Of that memory, with the part that is closed to the guest."""

    @property
    def expected(self) -> int | None:
        """The machine's address by the guest's own tables; None for a fault, or what is no RAM."""
        physical = self.guest.physical
        if physical is None or not 0 <= physical - RAM_BASE < self.size:
            return None
        return physical + self.offset

    def __str__(self) -> str:
        if self.technique == "hardware":
            return f"vm{self.vm}, --cpu hardware: {self.real}\n  {self._ends()}"
        return "\n".join([*self._side_by_side(), f"  {self._ends()}"])

    def _side_by_side(self) -> list[str]:
        guest, real = self.guest, self.real
        lines = [
            f"vm{self.vm}, --cpu {self.technique}: {guest.access} of {guest.address:#x} in virtual "
            f"{guest.mode}-mode, {guest.formats[0]}",
            f"  {OWN_TABLES:{COLUMN}}the shadow, which the hart walks",
        ]
        for own, shadow in zip_longest(guest.entries, real.entries if real else ()):
            lines.append(f"  {_cell(own):{COLUMN}}{_cell(shadow)}".rstrip())
        told = f"=> {guest.fault}" if guest.fault else f"=> guest physical {guest.physical:#x}"
        if real is None:
            return [*lines, f"  {told:{COLUMN}}there is none yet"]
        if real.fault is not None:
            return [*lines, f"  {told:{COLUMN}}=> no entry: the access exits, {real.fault}"]
        return [*lines, f"  {told:{COLUMN}}=> machine {real.physical:#x}, page {real.permissions}"]

    def _ends(self) -> str:
        """What the hypervisor makes of the guest's answer."""
        if self.guest.fault is not None:
            return "The guest gets this fault from its own tables."
        physical = f"Guest physical {self.guest.physical:#x}"
        if self.expected is None:
            return f"{physical} is not in the VM's memory: a device, or an access fault."
        return f"{physical} is machine {self.expected:#x}."


def _cell(entry: Entry | None) -> str:
    if entry is None:
        return ""
    return f"level {entry.level}: {entry.address:#x} = {entry.value:#018x} {entry.flags}"


def running(machine: VirtualMachines) -> int:
    """Which VM's turn it is: mscratch points to it while guests run."""
    first = machine.image.symbols["hv_vms"]
    size = len(bytes(view(layout.Vm)()))
    index, rest = divmod(machine.read_csr("mscratch") - first, size)
    if rest or not 0 <= index < len(machine.names):
        raise UsageError("The hypervisor has not started its VMs yet: look at a later moment.")
    return index


def walk_of_guest(
    machine: VirtualMachines, address: int, access: str = "load", mode: str = "", vm: int = -1
) -> GuestWalk:
    """Translate as a VM would now, or in another of its modes; `vm` is the running one if -1.

    The machine must not be running.
    """
    if mode not in MODES:
        raise UsageError(f"A guest has no mode {mode!r}: choose U or S.")
    index = running(machine) if vm < 0 else vm
    if not 0 <= index < len(machine.names):
        raise UsageError(f"There is no VM {index}: there are {len(machine.names)}, from 0 on.")
    state = _read(machine, index)
    technique = TECHNIQUES[state.technique]
    hart = copy_of(state.hart)
    resident = technique == "hardware" and _is_on_the_hart(machine, state)
    if resident:
        _take_from_real_hart(machine, hart)
    wanted = MODES[mode]
    if wanted is not None:
        hart.mode = u64(wanted)
    memory = machine.read_memory

    def read(where: int, size: int) -> int | None:
        if not 0 <= where - RAM_BASE <= int(state.size) - size:
            return None
        return int.from_bytes(memory(where + int(state.offset) & 2**64 - 1, size), "little")

    guest = walk(_unprotected(hart), read, address, access)
    if technique == "hardware":
        real: Walk | None = _two_stages(machine, state, hart, address, access)
    else:
        real = _shadow(machine, state, hart, address, access)
    offset, size = int(state.offset), int(state.size)
    return GuestWalk(index, technique, guest, real, offset, size)


def _read(machine: VirtualMachines, index: int) -> Any:
    kind = view(layout.Vm)
    size = len(bytes(kind()))
    place = machine.image.symbols["hv_vms"] + index * size
    return kind.from_buffer_copy(machine.read_memory(place, size))


def _unprotected(hart: Any) -> Any:
    """The virtual hart has no PMP; the text of a walk asks one."""
    made: Any = copy_of(hart)
    made.pmpaddr[0], made.pmpcfg[0] = u64((1 << 54) - 1), u64(0x1F)
    return made


def _is_on_the_hart(machine: VirtualMachines, state: Any) -> bool:
    """Whether the real hart holds this VM's world: elsewhere nothing is delegated."""
    real = machine.harts.hart(0)
    return int(real.hgatp) == int(state.stage) and int(real.medeleg) != 0


def _take_from_real_hart(machine: VirtualMachines, hart: Any) -> None:
    real = machine.harts.hart(0)
    hart.mstatus = u64(int(hart.mstatus) & ~VISIBLE | int(real.vsstatus) & VISIBLE)
    hart.satp = u64(int(real.vsatp))
    hart.mode = u64(int(real.mode) if int(real.mode) != M else int(real.mstatus) >> 11 & 1)


def _two_stages(machine: VirtualMachines, state: Any, hart: Any, address: int, access: str) -> Walk:
    """As the real hart walks them once it is this VM's."""
    real = copy_of(machine.harts.hart(0))
    real.mode, real.virtual = hart.mode, u64(1)
    real.vsatp, real.hgatp = hart.satp, u64(int(state.stage))
    real.vsstatus, real.henvcfg = u64(int(hart.mstatus) & VISIBLE), hart.menvcfg
    return walk(real, _machine_memory(machine), address, access)


def _shadow(
    machine: VirtualMachines, state: Any, hart: Any, address: int, access: str
) -> Walk | None:
    """By the root for the guest's address space and rights, if there is one."""
    rights = int(rights_now(u64(int(hart.mode)), u64(int(hart.mstatus))))
    for root in state.roots:
        if root.table and (root.satp, root.rights) == (int(hart.satp), rights):
            real = copy_of(machine.harts.hart(0))
            real.mode, real.virtual, real.satp = u64(U), u64(0), u64(root.space)
            return walk(real, _machine_memory(machine), address, access)
    return None


def _machine_memory(machine: VirtualMachines) -> Any:
    def read(where: int, size: int) -> int | None:
        if not machine.memory.contains(where, size):
            return None
        return int.from_bytes(machine.memory.read(where, size), "little")

    return read


def walk_now(
    machine: Any, address: int, access: str = "load", mode: str = "", vm: int = -1
) -> Walk | GuestWalk:
    """Either: of a guest where the machine is our hypervisor's, else of the machine itself."""
    from ringzero.machines.virtual import VirtualMachines

    if isinstance(machine, VirtualMachines):
        return walk_of_guest(machine, address, access, mode, vm)
    return walk_in(machine, address, access, mode)
