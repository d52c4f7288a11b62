"""`ringzero build`: the project's own riscv64 programs as files, for QEMU and other boards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ringzero.cli import report
from ringzero.cli.guest.choices import VmChoice
from ringzero.cli.guest.options import guest_options
from ringzero.hypervisor.techniques import TECHNIQUES

if TYPE_CHECKING:
    from ringzero.lang.image import Image

PROGRAMS = ("firmware", "guest", "hypervisor")


@click.command()
@click.argument("program", type=click.Choice(PROGRAMS))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write.",
)
@click.option("--flat", is_flag=True, help="Memory as it is, without the ELF around it.")
@guest_options(
    *("kernel", "initrd", "append", "memory", "vms", "cpu"),
    of="hypervisor",
    cpu={"type": click.Choice(TECHNIQUES), "default": "trap"},
)
@click.option(
    "--report", "tell", is_flag=True, help="hypervisor: print the exit tables at its end."
)
def build(program: str, output: Path, flat: bool, **guests: Any) -> None:
    """Compile one of ringzero's own programs for riscv64.

    `firmware` is the built-in SBI, and `guest` the bundled kernel; `qemu-system-riscv64 -M virt`
    takes them too, with -bios and -kernel. `hypervisor` has its guests inside, the bundled kernel
    where none is named: `-bios none -kernel hv.elf`, with `-m` as this command says.
    """
    if program == "hypervisor":
        if flat:
            raise click.UsageError("The hypervisor's memory is in pieces: leave out --flat.")
        image, needed = _hypervisor(**guests)
    else:
        image, needed = _program(program), 0
    data = image.flat if flat else image.elf
    output.write_bytes(data)
    wants = f"; the machine needs {needed >> 20} MB of RAM" if needed else ""
    report.note(f"{output} is written: {len(data)} bytes{wants}.")


def _program(name: str) -> Image:
    if name == "firmware":
        from ringzero.firmware import build as build_firmware

        return build_firmware()
    from ringzero.guests import build as build_guest

    return build_guest("kernel")


def _hypervisor(vms: tuple[VmChoice, ...], tell: bool, **guest: Any) -> tuple[Image, int]:
    """The image, and how much RAM a machine needs for it."""
    from ringzero.cli.guest.plan import Plan
    from ringzero.cli.guest.vms import chosen_vms, vm_plans
    from ringzero.machines.virtual import compose

    plan = Plan(title="", bios=None, cpus=1, engine="auto", clock="host", **guest)
    named = vms or guest["kernel"] is not None
    plan = vm_plans(plan, vms, None if named else "guest", fetch=True)
    built = compose(chosen_vms(plan), plan.cpu, report=tell)
    return built.image, built.memory
