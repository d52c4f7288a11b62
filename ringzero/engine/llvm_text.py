"""LLVM text of handlers: those of the interpreter, pieces of the compiler, regions.

A handler is a function that gets (core, ip, budget, vpage) in registers and goes on by a guaranteed
tail call, so that nothing is saved between two of them; preserve_nonecc is the calling convention
that leaves all four in callee-saved registers. What tiers have in common is written here once: how
state is reached, how the execute table is looked up, and where its entry leads.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import SLOT_SHIFT
from ringzero.engine.native.state import Core, Slot, TlbEntry
from ringzero.engine.native.translation.tlb import execute_entry
from ringzero.isa.hart import Hart
from ringzero.lang.compiler import Program, passed_type, result_type
from ringzero.lang.host import view
from ringzero.lang.native import Native

CONVENTION = "preserve_nonecc"
SIGNATURE = "ptr %core, ptr %ip, i64 %budget, i64 %vpage"
PAGE = 4096
LIKELY_DEFINITION = '!1 = !{!"branch_weights", i32 2000, i32 1}'  # !0, its opposite, is `lang`'s


def offsets(kind: type) -> dict[str, int]:
    """Where the fields of a struct are, in bytes."""
    return {name: getattr(view(kind), name).offset for name in kind.fields}  # type: ignore[attr-defined]


HART, CORE, SLOT, ENTRY = map(offsets, (Hart, Core, Slot, TlbEntry))
FIELDS = {**CORE, **HART}  # a core begins with its hart


class LlvmText:
    """The lines of one function, and its values by number."""

    likely, unlikely = "!1", "!0"  # how a branch is weighed: metadata of the module

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def line(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        """An instruction's result."""
        self.count += 1
        self.line(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def label(self, name: str) -> None:
        """A basic block begins."""
        self.lines.append(f"{name}:")

    def new(self, stem: str) -> str:
        """A name that nothing else has."""
        self.count += 1
        return f"{stem}{self.count}"

    def branch(self, flag: str, yes: str, no: str, weight: str = "") -> None:
        """To one label or the other."""
        hint = f", !prof {weight}" if weight else ""
        self.line(f"br i1 {flag}, label %{yes}, label %{no}{hint}")

    # ---- memory

    def at(self, base: str, offset: int | str) -> str:
        """A pointer some bytes behind another."""
        return self.value(f"getelementptr i8, ptr {base}, i64 {offset}")

    def load(self, base: str, offset: int | str = 0, kind: str = "i64") -> str:
        """What stands there."""
        where = base if offset == 0 else self.at(base, offset)
        return self.value(f"load {kind}, ptr {where}")

    def field(self, name: str) -> str:
        """Where a field of the core or of its hart is."""
        return self.at("%core", FIELDS[name])

    def read(self, name: str, kind: str = "i64") -> str:
        """LLVM text that reads a field of the core."""
        return self.value(f"load {kind}, ptr {self.field(name)}")

    def write(self, name: str, text: str, kind: str = "i64") -> None:
        """LLVM text that writes a field of the core."""
        self.line(f"store {kind} {text}, ptr {self.field(name)}")

    # ---- control

    def tail(
        self,
        target: str,
        ip: str = "%ip",
        budget: str = "%budget",
        page: str = "%vpage",
        more: str = "",
    ) -> None:
        """Go on elsewhere, with the arguments of a handler; `more` are further ones."""
        self.line(
            f"musttail call {CONVENTION} void {target}"
            f"(ptr %core, ptr {ip}, i64 {budget}, i64 {page}{more})"
        )
        self.line("ret void")

    def pc(self) -> str:
        """The address of the slot's instruction: its place in the page, on the page at `vpage`."""
        at = self.value("ptrtoint ptr %ip to i64")
        offset = self.value(f"and i64 {self.value(f'lshr i64 {at}, {SLOT_SHIFT}')}, {PAGE - 1}")
        return self.value(f"or i64 {offset}, %vpage")

    def handler(self, number: int) -> str:
        """A handler of the interpreter, from the table: it may be far from this code."""
        return self.load(self.read("handlers", "ptr"), 8 * number, "ptr")

    # ---- jumps to any address

    def execute_entry(self, address: str) -> str:
        """The execute table's entry for an address: typed text, called in the tier's own way."""
        raise NotImplementedError

    def looked_up(self, address: str) -> tuple[str, str, str]:
        """Its page, its entry of the execute table, and whether that holds the page."""
        page = self.value(f"and i64 {address}, {-PAGE}")
        entry = self.execute_entry(address)
        return page, entry, self.value(f"icmp eq i64 {self.load(entry, ENTRY['tag'])}, {page}")

    def slot_at(self, first: str, address: str) -> str:
        """The slot of an address; `first` is the offset of its page's first slot."""
        within = self.value(f"and i64 {address}, {PAGE - 2}")
        within = self.value(f"shl i64 {within}, {SLOT_SHIFT}")
        return self.at(self.at(self.read("slots", "ptr"), first), within)

    def spent(self, budget: str) -> str:
        """Whether a budget is spent."""
        return self.value(f"icmp slt i64 {budget}, 0")


class ProgramText(LlvmText):
    """A function of a module that typed text is compiled into."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    def call(self, function: Native, *arguments: str) -> tuple[str, str]:
        """Call typed text; its result, and the LLVM type of that."""
        made = self.program.function(function)
        kind = result_type(made.result, made.raises)
        text = f'call {made.convention} {kind} @"{made.symbol}"({", ".join(arguments)})'
        if kind == "void":
            self.line(text)
            return "", kind
        return self.value(text), kind

    def inlined(self, function: Native, *arguments: str) -> str:
        """The result of typed text about the core, without a call."""
        made = self.program.function(function)
        words = ", ".join(["ptr %core", *arguments])
        return self.value(f'call {passed_type(made.result)} @"{made.symbol}"({words}) alwaysinline')

    def execute_entry(self, address: str) -> str:
        """See `LlvmText`."""
        return self.inlined(execute_entry, f"i64 {address}")
