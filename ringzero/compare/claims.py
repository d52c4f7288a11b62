"""What textbooks say of the techniques, and what was measured: the comparison's last paragraph.

Each sentence is made from the figures at hand, whichever way they turn out; one whose columns are
missing is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ringzero.compare.measure import Cost, Workload
from ringzero.hypervisor.techniques import TECHNIQUES

Costs = Mapping[str, Mapping[str, Cost]]

SENSITIVE = (
    *("csr_read", "interrupt_toggle", "timer_set", "page_table_update", "space_switch"),
    *("system_call", "exception", "page_fault", "context_switch"),
)
"""Operations in which a kernel touches privileged state."""

CALLED = {
    "system_call": "system call",
    "page_fault": "page fault",
    "page_table_update": "page-table update",
    "space_switch": "address-space switch",
    "timer_set": "timer",
}
"""Operations for which a paravirtual kernel has calls, and words for them."""

TABLES = {"page_table_update": "changing an entry", "page_fault": "a page fault"}
ORDER = ("native", *TECHNIQUES)


def paragraph(costs: Costs, works: Mapping[str, Workload]) -> str:
    """The sentences for whose columns there are figures."""
    return " ".join((*_translation(costs, works), *_hypercalls(costs, works), *_first_time(costs),
                     *_tables(costs)))  # fmt: skip


def _ratio(costs: Costs, one: str, other: str) -> float:
    """How many times the cost of `one` is that of `other`, over all sensitive operations."""
    names = [name for name in SENSITIVE if name in costs[one] and name in costs[other]]
    logs = [
        math.log(max(costs[one][name].total, 1) / max(costs[other][name].total, 1))
        for name in names
    ]
    return math.exp(sum(logs) / len(logs))


def _both(costs: Costs, one: str, other: str) -> bool:
    return bool(costs.get(one)) and bool(costs.get(other))


def _exits(works: Mapping[str, Workload], one: str, other: str) -> str:
    """How a whole run's exits compare, where both ran it."""
    if one not in works or other not in works:
        return ""
    first, second = (sum(works[name].exits.values()) for name in (one, other))
    return (
        f", and the workload takes {first:,} exits and {works[one].total:,} instructions instead "
        f"of {second:,} and {works[other].total:,}"
    )


def _called(works: Mapping[str, Workload], other: str) -> str:
    """The whole run under `paravirt`, if its kernel makes calls; else it takes the same traps."""
    trap, calling = works.get("trap"), works.get("paravirt")
    if trap and calling and trap.exits == calling.exits:
        return ", and the workload's kernel is not modified, so that it costs what trapping does"
    return _exits(works, "paravirt", other)


def _translation(costs: Costs, works: Mapping[str, Workload]) -> Iterator[str]:
    if not _both(costs, "trap", "translate"):
        return
    ratio = _ratio(costs, "trap", "translate")
    said = "beats trapping" if ratio > 1 else "does not beat trapping"
    yield (
        f"Translation {said}: over {len(SENSITIVE)} sensitive operations trapping costs "
        f"{ratio:.2f}× as many instructions (geometric mean){_exits(works, 'translate', 'trap')}."
    )


def _hypercalls(costs: Costs, works: Mapping[str, Workload]) -> Iterator[str]:
    other = "translate" if _both(costs, "translate", "paravirt") else "trap"
    if not _both(costs, other, "paravirt"):
        return
    word = {"translate": "translation", "trap": "trapping"}[other]
    parts, fewer = [], 0
    names = [n for n in CALLED if n in costs[other] and n in costs["paravirt"]]
    for name in names:
        call, rest = costs["paravirt"][name].total, costs[other][name].total
        fewer += call < rest
        parts.append(f"{CALLED[name]} {call:,.0f} against {rest:,.0f}")
    said = "cost less than" if fewer == len(names) else "do not always cost less than"
    yield (
        f"Hypercalls {said} {word}: less in {fewer} of {len(names)} operations that they are for "
        f"({', '.join(parts)}){_called(works, other)}; but the guest has to be modified."
    )


def _first_time(costs: Costs) -> Iterator[str]:
    if not _both(costs, "trap", "translate"):
        return
    once = {
        name: sum(max(cost.once, 0) for cost in costs[name].values())
        for name in ("trap", "translate")
    }
    extra = once["translate"] - once["trap"]
    saved = sum(
        costs["trap"][name].total - costs["translate"][name].total
        for name in SENSITIVE
        if name in costs["trap"] and name in costs["translate"]
    )
    if extra <= 0:
        yield "What is done once costs no more under translation than under trapping."
    elif saved <= 0:
        yield f"First-time translation costs {extra:,.0f} instructions, and is never earned back."
    else:
        yield (
            f"First-time translation costs {extra:,.0f} instructions for the code of these "
            f"operations, which {math.ceil(extra / saved):,} rounds of them earn back."
        )


def _tables(costs: Costs) -> Iterator[str]:
    parts = []
    for name, words in TABLES.items():
        found = {one: costs[one][name].total for one in ORDER if name in costs.get(one, {})}
        if len(found) < 2:
            return
        figures = ", ".join(f"{one} {total:,.0f}" for one, total in found.items())
        virtual = {one: total for one, total in found.items() if one != "native"}
        least = min(virtual, key=lambda one: virtual[one])
        parts.append(f"{words} ({figures}; least under {least})")
    yield f"Page tables cost, in instructions: {', and '.join(parts)}."
