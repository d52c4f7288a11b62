"""The ways out of a region as LLVM text: to slots, addresses, other pages, and the interpreter.

`RegionText` adds the ways in and the blocks.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

from ringzero.engine.interpreter.handlers import CONVENTION, CORE_OFFSET, OFFSET
from ringzero.engine.native.code.decoded_pages import BAIL, JUMP_TO, LINK, LINK_BAIL, SPENT
from ringzero.engine.native.state import EXECUTES, TLB_SIZE, Link, TlbEntry
from ringzero.engine.regions.find.flow import Register, bit, blocks, registers
from ringzero.engine.regions.find.graph import PAGE, Graph, Operation
from ringzero.engine.regions.write.library import LIKELY, UNLIKELY
from ringzero.lang.host import view

KINDS = {"x": "i64", "f": "double"}  # an f register holds a number: LLVM leaves it in a vector's
LINK_SIZE = ctypes.sizeof(view(Link))


@dataclass
class Segment:
    """Where execution starts again after a miss: an offset, and the registers set before it."""

    offset: int
    done: int  # instructions of the block before it
    values: dict[Register, str] = field(default_factory=dict)
    exit: str = ""  # its label, once something needs it


@dataclass(frozen=True)
class Exit:
    """Ways out that are alike: how, from which page, and with which registers to give back."""

    kind: str
    page: int
    dirty: int


class RegionExits:
    """Emits how a region is left."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name
        self.blocks = blocks(graph)
        self.links = sorted(graph.pages)
        self.lines: list[str] = []
        self.tails: list[str] = []
        self.count = 0
        self.segment = Segment(0, 0)
        self.block = self.blocks[graph.head]
        self.exits: dict[Exit, list[tuple[str, str]]] = {}
        self.guards: set[int] = set()
        self.jumps: list[tuple[str, str]] = []  # addresses, and the labels that they come from

    # ---- text

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def value(self, text: str) -> str:
        self.count += 1
        self.line(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def new(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def at(self, base: str, offset: int | str) -> str:
        """A pointer some bytes behind another."""
        return self.value(f"getelementptr i8, ptr {base}, i64 {offset}")

    def load(self, base: str, offset: int | str, kind: str = "i64") -> str:
        """What stands there."""
        return self.value(f"load {kind}, ptr {self.at(base, offset)}")

    def _pc(self, offset: int) -> str:
        return self.value(f"add i64 %vpage, {offset}")

    def _table_entry(self, address: str, table: int) -> str:
        tlb = self.load("%core", CORE_OFFSET["tlb"], "ptr")
        page = self.value(f"lshr i64 {address}, 12")
        index = self.value(f"and i64 {page}, {TLB_SIZE - 1}")
        scaled = self.value(f"shl i64 {index}, 4")
        return self.at(self.at(tlb, scaled), 16 * table)

    def _exit(self, kind: str, text: str, page: int | None = None) -> None:
        here = self.new("exit")
        self.line(f"br label %{here}")
        self.label(here)
        dirty = self.block.dirty | self.block.sets
        key = Exit(kind, self.block.page if page is None else page, dirty)
        ways = self.exits.setdefault(key, [])
        self.line(f"br label %leave{list(self.exits).index(key)}")
        ways.append((text, here))

    def _shared_exit(self, key: Exit, ways: list[tuple[str, str]]) -> None:
        self.label(f"leave{list(self.exits).index(key)}")
        where = self._choice(ways)
        self._write_back(key.dirty, {})
        pc = where if key.kind == "jump" else self.value(f"add i64 %vpage, {where}")
        self._goes_on(pc)
        if key.kind == "jump":
            here = self.new("jump")
            self.line(f"br label %{here}")
            self.label(here)
            self.jumps.append((where, here))
            self.line("br label %jump")
            return
        budget = self.value("load i64, ptr %bud")
        within = self.value(f"and i64 {where}, 4095")
        base, page = self._page(key.page)
        ip = self.at(base, self.value(f"shl i64 {within}, 3"))
        if key.kind == "event":
            handler = self._special(SPENT)
        else:
            handler = self.value(f"load ptr, ptr {ip}")
        self._tail(handler, ip, budget, page)

    def _choice(self, ways: list[tuple[str, str]]) -> str:
        choices = ", ".join(f"[ {text}, %{label} ]" for text, label in ways)
        return self.value(f"phi i64 {choices}")

    def _jump_out(self) -> None:
        """To any address, as JUMP_TO does: a look-up of the region's own is predicted better."""
        if not self.jumps:
            return
        self.label("jump")
        where = self._choice(self.jumps)
        budget = self.value("load i64, ptr %bud")
        page = self.value(f"and i64 {where}, {-PAGE}")
        entry = self._table_entry(where, EXECUTES)
        hit = self.value(f"icmp eq i64 {self.value(f'load i64, ptr {entry}')}, {page}")
        going = self.value(f"icmp sge i64 {budget}, 0")
        self.line(f"br i1 {hit}, label %look, label %miss, !prof !{LIKELY}")
        self.label("look")
        self.line(f"br i1 {going}, label %go, label %miss, !prof !{LIKELY}")
        self.label("go")
        array = self.load(entry, view(TlbEntry).offset.offset)
        within = self.value(f"shl i64 {self.value(f'and i64 {where}, {PAGE - 2}')}, 3")
        slots = self.load("%core", CORE_OFFSET["slots"], "ptr")
        ip = self.at(self.at(slots, array), within)
        self._tail(self.value(f"load ptr, ptr {ip}"), ip, budget, page)
        self.label("miss")
        self._tail(self._special(JUMP_TO), self.value(f"inttoptr i64 {where} to ptr"), budget)

    def _page(self, distance: int) -> tuple[str, str]:
        """The slots and the address of a page that the region is in."""
        if distance == 0:
            return "%base", "%vpage"
        slots = self.load("%core", CORE_OFFSET["slots"], "ptr")
        base = self.at(slots, self.value(f"load i64, ptr {self._array(distance)}"))
        return base, self.value(f"add i64 %vpage, {distance * PAGE}")

    def _goes_on(self, pc: str) -> None:
        """Say what is executed next outside: heat where slices end in regions counts for it."""
        self.line(f"store i64 {pc}, ptr {self.at('%core', CORE_OFFSET['left'])}")

    def _special(self, number: int) -> str:
        table = self.load("%core", CORE_OFFSET["handlers"], "ptr")
        return self.load(table, 8 * number, "ptr")

    def _tail(self, handler: str, ip: str, budget: str, page: str = "%vpage") -> None:
        self.line(
            f"musttail call {CONVENTION} void {handler}"
            f"(ptr %core, ptr {ip}, i64 {budget}, i64 {page})"
        )
        self.line("ret void")

    # ---- other pages

    def _link(self, distance: int) -> str:
        return self.at(f"@{self.name}_links", LINK_SIZE * self.links.index(distance))

    def _array(self, distance: int) -> str:
        """Where the region keeps the slot array of a page: its link may change meanwhile."""
        return f"%array{self.links.index(distance)}"

    def _is_elsewhere(self, distance: int) -> tuple[str, str]:
        """Whether the execute table does not say that a page is what was compiled; what it says."""
        page = self.value(f"add i64 %vpage, {distance * PAGE}")
        entry = self._table_entry(page, EXECUTES)
        tag = self.value(f"icmp ne i64 {self.value(f'load i64, ptr {entry}')}, {page}")
        bound = self.value(f"load i64, ptr {self._link(distance)}")
        present = self.load(entry, view(TlbEntry).offset.offset)
        other = self.value(f"icmp ne i64 {present}, {bound}")
        return self.value(f"or i1 {tag}, {other}"), present

    def _guard_block(self, target: int) -> None:
        self.label(f"G{target}")
        distance, out = target // PAGE, self.new("unlinked")
        elsewhere, array = self._is_elsewhere(distance)
        self.line(f"store i64 {array}, ptr {self._array(distance)}")
        self.line(f"br i1 {elsewhere}, label %{out}, label %B{target}, !prof !{UNLIKELY}")
        self.label(out)
        self._write_back(self.blocks[target].dirty, {})
        self._want(distance)
        pc = self._pc(target)
        self._goes_on(pc)
        ip = self.value(f"inttoptr i64 {pc} to ptr")
        self._tail(self._special(LINK), ip, self.value("load i64, ptr %bud"))

    def _guard_second_half(self, op: Operation) -> None:
        elsewhere, _ = self._is_elsewhere(op.page + 1)
        segment = self.segment
        label = self.new("unlinked")
        fine = self.new("ok")
        self.line(f"br i1 {elsewhere}, label %{label}, label %{fine}, !prof !{UNLIKELY}")
        self.label(fine)
        kept, self.lines = self.lines, []
        self.label(label)
        self._want(op.page + 1)
        self._give_up(segment, LINK_BAIL)
        self.tails += self.lines
        self.lines = kept

    def _want(self, distance: int) -> None:
        """Say which link to bind."""
        self.line(f"store ptr {self._link(distance)}, ptr {self.at('%core', CORE_OFFSET['link'])}")
        page = self.value(f"add i64 %vpage, {distance * PAGE}")
        self.line(f"store i64 {page}, ptr {self.at('%core', CORE_OFFSET['link_page'])}")

    def _write_back(self, dirty: int, values: dict[Register, str]) -> None:
        for register in registers(dirty):
            array, number = register
            text, kind = values.get(register), "i64"
            if text is None:
                kind = KINDS[array]
                text = self.value(f"load {kind}, ptr %{array}{number}")
            self.line(f"store {kind} {text}, ptr {self.at('%core', OFFSET[array] + 8 * number)}")

    # ---- side exits

    def _side_exit(self) -> str:
        """The exit of the present segment, emitted once."""
        segment = self.segment
        if segment.exit:
            return segment.exit
        segment.exit = self.new("side")
        kept, self.lines = self.lines, []
        self.label(segment.exit)
        self._give_up(segment, BAIL)
        self.tails += self.lines
        self.lines = kept
        return segment.exit

    def _give_up(self, segment: Segment, handler: int) -> None:
        """The interpreter's handler of a slot, under whatever region stands there."""
        dirty = self.block.dirty
        for register in segment.values:
            dirty |= bit(register)
        self._write_back(dirty, segment.values)
        budget = self.value("load i64, ptr %bud")
        base, page = self._page(segment.offset // PAGE)
        ip = self.at(base, 8 * (segment.offset % PAGE))
        spent = self.value(f"sub i64 {budget}, {segment.done}")
        behind = self.graph.operations[segment.offset].next  # the interpreter does this one
        self._goes_on(self._pc(behind))
        self._tail(self._special(handler), ip, spent, page)
