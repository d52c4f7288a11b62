"""`python -m tests.lockstep`: compare an engine with Spike on random programs."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.lockstep.compare import Difference, Lockstep
from tests.lockstep.spike import SpikeMissing
from tests.lockstep.layout import SIZE
from tests.lockstep.subjects import SUBJECTS


def main() -> int:
    """0 without a difference, 1 with one, 125 if there is nothing to compare with."""
    parser = argparse.ArgumentParser(prog="python -m tests.lockstep", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="steps to compare")
    parser.add_argument("--seed", type=int, default=1, help="the first program's seed")
    parser.add_argument("--engine", choices=sorted(SUBJECTS), default="reference")
    parser.add_argument("--keep-going", action="store_true", help="report every program's difference")
    options = parser.parse_args()
    try:
        lockstep = Lockstep(SUBJECTS[options.engine](SIZE))
    except SpikeMissing as error:
        print(f"lockstep: {error}", file=sys.stderr)
        return 125
    return compare(lockstep, options)


def compare(lockstep: Lockstep, options: argparse.Namespace) -> int:
    """Program after program until enough steps were compared."""
    steps, seed, differences = 0, options.seed, 0
    traps: Counter[int] = Counter()
    modes: Counter[int] = Counter()
    begun = last = time.monotonic()
    while steps < options.count:
        try:
            outcome = lockstep.run(seed)
            traps.update(outcome.traps)
            modes.update(outcome.modes)
        except Difference as difference:
            print(difference, flush=True)
            differences += 1
            if not options.keep_going:
                break
        steps += lockstep.outcome.steps
        seed += 1
        if time.monotonic() - last > 10:
            last = time.monotonic()
            print(f"{steps} steps, {differences} differences", file=sys.stderr, flush=True)
    spent = time.monotonic() - begun
    kinds = ", ".join(f"{'interrupt ' if c >> 63 else ''}{c & 63}: {n}" for c, n in sorted(traps.items()))
    told = ", ".join(f"{'US?M'[mode]}: {n}" for mode, n in sorted(modes.items()))
    print(f"{options.engine}: {steps} steps of {seed - options.seed} programs compared with Spike "
          f"in {spent:.0f} s ({steps / max(spent, 0.001):.0f}/s), {differences} differences")
    print(f"retired by mode: {told}\ntraps by cause: {kinds}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
