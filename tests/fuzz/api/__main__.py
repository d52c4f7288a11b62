"""`python -m tests.fuzz.api --minutes N`: new sequences until the time is over.

A finding is a sequence whose process ends by a signal, with an exception that is no sentence, with
something left over, or not at all; its seed and last lines are printed.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

ROOT = Path(__file__).parents[3]
STEPS = 120
LINES = 12  # of a process's output that a finding shows
TIMEOUT = 300


def run(seed: int, steps: int, folder: Path) -> str | None:
    """How a sequence went: None where there was nothing to find."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.api.sequence"]
    try:
        done = subprocess.run(
            [*command, str(seed), str(steps), str(folder)],
            cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=TIMEOUT,
            check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        told = (expired.stdout or b"").decode(errors="replace").splitlines()[-LINES:]
        return "\n".join([f"seed {seed} does not end", *told])
    if done.returncode == 0:
        return None
    told = [*done.stdout.splitlines()[-LINES:], *done.stderr.splitlines()[-3 * LINES :]]
    return "\n".join([f"seed {seed} ended with {done.returncode}", *told])


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long to go on.")
@click.option("--seed", type=int, help="One sequence again.")
@click.option("--steps", default=STEPS, show_default=True, help="Things done in each sequence.")
def main(minutes: float, seed: int | None, steps: int) -> None:
    """Run sequences and count what they find."""
    end, count, findings = time.monotonic() + 60 * minutes, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        while count == 0 or (seed is None and time.monotonic() < end):
            count += 1
            chosen = random.getrandbits(32) if seed is None else seed
            found = run(chosen, steps, Path(folder))
            if found is not None:
                findings += 1
                click.echo(found)
    click.echo(f"{count} sequences of {steps} uses, {findings} findings")
    raise SystemExit(bool(findings))


if __name__ == "__main__":
    main()
