"""A region as LLVM text: one function with many entries that is a handler like any other.

Registers live in allocas that LLVM turns into values. Loads since the last store form a segment
with one exit, which restores the registers of the segment's start and gives its first instruction
to the interpreter: stores are never executed twice, and every trap is the interpreter's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ringzero.engine.core import ORIGINALS, Shared
from ringzero.engine.handlers import CONVENTION, CORE_OFFSET, FS, OFFSET, SIGNATURE
from ringzero.engine.region_graph import PAGE, Graph, Operation
from ringzero.engine.region_library import LIKELY, UNLIKELY, RegionLibrary, symbol
from ringzero.engine.slots import EVENT, JUMP_TO
from ringzero.isa.floating import DYNAMIC, FRM
from ringzero.isa.instruction import BRANCH, JUMP
from ringzero.isa.softfloat import RNE
from ringzero.lang.host import view

Register = tuple[str, int]  # ("x", 5)
KINDS = {"x": "i64", "f": "double"}  # an f register holds a number: LLVM leaves it in a vector's
STORES = frozenset({"store", "amo", "load_reserved", "store_conditional"})


@dataclass
class Segment:
    """Where execution starts again after a miss: an offset, and the registers set before it."""

    offset: int
    done: int  # instructions of the block before it
    values: dict[Register, str] = field(default_factory=dict)
    exit: str = ""  # its label, once something needs it


class RegionText:
    """Emits the function of one graph."""

    def __init__(self, graph: Graph, library: RegionLibrary, name: str) -> None:
        self.graph, self.library, self.name = graph, library, name
        self.lines: list[str] = []
        self.tails: list[str] = []
        self.count = 0
        self.used: set[str] = set()
        operations = graph.operations.values()
        self.written = sorted({r for op in operations if (r := written(op))})
        self.registers = sorted({r for op in operations for r in touched(op)})
        self.values: dict[Register, str] = {}
        self.dirty: set[Register] = set()
        self.segment = Segment(0, 0)
        self.shared_exits: dict[str, list[tuple[str, str]]] = {"slot": [], "event": [], "jump": []}

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

    def text(self) -> str:
        """The function."""
        self._entry()
        for leader in sorted(self.graph.leaders):
            if leader in self.graph.operations:
                self._block(leader)
        for kind in ("slot", "event", "jump"):
            self._shared_exit(kind)
        body = "\n".join([*self.lines, *self.tails])
        return f'define {CONVENTION} void @"{self.name}"({SIGNATURE}) nounwind {{\n{body}\n}}'

    # ---- entry

    def _entry(self) -> None:
        self.label("entry")
        at = self.value("ptrtoint ptr %ip to i64")
        low = self.value(f"and i64 {at}, 32767")
        self.line(f"%base = getelementptr i8, ptr %ip, i64 {self.value(f'sub i64 0, {low}')}")
        self.line("%bud = alloca i64\n  store i64 %budget, ptr %bud")
        self.line("%raised = alloca i1")
        for array, number in self.registers:
            if (array, number) == ("x", 0):
                continue
            kind, where = KINDS[array], self._home((array, number))
            self.line(f"%{array}{number} = alloca {kind}")
            value = self.value(f"load {kind}, ptr {where}")
            self.line(f"store {kind} {value}, ptr %{array}{number}")
        if any(op.floats for op in self.graph.operations.values()):
            self._floats_on(low)
        self._switch(low)

    def _floats_on(self, low: str) -> None:
        """The interpreter traps where FS is Off, and rounds as frm says; neither changes inside."""
        at = self.value(f"getelementptr i8, ptr %core, i64 {CORE_OFFSET['floats']}")
        off = self.value(f"icmp eq i64 {self.value(f'load i64, ptr {at}')}, 0")
        if any(op.rounding == DYNAMIC for op in self.graph.operations.values()):
            fcsr = self.value(f"load i64, ptr {self._hart('fcsr')}")
            mode = self.value(f"and i64 {fcsr}, {7 << FRM}")
            off = self.value(f"or i1 {off}, {self.value(f'icmp ne i64 {mode}, {RNE << FRM}')}")
        self.line(f"br i1 {off}, label %off, label %on, !prof !{UNLIKELY}")
        self.label("off")
        self._to_original(low, "%budget")
        self.label("on")

    def _switch(self, low: str) -> None:
        entries = sorted(e for e in self.graph.entries if e in self.graph.operations)
        cases = " ".join(f"i64 {8 * e}, label %B{e}" for e in entries if e != self.graph.head)
        self.line(f"switch i64 {low}, label %B{self.graph.head} [{cases}]")

    # ---- registers

    def _hart(self, name: str) -> str:
        return self.value(f"getelementptr i8, ptr %core, i64 {OFFSET[name]}")

    def _home(self, register: Register) -> str:
        array, number = register
        offset = OFFSET[array] + 8 * number
        return self.value(f"getelementptr i8, ptr %core, i64 {offset}")

    def _read(self, register: Register) -> str:
        if register == ("x", 0):
            return "0"
        if register not in self.values:
            array, number = register
            kind = KINDS[array]
            text = self.value(f"load {kind}, ptr %{array}{number}")
            if array == "f":
                text = self.value(f"bitcast double {text} to i64")
            self.values[register] = text
        return self.values[register]

    def _write(self, register: Register, text: str) -> None:
        if register != ("x", 0):
            self.values[register] = text
            self.dirty.add(register)

    def _flush(self, done: int) -> None:
        """At the end of a block: registers and budget into their allocas."""
        for register in sorted(self.dirty):
            kind, text = KINDS[register[0]], self.values[register]
            if register[0] == "f":
                text = self.value(f"bitcast i64 {text} to double")
            self.line(f"store {kind} {text}, ptr %{register[0]}{register[1]}")
        budget = self.value("load i64, ptr %bud")
        self.line(f"store i64 {self.value(f'sub i64 {budget}, {done}')}, ptr %bud")
        self.dirty.clear()

    def _write_back(self, values: dict[Register, str]) -> None:
        for register in self.written:
            text, kind = values.get(register), "i64"
            if text is None:
                kind = KINDS[register[0]]
                text = self.value(f"load {kind}, ptr %{register[0]}{register[1]}")
            self.line(f"store {kind} {text}, ptr {self._home(register)}")

    # ---- blocks

    def _block(self, leader: int) -> None:
        self.label(f"B{leader}")
        self.values, self.dirty = {}, set()
        self.segment, at, done = Segment(leader, 0), leader, 0
        self._floats_dirty(leader)
        while True:
            op = self.graph.operations.get(at)
            if op is None or (at != leader and at in self.graph.leaders):
                self._flush(done)
                self._go(at)
                return
            if op.one.kind is BRANCH or op.one.kind is JUMP:
                self._leave(op, done + 1)
                return
            self._plain(op, done)
            at, done = op.next, done + 1

    def _floats_dirty(self, leader: int) -> None:
        at = leader
        while (op := self.graph.operations.get(at)) and (
            at == leader or at not in self.graph.leaders
        ):
            if op.one.dirties_floats:
                self._set_floats_dirty()
                return
            if op.one.kind in (BRANCH, JUMP):
                return
            at = op.next

    def _set_floats_dirty(self) -> None:
        """mstatus.FS is Dirty nearly always: to look is quicker than to store in every round."""
        where = self._hart("mstatus")
        status = self.value(f"load i64, ptr {where}")
        clean, going = self.new("clean"), self.new("dirty")
        dirty = self.value(f"icmp eq i64 {self.value(f'and i64 {status}, {FS}')}, {FS}")
        self.line(f"br i1 {dirty}, label %{going}, label %{clean}, !prof !{LIKELY}")
        self.label(clean)
        self.line(f"store i64 {self.value(f'or i64 {status}, {FS}')}, ptr {where}")
        self.line(f"br label %{going}")
        self.label(going)

    def _arguments(self, op: Operation) -> str:
        words = []
        for name in op.one.parameters:
            if name == "hart":
                words.append("ptr %core")
            elif name == "pc":
                words.append(f"i64 {self._pc(op.offset)}")
            elif name == "size":
                words.append(f"i64 {op.size}")
            else:
                words.append(f"i64 {self._operand(op, name)}")
        return ", ".join(words)

    def _operand(self, op: Operation, name: str) -> str:
        source = op.one.sources[name]
        if name in ("rs1", "rs2", "rs3"):
            return self._read(("x", op.field(source)))
        if name in ("frs1", "frs2", "frs3"):
            return self._read(("f", op.field(source)))
        return str(op.field(source))

    def _pc(self, offset: int) -> str:
        return self.value(f"add i64 %vpage, {offset}")

    def _call(self, op: Operation) -> list[str]:
        raises, kind = self.library.results[op.one.name]
        self.used.add(op.one.name)
        arguments = self._arguments(op)
        if raises:
            self.line("store i1 false, ptr %raised")
            arguments += ", ptr %raised"
        call = f'call {kind} @"{symbol(op.one)}"({arguments})'
        parts: list[str] = []
        if kind == "void":
            self.line(call)
        else:
            parts = [self.value(call)]
        if raises:
            flag, fine = self.value("load i1, ptr %raised"), self.new("ok")
            self.line(f"br i1 {flag}, label %{self._side_exit()}, label %{fine}, !prof !{UNLIKELY}")
            self.label(fine)
        if kind.startswith("{"):
            pair = parts[0]
            parts = [self.value(f"extractvalue {kind} {pair}, {i}") for i in range(2)]
        return parts

    def _plain(self, op: Operation, done: int) -> None:
        results = self._call(op)
        target = written(op)
        if target:
            self._write(target, results[0])
        if stores(op):
            kept = {r: self.values[r] for r in self.dirty}
            self.segment = Segment(op.next, done + 1, kept)

    # ---- leaving a block

    def _leave(self, op: Operation, done: int) -> None:
        if op.one.kind is BRANCH:
            taken = self._call(op)[0]
            self._flush(done)
            yes, no = self.new("taken"), self.new("fall")
            self.line(f"br i1 {taken}, label %{yes}, label %{no}")
            self.label(yes)
            self._go(op.target, taken=True)
            self.label(no)
            self._go(op.next)
            return
        link, target = self._call(op)
        if op.rd:
            self._write(("x", op.rd), link)
        self._flush(done)
        if op.one.may_jump_static:
            self._go(op.target, taken=True)
        else:
            self._indirect(op, target)

    def _go(self, target: int, taken: bool = False) -> None:
        """To an offset: in the region, elsewhere on the page, or on another page.

        The budget is looked at just where the interpreter looks at it, where a branch or jump is
        taken: so interrupts come at the same instruction, whichever tier runs.
        """
        if taken and 0 <= target < PAGE:
            self._check(target)
        if target in self.graph.operations and target in self.graph.leaders:
            self.line(f"br label %B{target}")
        elif 0 <= target < PAGE:
            self._exit("slot", str(8 * target))
        else:
            self._exit("jump", self.value(f"add i64 %vpage, {target}"))

    def _check(self, target: int) -> None:
        """Give way where the budget is spent."""
        budget = self.value("load i64, ptr %bud")
        spent = self.value(f"icmp slt i64 {budget}, 0")
        out, going = self.new("out"), self.new("go")
        self.line(f"br i1 {spent}, label %{out}, label %{going}, !prof !{UNLIKELY}")
        self.label(out)
        self._exit("event", str(8 * target))
        self.label(going)

    def _indirect(self, op: Operation, target: str) -> None:
        """A return to a return point of this region stays inside."""
        known = sorted(r for r in self.graph.returns if r in self.graph.operations)
        if op.rd == 0 and known:
            relative = self.value(f"sub i64 {target}, %vpage")
            other, inside = self.new("far"), self.new("near")
            budget = self.value("load i64, ptr %bud")
            spent = self.value(f"icmp slt i64 {budget}, 0")
            self.line(f"br i1 {spent}, label %{other}, label %{inside}, !prof !{UNLIKELY}")
            self.label(inside)
            cases = " ".join(f"i64 {r}, label %B{r}" for r in known)
            self.line(f"switch i64 {relative}, label %{other} [{cases}]")
            self.label(other)
        self._exit("jump", target)

    def _exit(self, kind: str, text: str) -> None:
        here = self.new("exit")
        self.line(f"br label %{here}")
        self.label(here)
        self.line(f"br label %leave_{kind}")
        self.shared_exits[kind].append((text, here))

    def _shared_exit(self, kind: str) -> None:
        ways = self.shared_exits[kind]
        if not ways:
            return
        self.label(f"leave_{kind}")
        choices = ", ".join(f"[ {text}, %{label} ]" for text, label in ways)
        where = self.value(f"phi i64 {choices}")
        self._write_back({})
        budget = self.value("load i64, ptr %bud")
        if kind == "jump":
            handler, ip = self._special(JUMP_TO), self.value(f"inttoptr i64 {where} to ptr")
        else:
            ip = self.value(f"getelementptr i8, ptr %base, i64 {where}")
            if kind == "event":
                handler = self._special(EVENT)
            else:
                handler = self.value(f"load ptr, ptr {ip}")
        self._tail(handler, ip, budget)

    def _special(self, number: int) -> str:
        shared = self.value(f"getelementptr i8, ptr %core, i64 {CORE_OFFSET['shared']}")
        shared = self.value(f"load ptr, ptr {shared}")
        offset = view(Shared).handlers.offset
        table = self.value(f"getelementptr i8, ptr {shared}, i64 {offset}")
        table = self.value(f"load ptr, ptr {table}")
        return self.value(
            f"load ptr, ptr {self.value(f'getelementptr i8, ptr {table}, i64 {8 * number}')}"
        )

    def _tail(self, handler: str, ip: str, budget: str) -> None:
        self.line(
            f"musttail call {CONVENTION} void {handler}"
            f"(ptr %core, ptr {ip}, i64 {budget}, i64 %vpage)"
        )
        self.line("ret void")

    # ---- side exits

    def _side_exit(self) -> str:
        """The exit of the present segment, emitted once."""
        segment = self.segment
        if segment.exit:
            return segment.exit
        segment.exit = self.new("side")
        kept, self.lines = self.lines, []
        self.label(segment.exit)
        self._write_back(segment.values)
        budget = self.value("load i64, ptr %bud")
        self._to_original(str(8 * segment.offset), self.value(f"sub i64 {budget}, {segment.done}"))
        self.tails += self.lines
        self.lines = kept
        return segment.exit

    def _to_original(self, low: str, budget: str) -> None:
        """The interpreter's handler of a slot, under whatever region stands there."""
        ip = self.value(f"getelementptr i8, ptr %base, i64 {low}")
        place = self.value(f"add i64 {self.value(f'lshr i64 {low}, 1')}, {ORIGINALS}")
        kept = self.value(
            f"load ptr, ptr {self.value(f'getelementptr i8, ptr %base, i64 {place}')}"
        )
        none = self.value(f"icmp eq ptr {kept}, null")
        present = self.value(f"load ptr, ptr {ip}")
        self._tail(self.value(f"select i1 {none}, ptr {present}, ptr {kept}"), ip, budget)


def written(op: Operation) -> Register | None:
    """The register that an operation sets."""
    if op.one.destination is None or op.one.kind is BRANCH:
        return None
    if op.one.destination == "frd":
        return "f", op.rd
    return ("x", op.rd) if op.rd else None


def touched(op: Operation) -> set[Register]:
    """All registers of an operation."""
    found = {r for r in [written(op)] if r}
    for name in op.one.parameters:
        if name in ("rs1", "rs2", "rs3"):
            found.add(("x", op.field(op.one.sources[name])))
        elif name in ("frs1", "frs2", "frs3"):
            found.add(("f", op.field(op.one.sources[name])))
    return found


def stores(op: Operation) -> bool:
    """Whether an operation changes memory, or the reservation."""
    return op.one.memory and not STORES.isdisjoint(op.one.function.function.__code__.co_names)
