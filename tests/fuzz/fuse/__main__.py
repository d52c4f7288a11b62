"""`python -m tests.fuzz.fuse --minutes N`: new sequences until the time is over.

A finding is printed as the shortest sequence that shows it, and counted.
"""

from __future__ import annotations

import time
import traceback

import click
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.fuse.machine import Folders

ROUND = settings(
    max_examples=200,
    stateful_step_count=80,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long to go on.")
def main(minutes: float) -> None:
    """Run rounds of sequences and count what they find."""
    end, rounds, findings = time.monotonic() + 60 * minutes, 0, 0
    while time.monotonic() < end:
        rounds += 1
        try:
            run_state_machine_as_test(Folders, settings=ROUND)
        except Exception:
            findings += 1
            traceback.print_exc()
    click.echo(f"{rounds} rounds of {ROUND.max_examples} sequences, {findings} findings")
    raise SystemExit(bool(findings))


if __name__ == "__main__":
    main()
