"""The table of techniques: how each starts a guest, and how it is asked what was executed by whom.

A new technique joins the comparison as one more entry of TECHNIQUES.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringzero.machines.riscv import Machine
from ringzero.machines.virtual import VirtualMachines, Vm

if TYPE_CHECKING:
    from ringzero.lang.image import Image
    from ringzero.machines.console import Console

WORLDS = ("user", "kernel", "below")
"""The guest's programs, its kernel, and what is below it: hypervisor, or firmware on bare metal."""


@dataclass(frozen=True)
class Task:
    """What a guest boots and does until it powers off."""

    name: str
    kernel: Path | Image
    initrd: Path | None = None
    append: str = ""
    memory: int = 128 << 20


@dataclass(frozen=True)
class Sample:
    """What was executed up to a moment: instructions by world, and exits by cause.

    `translation` is the machine's work besides: `Counters.translation`.
    """

    worlds: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    translation: Counter[str] = field(default_factory=Counter)

    def since(self, before: Sample) -> Sample:
        """What came after another sample."""
        made = self.plus(Sample())
        made.worlds.subtract(before.worlds)
        made.exits.subtract(before.exits)
        made.translation.subtract(before.translation)
        return made

    def plus(self, other: Sample) -> Sample:
        """This sample and another, added up."""
        worlds, exits = Counter(self.worlds), Counter(self.exits)
        translation = Counter(self.translation)
        worlds.update(other.worlds)
        exits.update(other.exits)
        translation.update(other.translation)
        return Sample(worlds, exits, translation)


Start = Callable[[Task, "Console | None", str], Any]


@dataclass(frozen=True)
class Technique:
    """One column."""

    name: str
    title: str
    start: Start
    sample: Callable[[Any], Sample]
    flavour: str = "kernel"
    """The bundled kernel that is measured."""


def _native(task: Task, console: Console | None, engine: str) -> Machine:
    from ringzero.hypervisor.host.device_tree import EXTENSIONS

    return Machine(
        kernel=task.kernel,
        initrd=task.initrd,
        append=task.append,
        memory=task.memory,
        engine=engine,
        clock="instructions",
        console=console,
        # A guest that is told of more may choose other code: that is no cost of a technique.
        extensions=("i", "m", "a", "f", "d", "c", *EXTENSIONS),
    )


def _native_sample(machine: Machine) -> Sample:
    counted = machine.counters()
    modes = counted.instructions
    traps = Counter({**counted.traps, **counted.interrupts})
    worlds = Counter(user=modes["U"], kernel=modes["S"], below=modes["M"])
    return Sample(worlds, traps, Counter(counted.translation))


def _under(technique: str) -> Start:
    def start(task: Task, console: Console | None, engine: str) -> VirtualMachines:
        return VirtualMachines(
            [Vm(task.kernel, task.initrd, task.append, task.memory)],
            technique=technique,
            engine=engine,
            clock="instructions",
            console=console,
        )

    return start


def _virtual_sample(machine: VirtualMachines) -> Sample:
    (vm,) = machine.vms()
    counted = machine.counters()
    modes = counted.instructions
    exits = Counter({f"{row.kind} {row.name}": row.count for row in vm.exits})
    worlds = Counter(user=vm.user, kernel=vm.kernel, below=modes["M"])
    if "VS" in modes:  # where modes change without an exit, only the machine can tell them apart
        worlds.update(user=modes.get("VU", 0) - vm.user, kernel=modes["VS"] - vm.kernel)
    return Sample(worlds, exits, Counter(counted.translation))


TECHNIQUES: dict[str, Technique] = {
    one.name: one
    for one in (
        Technique("native", "bare on the machine, with its firmware", _native, _native_sample),
        Technique("trap", "trap-and-emulate", _under("trap"), _virtual_sample),
        Technique("translate", "binary translation", _under("translate"), _virtual_sample),
        Technique(
            *("paravirt", "paravirtual, with hypercalls", _under("paravirt"), _virtual_sample),
            flavour="kernel-paravirt",
        ),
        Technique("hardware", "in VS-mode, two stages", _under("hardware"), _virtual_sample),
    )
}
