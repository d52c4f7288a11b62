"""`ringzero translate-address`: runs a guest up to a moment and shows where addresses lead then."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ringzero.cli import report
from ringzero.cli.guest.options import guest_options
from ringzero.cli.guest.plan import Plan, with_image
from ringzero.cli.guest.values import Duration
from ringzero.cli.guest.vms import vm_plans
from ringzero.errors import UsageError
from ringzero.hypervisor.techniques import TECHNIQUES

if TYPE_CHECKING:
    from ringzero.machines.riscv import Machine

LONGEST_EXIT = 10_000  # instructions of firmware or hypervisor in a row


@click.command("translate-address")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS…")
@click.option("--after", type=Duration(), help="Look when the guest has run for this time, here.")
@click.option(
    "--at-instruction",
    type=click.IntRange(1),
    metavar="N",
    help="Look after N instructions, the same moment in each run.",
)
@click.option("--at-text", metavar="REGEX", help="Look when the console has shown this.")
@click.option(
    "--access",
    type=click.Choice(["load", "store", "fetch"]),
    default="load",
    show_default=True,
    help="What the address would be used for.",
)
@click.option(
    "--mode",
    type=click.Choice(["U", "S", "VU", "VS"]),
    default=None,
    help="Whose rights; U or S for a guest of --cpu.  [default: what runs at that moment]",
)
@click.option("--vm", type=click.IntRange(0), help="Which VM.  [default: the one that runs]")
@guest_options("cpu", cpu={"type": click.Choice(["emulate", *TECHNIQUES])})
@click.option("--image", help="An image as in `ringzero run`.  [default: debian, or guest]")
@guest_options("kernel", "initrd", "bios", "append", "memory")
@click.option("--json", "as_json", is_flag=True, help="The walks as JSON.")
def translate_address(
    addresses: tuple[str, ...],
    after: float | None,
    at_instruction: int | None,
    at_text: str | None,
    access: str,
    mode: str | None,
    vm: int | None,
    image: str | None,
    as_json: bool,
    **machine: Any,
) -> int:
    """Show how each ADDRESS is translated, step by step: a number, or a register such as pc or sp.

    On the machine itself that is one stage, or two where a hypervisor runs in it (--mode VS). For
    a guest of our hypervisor the guest's tables and the shadow stand side by side (--cpu trap), or
    both stages are shown (--cpu hardware).

    \b
    ringzero translate-address --at-text "~ #" --image debian sp pc
    ringzero translate-address --cpu trap --at-instruction 4000000 --image guest 0x80200000
    """
    from ringzero.cli.guest.machine import make_machine
    from ringzero.machines.riscv import Machine
    from ringzero.trace.guest_walk import walk_now

    if (after, at_instruction, at_text).count(None) != 2:
        raise UsageError("Say when to look, by one of --after, --at-instruction and --at-text.")
    clock = "host" if after is not None else "instructions"
    plan = Plan(title="", cpus=1, engine="auto", clock=clock, **machine)
    plan = with_image(plan, image) if plan.cpu == "emulate" else vm_plans(plan, (), image, True)
    report.detail(plan.as_text())
    watch = Watch(at_text)
    with make_machine(plan, watch) as made:
        assert isinstance(made, Machine), "this command offers RISC-V's techniques only"
        watch.machine = made
        _run_until(made, after, at_instruction)
        index = -1 if vm is None else vm
        walks = [
            walk_now(made, _number(made, text), access, mode or "", index) for text in addresses
        ]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in walks], indent=1))
    else:
        click.echo("\n\n".join(str(one) for one in walks))
    return 0


class Watch:
    """A console that stops the machine once it has shown a text."""

    def __init__(self, pattern: str | None) -> None:
        self.pattern = None if pattern is None else re.compile(pattern.encode())
        self.data = bytearray()
        self.machine: Machine | None = None

    def write(self, data: bytes) -> None:
        """From the guest, between two of its instructions."""
        self.data += data
        if self.pattern and self.machine is not None and self.pattern.search(self.data):
            self.pattern = None
            self.machine.pause()


def _run_until(machine: Machine, after: float | None, instructions: int | None) -> None:
    """Run up to the moment; refuse a guest that ends before."""
    from ringzero.isa.hart import M
    from ringzero.outcome import Paused, TimedOut

    outcome = machine.run(timeout=after, instructions=instructions)
    if not isinstance(outcome, TimedOut | Paused):
        raise UsageError(f"The guest ended before then ({outcome}): choose an earlier moment.")
    for _ in range(LONGEST_EXIT):  # out of the hypervisor or firmware, which has other registers
        if int(machine.harts.hart(0).mode) != M or machine.harts.idle(0):
            return
        machine.step()


def _number(machine: Machine, text: str) -> int:
    """An address, or what a register holds."""
    try:
        return int(text, 0) & 2**64 - 1
    except ValueError:
        return machine.read_register(text)
