"""The ways out of a region as LLVM text: to slots, addresses, other pages, and the interpreter.

Ways out that are alike share their code: a `phi` says where they came from, registers are written
back once, and one tail call goes on. Side exits are emitted apart, behind everything else, so that
the hot path stays together. `RegionText` adds the ways in and the blocks:

    entry:            registers that a block needs, from the hart into allocas
      switch ip  ->   E<offset> ... one for each entry
    B<offset>:        a block; ends in a branch to other blocks, or to
      G<offset>:      the guard of a block on another page: is the link bound?
      leave<n>:       a shared exit: write back, then to a slot's handler, or to
      jump:           the look-up of any address
    side<n>:          a side exit: the interpreter's handler of one instruction
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

from ringzero.engine.llvm_text import ENTRY, HART, LlvmText
from ringzero.engine.native.code.address import SLOT_SHIFT
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.state import Link
from ringzero.engine.native.translation import tlb
from ringzero.engine.regions.find.flow import Register, bit, blocks, registers
from ringzero.engine.regions.find.graph import Graph
from ringzero.engine.regions.find.operation import PAGE, Operation
from ringzero.engine.regions.write.library import LIKELY, LOOK_UPS, UNLIKELY
from ringzero.lang.host import view
from ringzero.lang.native import Native

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
    """Ways out that are alike: how, from which page, and which registers they write back."""

    kind: str
    page: int
    dirty: int


class RegionExits(LlvmText):
    """Emits how a region is left."""

    likely, unlikely = LIKELY, UNLIKELY

    def __init__(self, graph: Graph, name: str) -> None:
        super().__init__()
        self.graph, self.name = graph, name
        self.used: set[str] = set()  # functions of the library
        self.blocks = blocks(graph)
        self.links = sorted(graph.pages)
        self.tails: list[str] = []
        self.segment = Segment(0, 0)
        self.block = self.blocks[graph.head]
        self.exits: dict[Exit, list[tuple[str, str]]] = {}
        self.guards: set[int] = set()
        self.jumps: list[tuple[str, str]] = []  # addresses, and the labels that they come from

    # ---- text

    def _pc(self, offset: int) -> str:
        return self.value(f"add i64 %vpage, {offset}")

    def entry(self, look_up: Native, address: str) -> str:
        """A table's entry for an address, by typed text of the library."""
        name = LOOK_UPS[look_up]
        self.used.add(name)
        return self.value(f'call ptr @"{name}"(ptr %core, i64 {address})')

    def execute_entry(self, address: str) -> str:
        """See `LlvmText`."""
        return self.entry(tlb.execute_entry, address)

    def _exit(self, kind: str, text: str, page: int | None = None) -> None:
        # A label of its own: LLVM's phi names the block that each value comes from, and the same
        # block may hold several exits.
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
        # Registers first: what follows may be any handler, and those find them in the hart.
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
        ip = self.at(base, self.value(f"shl i64 {within}, {SLOT_SHIFT}"))
        if key.kind == "event":
            handler = self.handler(Special.SPENT_IN_REGION)
        else:
            handler = self.load(ip, kind="ptr")
        self.tail(handler, ip, budget, page)

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
        page, entry, hit = self.looked_up(where)
        going = self.value(f"icmp sge i64 {budget}, 0")
        self.branch(hit, "look", "miss", self.likely)
        self.label("look")
        self.branch(going, "go", "miss", self.likely)
        self.label("go")
        ip = self.slot_at(self.load(entry, ENTRY["offset"]), where)
        self.tail(self.load(ip, kind="ptr"), ip, budget, page)
        self.label("miss")
        self.tail(self.handler(Special.JUMP_TO), self.value(f"inttoptr i64 {where} to ptr"), budget)

    def _page(self, distance: int) -> tuple[str, str]:
        """The slots and the address of a page that the region is in."""
        if distance == 0:
            return "%base", "%vpage"
        slots = self.read("slots", "ptr")
        base = self.at(slots, self.value(f"load i64, ptr {self._array(distance)}"))
        return base, self.value(f"add i64 %vpage, {distance * PAGE}")

    def _goes_on(self, pc: str) -> None:
        """Say what is executed next outside: slices that end in regions are counted there."""
        self.write("exit_pc", pc)

    # ---- other pages

    def _link(self, distance: int) -> str:
        return self.at(f"@{self.name}_links", LINK_SIZE * self.links.index(distance))

    def _array(self, distance: int) -> str:
        """Where the region keeps the decoded page of a page: its link may change meanwhile."""
        return f"%array{self.links.index(distance)}"

    def _is_elsewhere(self, distance: int) -> tuple[str, str]:
        """Whether the execute table does not say that a page is what was compiled; what it says."""
        page = self.value(f"add i64 %vpage, {distance * PAGE}")
        entry = self.execute_entry(page)
        tag = self.value(f"icmp ne i64 {self.load(entry, ENTRY['tag'])}, {page}")
        bound = self.value(f"load i64, ptr {self._link(distance)}")
        present = self.load(entry, ENTRY["offset"])
        other = self.value(f"icmp ne i64 {present}, {bound}")
        return self.value(f"or i1 {tag}, {other}"), present

    def _guard_block(self, target: int) -> None:
        self.label(f"G{target}")
        distance, out = target // PAGE, self.new("unlinked")
        elsewhere, array = self._is_elsewhere(distance)
        self.line(f"store i64 {array}, ptr {self._array(distance)}")
        self.branch(elsewhere, out, f"B{target}", self.unlikely)
        self.label(out)
        self._write_back(self.blocks[target].dirty, {})
        self._want(distance)
        pc = self._pc(target)
        self._goes_on(pc)
        ip = self.value(f"inttoptr i64 {pc} to ptr")
        self.tail(self.handler(Special.LINK), ip, self.value("load i64, ptr %bud"))

    def _guard_second_half(self, op: Operation) -> None:
        # The first half lies on a page that is known; the second is as good as another page.
        elsewhere, _ = self._is_elsewhere(op.page + 1)
        segment = self.segment
        label = self.new("unlinked")
        fine = self.new("ok")
        self.branch(elsewhere, label, fine, self.unlikely)
        self.label(fine)
        kept, self.lines = self.lines, []
        self.label(label)
        self._want(op.page + 1)
        self._give_up(segment, Special.LINK_SIDE_EXIT)
        self.tails += self.lines
        self.lines = kept

    def _want(self, distance: int) -> None:
        """Say which link to bind."""
        self.write("link", self._link(distance), "ptr")
        self.write("link_page", self._pc(distance * PAGE))

    def _write_back(self, dirty: int, values: dict[Register, str]) -> None:
        for register in registers(dirty):
            array, number = register
            text, kind = values.get(register), "i64"
            if text is None:
                kind = KINDS[array]
                text = self.value(f"load {kind}, ptr %{array}{number}")
            self.line(f"store {kind} {text}, ptr {self.at('%core', HART[array] + 8 * number)}")

    # ---- side exits

    def _side_exit(self) -> str:
        """The exit of the present segment, emitted once."""
        segment = self.segment
        if segment.exit:
            return segment.exit
        segment.exit = self.new("side")
        kept, self.lines = self.lines, []
        self.label(segment.exit)
        self._give_up(segment, Special.SIDE_EXIT)
        self.tails += self.lines
        self.lines = kept
        return segment.exit

    def _give_up(self, segment: Segment, handler: int) -> None:
        """The interpreter's handler of a slot, under whatever region stands there."""
        # The segment's first instruction is executed once more, by the interpreter: so registers go
        # back as they were then (`segment.values`), and only what was done before it is counted.
        dirty = self.block.dirty
        for register in segment.values:
            dirty |= bit(register)
        self._write_back(dirty, segment.values)
        budget = self.value("load i64, ptr %bud")
        base, page = self._page(segment.offset // PAGE)
        ip = self.at(base, segment.offset % PAGE << SLOT_SHIFT)
        spent = self.value(f"sub i64 {budget}, {segment.done}")
        behind = self.graph.operations[segment.offset].next  # the interpreter does this one
        self._goes_on(self._pc(behind))
        self.tail(self.handler(handler), ip, spent, page)
