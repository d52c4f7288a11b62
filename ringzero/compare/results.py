"""All measurements of a comparison, as a table for people and as data for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ringzero.compare.claims import paragraph
from ringzero.compare.measure import REFILLS, Cost, Workload
from ringzero.compare.techniques import WORLDS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

TITLES = {
    "loop": "empty loop, with a call",
    "csr_read": "privileged CSR read",
    "interrupt_toggle": "interrupts off and on",
    "hypercall": "SBI call",
    "timer_set": "timer set",
    "device_read": "device register read",
    "page_table_update": "page-table update",
    "space_switch": "address-space switch",
    "tlb_miss": "load past the TLB",
    "interrupt": "interrupt taken",
    "system_call": "system call",
    "call": "call and return",
    "exception": "exception",
    "page_fault": "page fault",
    "context_switch": "context switch",
}


SHADOW, STAGES = "trap", "hardware"
PAGED = ("page_fault", "page_table_update", "tlb_miss", "space_switch", "context_switch")


@dataclass(frozen=True)
class Paging:
    """One operation with shadow tables, and with two stages."""

    operation: str
    instructions: tuple[float, float]
    entries: tuple[float, float]

    @property
    def price(self) -> float | None:
        """What reading an entry would have to cost, in instructions, for both to be equal."""
        saved, more = self.instructions[0] - self.instructions[1], self.entries[1] - self.entries[0]
        return saved / more if abs(more) >= 0.05 and saved / more > 0 else None

    @property
    def verdict(self) -> str:
        """Which wins, and up to which price of an entry."""
        saved, more = self.instructions[0] - self.instructions[1], self.entries[1] - self.entries[0]
        if abs(saved) < 0.5:
            if abs(more) < 0.5:
                return "neither"
            return "shadow" if more > 0 else "two stages"
        first, second = ("two stages", "shadow") if saved > 0 else ("shadow", "two stages")
        if self.price is None:
            return first
        return f"{first} up to {self.price:,.1f} instructions for reading an entry, then {second}"


@dataclass(frozen=True)
class Results:
    """By technique, in the order of the columns; the first is what others are compared with."""

    guest: str
    operations: dict[str, dict[str, Cost]]
    workloads: dict[str, Workload]

    def names(self) -> list[str]:
        """The operations, in the order in which the guest does them."""
        return list(next(iter(self.operations.values())))

    def data(self) -> dict[str, Any]:
        """In terms of JSON."""
        return {
            "guest": self.guest,
            "operations": {
                technique: {name: _cost(cost) for name, cost in costs.items()}
                for technique, costs in self.operations.items()
            },
            "workloads": {
                technique: {**asdict(one), "total": one.total}
                for technique, one in self.workloads.items()
            },
            "claims": paragraph(self.operations, self.workloads),
            "paging": self._paging_data(),
        }

    def _paging_data(self) -> dict[str, Any]:
        if not {SHADOW, STAGES} <= set(self.operations):
            return {}
        return {
            one.operation: {"price": one.price, "verdict": one.verdict} for one in self.paging()
        }

    def show(self, console: Console) -> None:
        """The tables."""
        console.print(self._operation_table())
        console.print(self._exit_table())
        console.print(self._translation_table())
        if {SHADOW, STAGES} <= set(self.operations):
            console.print(self._paging_table())
        console.print(self._workload_table())
        for technique in list(self.workloads)[1:]:
            console.print(self._sentence(technique), highlight=False)
        console.print(paragraph(self.operations, self.workloads), highlight=False)

    def _operation_table(self) -> Table:
        table = _table("Instructions for each operation", "operation")
        few = len(self.operations) < 3  # more would be too wide with each world for itself
        shown = [*WORLDS, "total"] if few else ["below", "total"]
        for technique in self.operations:
            for world in shown:
                table.add_column(f"{technique}\n{world}", justify="right")
        for technique in list(self.operations)[1:]:
            table.add_column(f"{technique}\ntimes", justify="right")
        base = next(iter(self.operations.values()))
        for name in self.names():
            costs = [by_name[name] for by_name in self.operations.values()]
            cells = [
                f"{figure:,.0f}"
                for cost in costs
                for figure in (*(cost.worlds[world] for world in shown[:-1]), cost.total)
            ]
            times = [f"{cost.total / base[name].total:,.1f}×" for cost in costs[1:]]
            table.add_row(TITLES.get(name, name), *cells, *times)
        return table

    def _exit_table(self) -> Table:
        table = _table("Traps and exits for each operation", "operation")
        for technique in self.operations:
            table.add_column(technique)
        for name in self.names():
            cells = [_exits(by_name[name].exits) for by_name in self.operations.values()]
            table.add_row(TITLES.get(name, name), *cells)
        return table

    def _translation_table(self) -> Table:
        table = _table(
            "Translation for each operation: refills, and table entries read", "operation"
        )
        for technique in self.operations:
            table.add_column(technique)
        for name in self.names():
            cells = [_translation(by_name[name]) for by_name in self.operations.values()]
            table.add_row(TITLES.get(name, name), *cells)
        return table

    def _paging_table(self) -> Table:
        table = _table("Shadow tables (trap) against two stages (hardware)", "operation")
        for what in ("instructions", "entries read"):
            for technique in (SHADOW, STAGES):
                table.add_column(f"{technique}\n{what}", justify="right")
        table.add_column("wins")
        for row in self.paging():
            cells = [f"{figure:,.1f}" for figure in (*row.instructions, *row.entries)]
            table.add_row(TITLES[row.operation], *cells, row.verdict)
        return table

    def paging(self) -> list[Paging]:
        """Where shadow tables win and where two stages do, for what translation decides."""
        pairs = [(self.operations[SHADOW][name], self.operations[STAGES][name]) for name in PAGED]
        return [Paging(a.operation, (a.total, b.total), (a.entries, b.entries)) for a, b in pairs]

    def _workload_table(self) -> Table:
        table = _table(f"Workload: {next(iter(self.workloads.values())).name}", "")
        for technique in self.workloads:
            table.add_column(technique, justify="right")
        ones = list(self.workloads.values())
        for world in WORLDS:
            table.add_row(f"instructions, {world}", *(f"{one.worlds[world]:,}" for one in ones))
        table.add_row("instructions, total", *(f"{one.total:,}" for one in ones))
        table.add_row("traps or exits", *(f"{sum(one.exits.values()):,}" for one in ones))
        for what in ("refills", "S", "VS", "G"):
            name = what if what == "refills" else f"entries read, {what}"
            table.add_row(name, *(f"{one.translation.get(what, 0):,}" for one in ones))
        table.add_row("seconds here", *(f"{one.seconds:.2f}" for one in ones))
        return table

    def _sentence(self, technique: str) -> str:
        first, base = next(iter(self.workloads.items()))
        more = self.workloads[technique].total / base.total - 1
        return f"{technique}: {more:+.1%} instructions beside {first}."


def _table(title: str, first: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table


def _cost(cost: Cost) -> dict[str, Any]:
    worlds = {world: round(figure, 2) for world, figure in cost.worlds.items()}
    exits = {cause: round(each, 3) for cause, each in cost.exits.items()}
    translation = {what: round(each, 3) for what, each in cost.translation.items()}
    return {**worlds, "total": round(cost.total, 2), "exits": exits, "translation": translation}


def _translation(cost: Cost) -> str:
    """`2.0: 6 VS 16 G`."""
    read = [f"{n:.1f} {s}" for s, n in cost.translation.items() if s != REFILLS and n >= 0.05]
    refills = cost.translation.get(REFILLS, 0)
    return f"{refills:.1f}: {', '.join(read)}" if refills >= 0.05 or read else "none"


def _exits(exits: dict[str, float]) -> str:
    """What happens at least once in twenty operations."""
    often = [(cause, each) for cause, each in exits.items() if each >= 0.05]
    return ", ".join(f"{each:.0f} {cause}" if each >= 0.95 else f"{each:.1f} {cause}"
                     for cause, each in often) or "none"  # fmt: skip
