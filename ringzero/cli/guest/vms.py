"""Guests under our hypervisor, from the command line or from TOML, and the machine that runs them.

`--vm NAME:kernel=FILE,initrd=FILE,append=TEXT,memory=128M` may be repeated; `--vms FILE.toml` holds
the same as `[[vm]]` tables. What a VM leaves out comes from the run's other options.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ringzero.cli.guest.plan import Plan, with_command, with_image
from ringzero.cli.guest.values import Size
from ringzero.errors import UsageError

if TYPE_CHECKING:
    from ringzero.machines.virtual import VirtualMachines, Vm

KEYS = ("image", "kernel", "initrd", "append", "memory", "cpu")


@dataclass(frozen=True)
class VmChoice:
    """One VM as it was asked for; None is what the run's other options say."""

    name: str
    image: str | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    append: str | None = None
    memory: int | None = None
    cpu: str | None = None


class VmType(click.ParamType[VmChoice]):
    """`NAME[:key=value,…]`."""

    name = "vm"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> VmChoice:
        if isinstance(value, VmChoice):
            return value
        return choice(parse_vm(str(value)))


def parse_vm(text: str) -> dict[str, str]:
    """What `NAME:kernel=…,append=…,memory=…` or `NAME` says; commas may stand in values."""
    name, _, rest = text.partition(":")
    found = {"name": name}
    if not name or "=" in name:
        raise UsageError(f"{text!r} names no VM: write NAME, or NAME:kernel=FILE,memory=128M.")
    for piece in re.split(rf",(?=(?:{'|'.join(KEYS)})=)", rest) if rest else ():
        key, equals, value = piece.partition("=")
        if not equals or key not in KEYS or key in found:
            raise UsageError(
                f"{piece!r} says nothing about the VM {name}: write each of "
                f"{', '.join(KEYS)} at most once, as in kernel=FILE."
            )
        found[key] = value
    return found


def choice(said: dict[str, Any], folder: Path = Path()) -> VmChoice:
    """What keys and values say; files are relative to `folder`."""
    name = str(said.get("name", ""))
    unknown = set(said) - {"name", *KEYS}
    if not name or unknown:
        what = f"has the unknown key {min(unknown)!r}" if unknown else "has no name"
        raise UsageError(f"A VM {what}: `name` and {', '.join(KEYS)} are known.")
    files = {key: folder / said[key] for key in ("kernel", "initrd") if key in said}
    memory = said.get("memory")
    return VmChoice(
        name,
        said.get("image"),
        append=said.get("append"),
        cpu=said.get("cpu"),
        memory=None if memory is None else Size().convert(memory, None, None),
        **files,
    )


def read_toml(path: Path) -> tuple[VmChoice, ...]:
    """The VMs of a TOML file."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("vm", [])
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is no TOML ({error}): write a [[vm]] table for each VM."
        ) from None
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path} has no list of VMs: write a [[vm]] table for each.")
    if not tables:
        raise UsageError(f"{path} names no VM: write a [[vm]] table for each.")
    return tuple(choice(table, path.parent) for table in tables)


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
