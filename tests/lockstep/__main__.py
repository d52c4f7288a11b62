"""`python -m tests.lockstep`: compare an engine with Spike on random programs."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.lockstep.compare import MODES, Difference, Lockstep
from tests.lockstep.layout import SIZE
from tests.lockstep.spike import SpikeMissing
from tests.lockstep.strides import Strides
from tests.lockstep.subjects import SUBJECTS


def main() -> int:
    """0 without a difference, 1 with one, 125 if there is nothing to compare with."""
    parser = argparse.ArgumentParser(prog="python -m tests.lockstep", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="steps to compare")
    parser.add_argument("--seed", type=int, default=1, help="the first program's seed")
    parser.add_argument("--engine", choices=sorted(SUBJECTS), default="interpreter")
    parser.add_argument("--strides", action="store_true", help="run freely between comparisons")
    parser.add_argument("--keep-going", action="store_true", help="report all differences")
    parser.add_argument("--hypervisor", action="store_true", help="with H, and guests")
    options = parser.parse_args()
    try:
        pair: Callable[..., Lockstep] = Strides if options.strides else Lockstep
        lockstep = pair(SUBJECTS[options.engine](SIZE), hypervisor=options.hypervisor)
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
    told = f"{steps} steps of {seed - options.seed} programs compared with Spike in {spent:.0f} s"
    rate = steps / max(spent, 0.001)
    print(f"{options.engine}: {told} ({rate:.0f}/s), {differences} differences")
    print("retired by mode:", ", ".join(f"{MODES[m]}: {n}" for m, n in sorted(modes.items())))
    print("traps by cause:", ", ".join(f"{_cause(c)}: {n}" for c, n in sorted(traps.items())))
    return 1 if differences else 0


def _cause(cause: int) -> str:
    return f"interrupt {cause & 63}" if cause >> 63 else str(cause)


if __name__ == "__main__":
    sys.exit(main())
