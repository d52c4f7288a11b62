"""Guests under our hypervisor: the plan for each, the machine that runs them, and its tables."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ringzero.cli.guest.choices import VmChoice
from ringzero.cli.guest.command import with_command
from ringzero.cli.guest.plan import Plan, with_image
from ringzero.errors import UsageError

if TYPE_CHECKING:
    from ringzero.machines.virtual import VirtualMachines, Vm


def vm_plans(plan: Plan, choices: tuple[VmChoice, ...], image: str | None, fetch: bool) -> Plan:
    """The run with a plan for each VM, or for the only one where none was named."""
    refuse_what_it_lacks(plan)
    if not choices:
        one = with_image(plan, image, fetch=fetch)
        return replace(one, vms=(replace(one, name="vm0"),))
    if len({each.name for each in choices}) < len(choices):
        raise UsageError("Two VMs have the same name: give each its own.")
    made = [_planned(plan, each, image, fetch) for each in choices]
    return replace(plan, title=f"{len(made)} virtual machines", vms=tuple(made))


def _planned(plan: Plan, wanted: VmChoice, image: str | None, fetch: bool) -> Plan:
    base = replace(
        plan,
        name=wanted.name,
        cpu=wanted.cpu or plan.cpu,
        kernel=wanted.kernel or (None if wanted.image else plan.kernel),
        initrd=wanted.initrd or plan.initrd,
        append=plan.append if wanted.append is None else wanted.append,
        memory=wanted.memory or plan.memory,
    )
    named = wanted.image or (None if base.kernel else image)
    return with_image(base, named, fetch=fetch)


def vms_with_command(plan: Plan, words: tuple[str, ...]) -> Plan:
    """The run with a command for its only guest."""
    if not words:
        return plan
    if len(plan.vms) > 1:
        raise UsageError("A command after `--` is for one guest: leave out --vm, or the command.")
    one = with_command(plan.vms[0], words)
    return replace(plan, vms=(one,), append=one.append, command=one.command)


def refuse_what_it_lacks(plan: Plan) -> None:
    """Options that mean a machine of one's own."""
    there = {
        "--bios": plan.bios not in (None, "none"),
        "--cpus": plan.cpus > 1,
        "--disk": bool(plan.disks),
        "--mount": bool(plan.mounts),
    }
    for name, given in there.items():
        if given:
            raise UsageError(
                f"{name} has no meaning with --cpu {plan.cpu}: the hypervisor gives a guest one "
                "hart, a UART, a timer and an interrupt controller; use --cpu emulate."
            )


def chosen_vms(plan: Plan) -> list[Vm]:
    """The plan's guests."""
    from ringzero.machines.virtual import Vm

    vms = []
    for one in plan.vms:
        kernel: Any = one.kernel
        if one.bundled:
            from ringzero.guests import build

            kernel = build(one.bundled)
        vms.append(Vm(kernel, one.initrd, one.append, one.memory, one.name, one.cpu))
    return vms


def virtual_machines(plan: Plan, console: Any) -> VirtualMachines:
    """The machine with the hypervisor and the plan's VMs."""
    from ringzero.machines.virtual import VirtualMachines

    return VirtualMachines(
        chosen_vms(plan),
        technique=plan.cpu,
        engine=plan.engine,
        clock=plan.clock,
        console=console,
        count_sites=plan.show == "translation",
    )


def vms_text(machine: VirtualMachines) -> str:
    """The exit tables."""
    from ringzero.hypervisor.host.report import text

    names = [f"{index}: {name}" for index, name in enumerate(machine.names) if name != f"vm{index}"]
    heading = [f"VMs by name: {', '.join(names)}"] if names else []
    return "\n".join([*heading, text(machine.vms())])


def vms_json(machine: VirtualMachines) -> list[dict[str, Any]]:
    """The same in terms of JSON."""
    reports = machine.vms()
    return [
        {
            "name": machine.names[one.index],
            **one.data(),
            "sites": [asdict(site) for site in machine.sites(one.index)],
        }
        for one in reports
    ]


def sites_text(machine: VirtualMachines) -> str:
    """What translation rewrites, VM by VM."""
    from ringzero.hypervisor.host.listing import text

    lists = [(name, machine.sites(index)) for index, name in enumerate(machine.names)]
    return "\n".join(f"{name}: {len(found)} sites\n{text(found)}" for name, found in lists)
