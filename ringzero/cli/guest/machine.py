"""The machine that a plan describes, whichever of the three kinds it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringzero.cli import report
from ringzero.cli.guest.kvm import kvm_machine
from ringzero.cli.guest.plan import Plan
from ringzero.cli.guest.vms import virtual_machines

if TYPE_CHECKING:
    from ringzero.machines.base import BaseMachine

SLOW = {"interpreter": "the interpreter", "compiler": "the compiler"}
"""Kinds of cached objects that take seconds to make."""


def make_machine(plan: Plan, console: Any) -> BaseMachine:
    """What the plan describes, not yet running; without a console it keeps what is written."""
    if plan.cpu == "kvm":
        return kvm_machine(plan, console)
    from ringzero.cli.guest.disks import refuse_other_formats
    from ringzero.lang import cache
    from ringzero.machines.riscv import Machine

    cache.announce = _announce
    if plan.vms:
        return virtual_machines(plan, console)
    for disk in plan.disks:
        refuse_other_formats(disk)
    kernel: Any = plan.kernel
    if plan.bundled:
        from ringzero.guests import build

        kernel = build(plan.bundled)
    return Machine(
        memory=plan.memory,
        cpus=plan.cpus,
        engine=plan.engine,
        clock=plan.clock,
        parallel=plan.parallel,
        kernel=kernel,
        initrd=plan.initrd,
        append=plan.append,
        bios=plan.bios,
        disks=plan.disks,
        mounts=plan.mounts,
        console=console,
    )


def _announce(kind: str) -> None:
    if kind in SLOW:
        report.note(f"Compiling {SLOW[kind]} for this host, once for this version…")
