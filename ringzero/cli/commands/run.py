"""`ringzero run`: boot an image or a kernel and hand it the terminal."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ringzero.cli import report
from ringzero.cli.exits import Ending, ExitCode, guest_code
from ringzero.cli.guest.choices import VmChoice, read_toml
from ringzero.cli.guest.command import with_command
from ringzero.cli.guest.kvm import kvm_plan
from ringzero.cli.guest.machine import make_machine
from ringzero.cli.guest.options import guest_options
from ringzero.cli.guest.plan import Plan, with_image
from ringzero.cli.guest.values import Duration
from ringzero.cli.guest.vms import sites_text, vm_plans, vms_json, vms_text, vms_with_command
from ringzero.errors import UsageError

if TYPE_CHECKING:
    from ringzero.cli.console.panic import Panicked
    from ringzero.machines.base import BaseMachine
    from ringzero.machines.virtual import VirtualMachines
    from ringzero.outcome import Outcome

COMMAND = "ringzero.command"
"""Where click's context keeps the words after `--`."""


class RunCommand(click.Command):
    """Keeps what follows `--` apart, so that `run -- CMD` does not take CMD for an image."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            place = args.index("--")
            ctx.meta[COMMAND] = tuple(args[place + 1 :])
            args = args[:place]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- CMD]"]


@click.command(cls=RunCommand)
@click.argument("image", required=False)
@guest_options(
    *("cpu", "engine", "memory", "cpus", "bios", "kernel", "initrd", "append"),
    *("disks", "mounts", "vms"),
)
@click.option(
    "--vms",
    "vms_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.toml",
    help="With --cpu trap, the guests of a file: a [[vm]] table with name and the keys of --vm.",
)
@click.option("--timeout", type=Duration(), help="End the machine after this time, with 124.")
@guest_options("clock")
@click.option(
    "--parallel/--turns",
    default=None,
    help="Each hart on a thread of its own, or all in turns on one. "
    "[default: parallel with the host's clock, up to 8 harts for a processor of the host]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be run, and do not.")
@click.option(
    "--show",
    type=click.Choice(["translation"]),
    help="With --cpu translate: list what is rewritten, with counts. Takes as long as --cpu trap.",
)
@click.option(
    "--stats",
    is_flag=True,
    help="At the end, count instructions, traps, interrupts; with -v, compiled code too.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="The outcome, or the plan of --dry-run, as JSON."
)
@click.option("-v", "--verbose", is_flag=True, help="Say what is done.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    image: str | None,
    vms: tuple[VmChoice, ...],
    vms_file: Path | None,
    timeout: float | None,
    dry_run: bool,
    stats: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **machine: Any,
) -> int:
    """Boot IMAGE, a kernel file or --kernel, with the console in this terminal.

    Without any of them: `debian`, or `guest` where no Debian can be had. With `-- CMD` the image
    `debian` runs a command and powers off, and its exit code becomes this one's.

    Ctrl-A x ends the machine, Ctrl-A h shows the other keys; Ctrl-C goes to the guest.
    """
    level = report.Verbosity.VERBOSE if verbose else report.Verbosity.NORMAL
    report.set_verbosity(report.Verbosity.QUIET if quiet else level)
    plan = Plan(title="", **machine)
    if vms_file is not None:
        vms += read_toml(vms_file)
    plan = _with_guests(plan, vms, image, fetch=not dry_run)
    words = ctx.meta.get(COMMAND, ())
    plan = vms_with_command(plan, words) if plan.vms else with_command(plan, words)
    if dry_run:
        click.echo(json.dumps(plan.as_json(), indent=1) if as_json else plan.as_text())
        return 0
    report.detail(plan.as_text())
    return _boot(plan, timeout, stats, as_json, ctx.find_object(Ending))


def _with_guests(plan: Plan, vms: tuple[VmChoice, ...], image: str | None, fetch: bool) -> Plan:
    """The plan with what is booted, in the way of the technique."""
    if plan.show and plan.cpu != "translate":
        raise UsageError("--show translation lists what --cpu translate rewrites: use that.")
    if plan.cpu == "kvm":
        if vms:
            raise UsageError("VMs need our own hypervisor: use --cpu trap, or leave them out.")
        return kvm_plan(plan, image, fetch=fetch)
    if plan.cpu != "emulate":
        return vm_plans(plan, vms, image, fetch=fetch)
    if vms:
        raise UsageError("VMs need a technique that shares the CPU: add --cpu trap.")
    return with_image(plan, image, fetch=fetch)


def _boot(
    plan: Plan, timeout: float | None, stats: bool, as_json: bool, ending: Ending | None
) -> int:
    """Run the plan until the guest ends for good; the exit code."""
    from ringzero.cli.console import terminal
    from ringzero.cli.console.session import Session
    from ringzero.lang import cache
    from ringzero.lang.cache_limit import limit, trim_if_written
    from ringzero.outcome import Rebooted

    session = Session(plan.memory)
    deadline = None
    while True:
        with make_machine(plan, session.output) as machine:
            if timeout is not None and deadline is None:
                deadline = time.monotonic() + timeout  # compiling an engine is not the guest's time
            with terminal.raw(terminal.STDIN, session.end, session.resized):
                outcome = session.run(machine, deadline)
            elapsed = time.monotonic() - session.started
            if isinstance(outcome, Rebooted) and session.alone:
                outcome = session.output.watch.last() or outcome
            if isinstance(outcome, Rebooted) and plan.command is None:
                report.detail("The guest reboots.")
                continue
            code = _exit_code(outcome, plan)
            _report(plan, machine, outcome, code, elapsed, stats, as_json)
            if ending is not None:
                machine.abandon()
                cache.settle()
                trim_if_written(limit())
                ending.quick = True
            return code


def _exit_code(outcome: Outcome | Panicked | None, plan: Plan) -> int:
    from ringzero.cli.console.panic import Panicked
    from ringzero.outcome import Halted, PoweredOff, Rebooted, TimedOut

    match outcome:
        case None:
            return 0
        case PoweredOff():
            return guest_code(outcome.code)
        case TimedOut():
            report.note("The guest was still running when its time was up.")
            return ExitCode.TIMEOUT
        case Rebooted():
            report.error(f"The guest restarted instead of ending `{plan.command}`: it panicked?")
            return ExitCode.PANIC
        case Panicked():
            report.error(outcome.text(plan.memory))
            return ExitCode.PANIC
        case Halted():
            report.error(str(outcome))
            return ExitCode.PANIC
    raise TypeError(f"a run ended with {outcome!r}, which has no exit code")


def _report(
    plan: Plan,
    machine: BaseMachine,
    outcome: Outcome | Panicked | None,
    code: int,
    elapsed: float,
    stats: bool,
    as_json: bool,
) -> None:
    """The closing words, on standard error: the guest has standard output to itself."""
    if not (stats or as_json or plan.show):
        return
    from ringzero.cli.views.statistics import profile_text, statistics_json, statistics_text

    guests = _guests(plan, machine)
    if plan.show and guests and not as_json:
        report.text(sites_text(guests))
    if as_json:
        told = {
            "outcome": "ended by the user" if outcome is None else type(outcome).__name__,
            **({} if outcome is None else asdict(outcome)),
            "exit_code": code,
            "counters": statistics_json(machine.counters(), elapsed),
            **({"vms": vms_json(guests)} if guests else {}),
        }
        report.text(json.dumps(told))
    elif stats:
        report.text(statistics_text(machine.counters(), elapsed))
        profile = getattr(machine, "profile", None)  # the host's processor has none
        if profile is not None and report.verbosity >= report.Verbosity.VERBOSE:
            report.text(profile_text(profile()))
        if guests:
            report.text(vms_text(guests))


def _guests(plan: Plan, machine: BaseMachine) -> VirtualMachines | None:
    """The machine, where it is a hypervisor's; other runs do not import that one."""
    if not plan.vms:
        return None
    from ringzero.machines.virtual import VirtualMachines

    return machine if isinstance(machine, VirtualMachines) else None
