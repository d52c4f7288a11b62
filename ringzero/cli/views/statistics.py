"""Counters and registers of a machine as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ringzero.isa.tools.names import X_NAMES
from ringzero.outcome import Counters

if TYPE_CHECKING:
    from ringzero.engine.ports import Profile
    from ringzero.kvm.stats import ExitStats
    from ringzero.machines.kvm import KvmMachine
    from ringzero.machines.riscv import Machine

SITES = 5  # places of side exits that are shown
DUMPED_CSRS = (
    "mstatus", "mepc", "mcause", "mtval", "mtvec", "mie", "mip", "medeleg", "mideleg",
    "sepc", "scause", "stval", "stvec", "satp",
)  # fmt: skip


def statistics_text(counters: Counters | ExitStats, elapsed: float) -> str:
    """A table of what was executed, by mode and cause; on the host's hardware, of its exits."""
    if not isinstance(counters, Counters):
        return counters.table()
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
        f"{profile.emptied_sets:>16,}  translation: sets of tables emptied by fences",
        f"{profile.spaces:>16,}  translation: sets looked for, as an address space was entered",
        f"{profile.fresh:>16,}  translation: sets taken anew",
        f"{share:>16.1%}  of {profile.slices:,} slices ended in compiled regions",
        f"{profile.loaded:>16,}  regions loaded",
        f"{profile.compiled:>16,}  of them compiled in this run",
        f"{profile.again:>16,}  of those for the second time: they left too often",
        f"{profile.compiled_bytes:>16,}  bytes of regions in memory",
        f"{profile.evicted:>16,}  times the oldest regions were given back",
        f"{profile.stitched:>16,}  instructions stitched",
        f"{profile.emptied:>16,}  times the oldest stitched code was given back",
        f"{profile.waiting:>16,}  hot places wait for the compiler",
        f"{profile.side_exits:>16,}  side exits of regions, most at these physical addresses:",
    ]
    often = sorted(profile.sites.items(), key=lambda item: -item[1])[:SITES]
    return "\n".join([*lines, *(f"{count:>16,}  {address:#x}" for address, count in often)])


def statistics_json(counters: Counters | ExitStats, elapsed: float) -> dict[str, Any]:
    """The same in terms of JSON."""
    found = asdict(counters) if isinstance(counters, Counters) else counters.as_dict()
    return {**found, "seconds": round(elapsed, 6)}


def registers_text(machine: Machine | KvmMachine) -> str:
    """The first hart's registers and the CSRs that tell how it got where it is."""
    from ringzero.machines.kvm import KvmMachine

    if isinstance(machine, KvmMachine):
        return machine.describe()
    lines = [f"pc       {machine.pc:#018x}"]
    cells = [f"{name:4} {int(machine.x[i]):#018x}" for i, name in enumerate(X_NAMES)]
    lines += ["  ".join(cells[i : i + 4]) for i in range(0, len(cells), 4)]
    cells = [f"{name:8} {int(machine.read_csr(name)):#018x}" for name in DUMPED_CSRS]
    lines += ["  ".join(cells[i : i + 3]) for i in range(0, len(cells), 3)]
    return "\n".join(lines)
