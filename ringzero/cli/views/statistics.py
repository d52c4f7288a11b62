"""Counters and registers of a machine as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ringzero.machines.counters import Counters

if TYPE_CHECKING:
    from ringzero.engine.ports import Profile

SITES = 5  # places of side exits that are shown
PLACES = 20  # devices that exits went to


def statistics_text(counters: Counters, elapsed: float) -> str:
    """A table of what was executed, by mode and cause; on the host's hardware, of its exits."""
    return _exits(counters) if counters.exits else _instructions(counters, elapsed)


def _exits(counters: Counters) -> str:
    """Exits of the processor to this process, and the places that they went to."""
    lines = [f"{'exit':<18}{'count':>10}{'total ms':>12}{'each us':>10}"]
    for reason, exits in sorted(counters.exits.items(), key=lambda item: -item[1].count):
        total, each = exits.handled_ns / 1e6, exits.handled_ns / exits.count / 1e3
        lines.append(f"{reason:<18}{exits.count:>10}{total:>12.2f}{each:>10.2f}")
    lines.append(f"{'in the guest':<18}{'':>10}{counters.inside_ns / 1e6:>12.2f}")
    if counters.where:
        lines += ["", f"{'device':<28}{'accesses':>10}"]
        most = sorted(counters.where.items(), key=lambda item: -item[1])[:PLACES]
        lines += [f"{name:<28}{count:>10}" for name, count in most]
    return "\n".join(lines)


def _instructions(counters: Counters, elapsed: float) -> str:
    """Instructions by mode, traps and interrupts by cause, and what translation cost."""
    total = sum(counters.instructions.values())
    translation = {
        name if name == "refills" else f"entries of {name}'s tables read": count
        for name, count in counters.translation.items()
    }
    lines = [f"{total:>16,}  instructions in {elapsed:.2f} s ({total / elapsed / 1e6:.0f} MIPS)"]
    for title, table in (
        ("instructions in {}", counters.instructions),
        ("traps: {}", counters.traps),
        ("interrupts: {}", counters.interrupts),
        ("translation: {}", translation),
    ):
        for name, count in sorted(table.items(), key=lambda item: -item[1]):
            if count:
                lines.append(f"{count:>16,}  {title.format(name)}")
    return "\n".join(lines)


def profile_text(profile: Profile) -> str:
    """How an engine executed what the counters tell."""
    share = profile.in_regions / max(profile.slices, 1)
    kinds = ("of everything", "by address", "by address space", "by both")
    fences = [
        f"{count:>16,}  translation: fences {kind}"
        for kind, count in zip(kinds, profile.fences, strict=False)
        if count
    ]
    lines = [
        *fences,
        f"{profile.flushed_contexts:>16,}  translation: contexts of the TLB emptied by fences",
        f"{profile.spaces:>16,}  translation: contexts looked for, as address spaces were entered",
        f"{profile.fresh:>16,}  translation: contexts taken anew",
        f"{share:>16.1%}  of {profile.slices:,} slices ended in compiled regions",
        f"{profile.loaded:>16,}  regions loaded",
        f"{profile.compiled:>16,}  of them compiled in this run",
        f"{profile.recompiled:>16,}  of those for the second time: they left too often",
        f"{profile.compiled_bytes:>16,}  bytes of regions in memory",
        f"{profile.evicted:>16,}  times the oldest regions were given back",
        f"{profile.compiled_at_once:>16,}  instructions compiled at once",
        f"{profile.emptied:>16,}  times the oldest code of those was given back",
        f"{profile.waiting:>16,}  hot places wait for the compiler",
        f"{profile.side_exits:>16,}  side exits of regions, most at these physical addresses:",
    ]
    often = sorted(profile.exits_by_address.items(), key=lambda item: -item[1])[:SITES]
    return "\n".join([*lines, *(f"{count:>16,}  {address:#x}" for address, count in often)])


def statistics_json(counters: Counters, elapsed: float) -> dict[str, Any]:
    """The same in terms of JSON."""
    return {**asdict(counters), "seconds": round(elapsed, 6)}
