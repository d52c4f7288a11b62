"""A soak: Debian's stress-ng for as long as asked, on several harts, without an error anywhere.

`python -m tests.soak --minutes 30` boots Debian's kernel again and again with other stressors in
each round, and ends with 1 at the first round in which the guest's kernel complains, a stressor
fails to verify what it did, or the machine itself ends otherwise than by power-off.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import Any

from ringzero import Machine
from ringzero.bench.initramfs import linux_initramfs
from ringzero.images import fetch_debian
from ringzero.outcome import PoweredOff

ROUNDS = (
    # Processor, memory and the page tables that many change.
    "--cpu {n} --vm {n} --vm-bytes 24M --fault {n} --mmap {n} --mmap-bytes 8M",
    # What harts wait for each other for.
    "--futex {n} --mutex {n} --sem {n} --pipe {n} --switch {n} --atomic {n} --membarrier {n}",
    # Code that comes, changes and goes.
    "--icache {n} --fork {n} --vfork {n} --exec 2 --branch {n} --funccall {n}",
    # Interrupts and translations of other harts.
    "--timer {n} --signal {n} --sigq {n} --tlb-shootdown 2 --affinity 2 --clone {n} --yield {n}",
)
# Powering off loses what the serial driver has not sent yet; stty waits for that (TCSADRAIN).
DRAIN = "status=$?; stty opost; echo ended with $status; stty opost; exit $status"
TROUBLE = re.compile(
    r"\b(BUG:|Oops|WARNING:|Call Trace|soft lockup|rcu: INFO|segfault|stress-ng: fail|unhandled)"
)


def files(command: str) -> tuple[Path, Path]:
    """Debian's kernel, and an initramfs with stress-ng."""
    image = fetch_debian(packages=("stress-ng",))
    assert image.root is not None
    return image.kernel, linux_initramfs(image.root, ("stress-ng",), {"soak": command})


def soak(harts: int, seconds: int, words: str, engine: str) -> tuple[str, str]:
    """One round: what was wrong, or nothing; and which tiers executed it."""
    stress = words.format(n=harts)
    command = f"stress-ng {stress} --verify --timeout {seconds} --oomable 2>&1"
    kernel, initrd = files(f"{command}; {DRAIN}")
    append = "console=ttyS0 panic=-1 ringzero.run=/bench/soak"
    with Machine(
        kernel=kernel,
        initrd=initrd,
        append=append,
        memory=f"{512 + 256 * harts}M",
        cpus=harts,
        engine=engine,
    ) as machine:
        outcome = machine.run(timeout=seconds * 20 + 600)
        said = machine.recorder.data.decode(errors="replace")
        profile = machine.profile()
        compiling: Any = getattr(machine.harts, "compiling", None)
    regions = 100 * profile.in_regions // max(1, profile.slices)
    tiers = f"{regions} % of slices in regions, {profile.compiled} compiled"
    if compiling is not None:
        tiers += f", {compiling.state.traces} traces compiled at once"
    return wrong(outcome, said), tiers


def wrong(outcome: object, said: str) -> str:
    """What is wrong with a round's end, or with what its guest said."""
    if outcome != PoweredOff(0):
        return f"ended with {outcome}; its last words: {said[-2000:]}"
    found = TROUBLE.search(said)
    if found:
        return f"the guest said: {said[max(0, found.start() - 500) : found.end() + 1500]}"
    return "" if "successful run completed" in said else f"no success: {said[-2000:]}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--harts", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=60, help="of each round, in the guest")
    parser.add_argument("--first", type=int, default=1, help="the kind of round to begin with")
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    end, number = time.monotonic() + options.minutes * 60, options.first - 1
    while time.monotonic() < end:
        words = ROUNDS[number % len(ROUNDS)]
        began = time.monotonic()
        flaw, tiers = soak(options.harts, options.seconds, words, options.engine)
        number += 1
        print(f"round {number}: {words} ({time.monotonic() - began:.0f} s; {tiers})", flush=True)
        if flaw:
            print(flaw)
            return 1
    print(f"{number - options.first + 1} rounds without an error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
