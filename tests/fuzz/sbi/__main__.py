"""`python -m tests.fuzz.sbi --minutes N`: batches of random calls on every carrier in turn.

A batch is repeated by its seed: `--seed N --batches 1`. Findings are printed, and counted.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from random import Random

import click

from ringzero.board import sbi
from tests.fuzz.sbi.answers import fault
from tests.fuzz.sbi.calls import random_call
from tests.fuzz.sbi.carriers import OURS, Carrier, on_qemu
from tests.fuzz.sbi.guest import Call, call

CALLS = 500


def last_call(chooser: Random) -> tuple[Call, int]:
    """A call that ends the guest, and the exit code that it asks for."""
    code = chooser.randrange(1, 256)
    return chooser.choice(
        [
            (call(sbi.LEGACY_SHUTDOWN, 0), 0),
            (call(sbi.SRST, 0, sbi.SHUTDOWN, sbi.NO_REASON), 0),
            (call(sbi.SRST, 0, sbi.SHUTDOWN, sbi.SYSTEM_FAILURE), 1),
            (call(sbi.SRST, 0, sbi.SHUTDOWN, sbi.EXIT_CODE_REASON | code), code),
        ]
    )


def batch(carrier: Carrier, seed: int, count: int, folder: Path) -> list[str]:
    """What is wrong with the answers to `count` random calls."""
    chooser = Random(seed)
    calls = [random_call(chooser, carrier.platform) for _ in range(count)]
    last, code = last_call(chooser)
    where = f"{carrier.name}, seed {seed}"
    try:
        ran = carrier.run(calls, last, folder)
    except Exception as error:
        return [f"{where}: {type(error).__name__}: {str(error)[-300:]}"]
    if len(ran.results) != count:
        shown = ran.output[-300:]
        return [f"{where}: {len(ran.results)} of {count} calls were answered: {shown!r}"]
    found = [
        f"{where}: {each}: {result}: {problem}"
        for each, result in zip(calls, ran.results, strict=True)
        if (problem := fault(each, result, carrier.platform))
    ]
    if ran.code != code:
        found.append(f"{where}: {last} ended with {ran.code}, not {code}")
    return found


@click.command()
@click.option("--minutes", type=float, default=1.0, help="How long.")
@click.option("--seed", type=int, default=None, help="Of the first batch.")
@click.option("--batches", type=int, default=None, help="Stop after so many.")
@click.option("--carrier", "wanted", default="", help="Only those with this in their names.")
@click.option("--qemu", is_flag=True, help="The firmware on QEMU too.")
def main(minutes: float, seed: int | None, batches: int | None, wanted: str, qemu: bool) -> None:
    """Make random SBI calls and compare the answers with the specification."""
    carriers = [c for c in (*OURS, *([on_qemu(3)] if qemu else [])) if wanted in c.name]
    first = int(time.time()) if seed is None else seed
    end, done, findings = time.monotonic() + 60 * minutes, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end and (batches is None or done < batches):
            carrier = carriers[done % len(carriers)]
            for problem in batch(carrier, first + done, CALLS, Path(folder)):
                findings += 1
                print(problem, flush=True)
            done += 1
    print(f"{done} batches of {CALLS} calls from seed {first}: {findings} findings")
    raise SystemExit(findings > 0)


if __name__ == "__main__":
    main()
