"""A region as LLVM text: one function with many entries that is a handler like any other.

Registers live in allocas that LLVM turns into values. Loads since the last store form a segment
with one exit, which restores the registers of the segment's start and gives its first instruction
to the interpreter: stores are never executed twice, and every trap is the interpreter's.
"""

from __future__ import annotations

from ringzero.engine.llvm_text import CONVENTION, HART, SIGNATURE
from ringzero.engine.native.code.address import SLOT_SHIFT, SLOTS_MASK
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.regions.find.flow import (
    Block,
    groups,
    registers,
)
from ringzero.engine.regions.find.graph import Graph
from ringzero.engine.regions.find.operation import PAGE, Operation
from ringzero.engine.regions.write.exits import KINDS, Segment
from ringzero.engine.regions.write.library import RegionLibrary
from ringzero.engine.regions.write.operations import RegionOperations
from ringzero.isa.floating import DYNAMIC, FRM
from ringzero.isa.instruction import BRANCH, JUMP
from ringzero.isa.privileged.trap import STATUS_FS
from ringzero.isa.softfloat import RNE


class RegionText(RegionOperations):
    """Emits the function of one graph."""

    def __init__(
        self, graph: Graph, library: RegionLibrary, name: str, apart: frozenset[int] = frozenset()
    ) -> None:
        super().__init__(graph, library, name, apart)
        self.opened = sorted({cached.number for cached in self.cached_translations.values()})

    def text(self) -> str:
        """The function, and what it takes from outside."""
        self._entry()
        for block in self.blocks.values():
            self._block(block)
        for target in sorted(self.guards):
            self._guard_block(target)
        for key, ways in self.exits.items():
            self._shared_exit(key, ways)
        self._jump_out()
        body = "\n".join([*self.lines, *self.tails])
        links = f"@{self.name}_links = external global i8\n" if self.links else ""
        start = f'define {CONVENTION} void @"{self.name}"({SIGNATURE}) nounwind'
        return f"{links}{start} {{\n{body}\n}}"

    # ---- entry

    def _entry(self) -> None:
        self.label("entry")
        at = self.value("ptrtoint ptr %ip to i64")
        low = self.value(f"and i64 {at}, {SLOTS_MASK}")
        self.line(f"%base = getelementptr i8, ptr %ip, i64 {self.value(f'sub i64 0, {low}')}")
        self.line("%bud = alloca i64\n  store i64 %budget, ptr %bud")
        self.line("%raised = alloca i1\n  %place = alloca [2 x i64]")
        self.memory = self.read("memory", "ptr")
        for number in self.opened:
            self.line(f"%near{number} = alloca i64\n  %room{number} = alloca i64")
            self.line(f"%host{number} = alloca ptr")
        for distance in self.links:
            self.line(f"{self._array(distance)} = alloca i64")
        every = 0
        for block in self.blocks.values():
            every |= block.needs | block.sets
        for array, number in registers(every):
            self.line(f"%{array}{number} = alloca {KINDS[array]}")
        if any(op.floats for op in self.graph.operations.values()):
            self._floats_on(low)
        self._switch(low)

    def _floats_on(self, low: str) -> None:
        """The interpreter traps where FS is Off, and rounds as frm says; neither changes inside."""
        off = self.value(f"icmp eq i64 {self.read('floats')}, 0")
        if any(op.rounding == DYNAMIC for op in self.graph.operations.values()):
            mode = self.value(f"and i64 {self.read('fcsr')}, {7 << FRM}")
            off = self.value(f"or i1 {off}, {self.value(f'icmp ne i64 {mode}, {RNE << FRM}')}")
        self.branch(off, "off", "on", self.unlikely)
        self.label("off")
        self.tail(self.handler(Special.SIDE_EXIT), "%ip", "%budget")
        self.label("on")

    def _switch(self, low: str) -> None:
        entries = sorted(e for e in self.graph.entries if e in self.blocks)
        cases = " ".join(
            f"i64 {e << SLOT_SHIFT}, label %E{e}" for e in entries if e != self.graph.head
        )
        self.line(f"switch i64 {low}, label %E{self.graph.head} [{cases}]")
        for entry in entries:
            self.label(f"E{entry}")
            for number in self.opened:
                self.line(f"store i64 0, ptr %room{number}")
            for array, number in registers(self.blocks[entry].needs):
                home = self.load("%core", HART[array] + 8 * number, KINDS[array])
                self.line(f"store {KINDS[array]} {home}, ptr %{array}{number}")
            self.line(f"br label %B{entry}")

    # ---- blocks

    def _block(self, block: Block) -> None:
        self.label(f"B{block.leader}")
        self.block, self.values, self.dirty = block, {}, set()
        self.segment, self.checked = Segment(block.leader, 0), {}
        self.groups = groups(block)
        if any(op.one.dirties_floats for op in block.operations):
            self._set_floats_dirty()
        for done, op in enumerate(block.operations):
            if op.straddles and op.page + 1 != 0:
                self._guard_second_half(op)
            if op.one.kind is BRANCH or op.one.kind is JUMP:
                self._leave(op, done + 1)
                return
            self._plain(op, done)
        self._flush(len(block.operations))
        self._go(block.end)

    def _set_floats_dirty(self) -> None:
        """mstatus.FS is Dirty nearly always: to look is quicker than to store in every round."""
        status = self.read("mstatus")
        clean, going = self.new("clean"), self.new("dirty")
        floats = self.value(f"and i64 {status}, {STATUS_FS}")
        self.branch(self.value(f"icmp eq i64 {floats}, {STATUS_FS}"), going, clean, self.likely)
        self.label(clean)
        self.write("mstatus", self.value(f"or i64 {status}, {STATUS_FS}"))
        self.line(f"br label %{going}")
        self.label(going)

    # ---- leaving a block

    def _leave(self, op: Operation, done: int) -> None:
        if op.one.kind is BRANCH:
            taken = self._call(op)[0]
            self._flush(done)
            yes, no = self.new("taken"), self.new("fall")
            self.branch(taken, yes, no)
            self.label(yes)
            self._go(op.target, taken=True)
            self.label(no)
            self._go(op.next)
            return
        link, target = self._call(op)
        if op.rd:
            self._write(("x", op.rd), link)
        self._flush(done)
        if op.goes is not None:
            self._go(op.goes, taken=True)
        else:
            self._indirect(op, target)

    def _go(self, target: int, taken: bool = False) -> None:
        """To an offset: in the region, elsewhere on the page, or on another page.

        The budget is looked at just where the interpreter looks at it, where a branch or jump is
        taken or another page begins: so interrupts come at the same instruction, whichever tier
        runs.
        """
        here = target // PAGE == self.block.page
        if taken or not here:
            self._check(target, here)
        if target in self.blocks:
            self.line(f"br label %{self._way(target)}")
        elif here:
            self._exit("slot", str(target))
        else:
            self._exit("jump", self._pc(target))

    def _way(self, target: int) -> str:
        """The label that leads to a leader; on another page, behind a look at the mapping."""
        page = target // PAGE
        if page in (0, self.block.page):
            return f"B{target}"
        self.guards.add(target)
        return f"G{target}"

    def _check(self, target: int, here: bool) -> None:
        """Leave where the budget is spent."""
        out, going = self.new("out"), self.new("go")
        self._branch_if_spent(out, going)
        self.label(out)
        if here:
            self._exit("event", str(target))
        else:
            self._exit("jump", self._pc(target))
        self.label(going)

    def _branch_if_spent(self, out: str, going: str) -> None:
        budget = self.value("load i64, ptr %bud")
        self.branch(self.spent(budget), out, going, self.unlikely)

    def _indirect(self, op: Operation, target: str) -> None:
        """A return to a return point of this region stays inside, a jump to a known target too."""
        known = sorted(at for at in self.graph.ways(op) if at in self.blocks)
        if known:
            relative = self.value(f"sub i64 {target}, %vpage")
            other, inside = self.new("far"), self.new("near")
            self._branch_if_spent(other, inside)
            self.label(inside)
            cases = " ".join(f"i64 {r}, label %{self._way(r)}" for r in known)
            self.line(f"switch i64 {relative}, label %{other} [{cases}]")
            self.label(other)
        if not op.returns:
            self.write("jump_site", self._pc(op.offset))
            self.write("jump_target", target)
        self._exit("jump", target)
