"""`ringzero bench`: measure this machine, with QEMU's beside it in the same rounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringzero.cli import report
from ringzero.cli.exits import ExitCode
from ringzero.cli.guest.options import guest_options
from ringzero.errors import RingzeroError

if TYPE_CHECKING:
    from ringzero.bench.benchmark import Benchmark, Result
    from ringzero.bench.subjects import Qemu
    from ringzero.bench.suite import Suite


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Runs of each."
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Begin each benchmark with an empty guest cache, kept over its rounds; show the first, "
    "third and tenth run beside the median.",
)
@click.option(
    "--against",
    type=click.Choice(["qemu", "none"]),
    help="The machine beside ours.  [default: qemu, where it is installed]",
)
@guest_options("engine")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON instead of a table.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A file for the results as JSON, or a folder for one named by date and commit.",
)
@click.option("--list", "as_list", is_flag=True, help="Show what can be measured.")
def bench(
    names: tuple[str, ...],
    rounds: int,
    fresh: bool,
    against: str | None,
    engine: str,
    as_json: bool,
    output: Path | None,
    as_list: bool,
) -> int:
    """Run guests here and in QEMU alternately; medians, and how many times as fast we are.

    NAMES are benchmarks or kinds of them; without any, all are measured. Figures are of whole
    processes, except where a program inside Linux times itself. `spread` is the slowest of our runs
    ÷ the fastest; `--fresh --rounds 10` shows how much of the speed is luck, or kept on disk.
    """
    from ringzero.bench.catalogue import catalogue
    from ringzero.bench.subjects import Ours
    from ringzero.bench.suite import Suite, chosen
    from ringzero.bench.table import listing

    wanted = chosen(catalogue(), names)
    if as_list:
        click.echo(listing(wanted))
        return 0
    peer, version = _peer(against)
    results, extra, failures = _measured(
        wanted, Suite(Ours(engine), peer, rounds, report.detail, fresh), quiet=as_json
    )
    if results:
        _deliver(results, engine, rounds, version, extra, as_json, output)
    return ExitCode.ERROR if failures else 0


def _peer(against: str | None) -> tuple[Qemu | None, str | None]:
    from ringzero.bench.subjects import QEMU, BenchError, Qemu, qemu_version

    if against == "none":
        return None, None
    version = qemu_version()
    if version is None and against == "qemu":
        raise BenchError(f"{QEMU} is not installed: install it, or leave out --against qemu.")
    if version is None:
        report.note(f"{QEMU} is not installed, so there is nothing to compare with.")
        return None, None
    return Qemu(), version


def _measured(
    wanted: list[Benchmark], suite: Suite, quiet: bool
) -> tuple[list[Result], dict[str, float], int]:
    """All results that there are; a benchmark that fails is named, and the others go on."""
    from ringzero.bench.suite import first_compilation
    from ringzero.bench.table import explanation, header, means, row

    results: list[Result] = []
    extra: dict[str, float] = {}
    failures = 0
    if not quiet:
        click.echo(header(suite.fresh))
    try:
        suite.warm()
        for benchmark in wanted:
            try:
                result = suite.measure(benchmark)
                results.append(result)
                if not quiet:
                    click.echo(row(result))
                if benchmark.name == "start":
                    first = first_compilation(benchmark.guest(), suite.ours)
                    extra["first_use_seconds"] = round(first.first, 3)
                    extra["first_use_cpu_seconds"] = round(first.cpu, 3)
            except RingzeroError as error:
                failures += 1
                report.error(str(error))
    finally:
        suite.close()
    if not quiet:
        lines = ["", *means(results), *_memory(results, extra), explanation(suite.fresh)]
        click.echo("\n".join(lines))
    return results, extra, failures


def _memory(results: list[Result], extra: dict[str, float]) -> list[str]:
    lines = []
    if "first_use_seconds" in extra:
        seconds, cpu = extra["first_use_seconds"], extra["first_use_cpu_seconds"]
        lines.append(
            f"with an empty cache, to the first byte: {seconds:.2f} s ({cpu:.2f} s of CPU)"
        )
    if results:
        most = max(results, key=lambda result: max(run.overhead for run in result.ours.runs))
        megabytes = max(run.overhead for run in most.ours.runs) >> 20
        lines.append(f"most memory beyond the guest's: {megabytes} MB ({most.benchmark.name})")
    return lines


def _deliver(
    results: list[Result],
    engine: str,
    rounds: int,
    version: str | None,
    extra: dict[str, float],
    as_json: bool,
    output: Path | None,
) -> None:
    from ringzero.bench.table import record

    made = record(results, engine, rounds, version, extra)
    text = json.dumps(made, indent=1)
    if as_json:
        click.echo(text)
    if output is not None:
        if output.is_dir():
            stamp = made["date"][:16].replace(":", "")
            output /= f"{stamp}-{(made['commit'] or 'unknown').rstrip('+')}.json"
        output.write_text(text + "\n")
        report.note(f"The results are in {output}.")
