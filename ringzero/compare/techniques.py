"""The table of techniques: how each starts a guest, and how it is asked what was executed by whom.

A new technique joins the comparison as one more entry of TECHNIQUES.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringzero.api import Machine
from ringzero.virtual import VirtualMachines, Vm

if TYPE_CHECKING:
    from ringzero.composition import Console
    from ringzero.lang.image import Image

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
    """What was executed up to a moment: instructions by world, and exits by cause."""

    worlds: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)

    def since(self, before: Sample) -> Sample:
        """What came after another sample."""
        worlds, exits = Counter(self.worlds), Counter(self.exits)
        worlds.subtract(before.worlds)
        exits.subtract(before.exits)
        return Sample(worlds, exits)

    def plus(self, other: Sample) -> Sample:
        """Both."""
        worlds, exits = Counter(self.worlds), Counter(self.exits)
        worlds.update(other.worlds)
        exits.update(other.exits)
        return Sample(worlds, exits)


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
    from ringzero.hypervisor.device_tree import EXTENSIONS

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
    return Sample(Counter(user=modes["U"], kernel=modes["S"], below=modes["M"]), traps)


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
    below = machine.counters().instructions["M"]
    exits = Counter({f"{row.kind} {row.name}": row.count for row in vm.exits})
    return Sample(Counter(user=vm.user, kernel=vm.kernel, below=below), exits)


TECHNIQUES: dict[str, Technique] = {
    one.name: one
    for one in (
        Technique("native", "bare on the machine, with its firmware", _native, _native_sample),
        Technique("trap", "trap-and-emulate", _under("trap"), _virtual_sample),
        Technique(
            *("paravirt", "paravirtual, with hypercalls", _under("paravirt"), _virtual_sample),
            flavour="kernel-paravirt",
        ),
    )
}
