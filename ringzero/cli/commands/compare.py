"""`ringzero compare`: one guest under each technique, and one table of what everything costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringzero.cli import report
from ringzero.cli.guest.options import guest_options
from ringzero.cli.guest.values import SIZE_HELP
from ringzero.errors import UsageError

if TYPE_CHECKING:
    from ringzero.compare.results import Results
    from ringzero.compare.techniques import Task, Technique
    from ringzero.images import DebianImage


BUNDLED = "self-tests of the bundled kernel"
MEMORY = f"The workload's RAM: {SIZE_HELP}.  [default: 128M; 512M for debian, paravirt-linux]"
KVM = "kvm"  # its column is in host time: ringzero/compare/host.py


@click.command()
@click.argument("guest", type=click.Choice(["guest", "debian", "paravirt-linux"]), required=False)
@click.option(
    "--techniques",
    metavar="NAME,…",
    help="Only these columns, in this order.  [default: all]",
)
@guest_options(
    *("kernel", "initrd", "append", "memory", "engine"),
    kernel={"help": "A workload instead of GUEST: a RISC-V Linux Image or ELF that powers off."},
    append={"help": "More words for the workload's kernel, such as cryptomgr.notests."},
    memory={"default": None, "help": MEMORY},
)
@click.option("--json", "as_json", is_flag=True, help="The results as JSON instead of tables.")
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="A file for a bar chart."
)
def compare(
    guest: str | None,
    techniques: str | None,
    kernel: Path | None,
    initrd: Path | None,
    append: str,
    memory: int | None,
    engine: str,
    as_json: bool,
    svg: Path | None,
) -> int:
    """Run one guest under each technique: instructions by world, exits by cause, and time.

    GUEST is the workload: `guest`, the bundled kernel's self-tests, where nothing is named;
    `debian`, a boot of Debian's kernel to power-off; or `paravirt-linux`, a boot of the Linux that
    `ringzero image build` makes, the same under each technique. Operations are always the
    bundled kernel's nanobenchmarks. The clock counts instructions, so that all figures but the
    seconds are the same in each run.
    """
    from ringzero.compare.host import HostColumn, measure

    wanted = None if techniques is None else techniques.split(",")
    columns = _columns([] if wanted is None else [name for name in wanted if name != KVM])
    task = _task(guest, kernel)
    task = replace(task, initrd=initrd or task.initrd, memory=memory or task.memory)
    if append:
        name = f"{task.name} with {append}"
        task = replace(task, name=name, append=f"{task.append} {append}".strip())
    results = _measured(columns, task, engine)
    host = measure() if wanted is None or KVM in wanted else HostColumn(unavailable="Not asked.")
    if svg is not None:
        from ringzero.compare.chart import svg as drawn

        svg.write_text(drawn(results), encoding="utf-8")
        report.note(f"The chart is in {svg}.")
    if as_json:
        click.echo(json.dumps({**results.data(), KVM: host.data()}, indent=1))
    else:
        _show(results)
        if wanted is None or KVM in wanted:
            click.echo(host.text())
    return 0


def _show(results: Results) -> None:
    import sys

    from rich.console import Console

    # Where nobody's window says how wide it is, no column is cut.
    results.show(Console(width=None if sys.stdout.isatty() else 180))


def _columns(named: list[str]) -> list[Technique]:
    from ringzero.compare.techniques import TECHNIQUES

    wanted = named or list(TECHNIQUES)
    for name in wanted:
        if name not in TECHNIQUES:
            raise UsageError(
                f"There is no technique {name!r} to compare: choose from "
                f"{', '.join([*TECHNIQUES, KVM])}."
            )
    return [TECHNIQUES[name] for name in wanted]


def _task(guest: str | None, kernel: Path | None) -> Task:
    from ringzero.compare.techniques import Task

    if kernel is not None:
        if guest is not None:
            raise UsageError(f"Both an image ({guest}) and --kernel are given: leave one out.")
        return Task(str(kernel), kernel)
    if guest in (None, "guest"):
        from ringzero.guests import build

        return Task(BUNDLED, build("kernel"), append="mode=test")
    from ringzero.images import fetch_debian

    with report.progress() as progress:
        image = fetch_debian(progress=progress)
    if guest == "paravirt-linux":
        return _paravirt_task(image)
    append = "console=ttyS0 quiet panic=-1 ringzero.run=true"
    title = f"boot and power-off of Linux {image.version}"
    return Task(title, image.kernel, image.initrd, append, 512 << 20)


def _paravirt_task(debian: DebianImage) -> Task:
    from ringzero.compare.techniques import Task
    from ringzero.images.paravirt_linux import find_paravirt_linux

    image = find_paravirt_linux()
    if image is None:
        raise UsageError(
            "The paravirtual Linux has not been built here: run `ringzero image build "
            "paravirt-linux` first."
        )
    title = f"boot and power-off of paravirtual Linux {image.version}"
    append = "console=hvc0 quiet panic=-1 ringzero.run=true"
    return Task(title, image.kernel, debian.initrd, append, 512 << 20)


def _measured(columns: list[Technique], task: Task, engine: str) -> Results:
    from ringzero.compare.measure import operations, workload
    from ringzero.compare.results import Results
    from ringzero.guests import build

    costs, works = {}, {}
    for technique in columns:
        report.detail(f"Measuring {technique.name}: {technique.title}…")
        kernel = build(technique.flavour)
        own = replace(task, kernel=kernel) if task.name.startswith(BUNDLED) else task
        costs[technique.name] = operations(technique, kernel)
        works[technique.name] = workload(technique, own, engine)
    return Results(task.name, costs, works)
