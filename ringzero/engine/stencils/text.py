"""Stencils as LLVM text: each instruction's function once, its operands absolute symbols.

A stencil does what the interpreter's handler of the instruction does, for operands that are patched
into its code: register offsets, immediates, where to go on. It gets two more arguments than a
handler, two registers' values, so that they need not be loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from ringzero.engine.interpreter.handlers import (
    CONVENTION,
    CORE_OFFSET,
    FS,
    OFFSET,
    InstructionHandler,
)
from ringzero.engine.native.code import decoded_pages as slots
from ringzero.engine.native.floats import stencils as stencil_floats
from ringzero.engine.native.state import Shared
from ringzero.engine.native.stitcher import access as stencil_access
from ringzero.engine.native.stitcher.holes import (
    BAIL,
    COUNT,
    FAR_TARGET,
    FIRST_RS1,
    FIRST_RS2,
    INSIDE,
    NO_RD,
    NUMBERS,
    OPENS,
    PLACES,
    SECOND_RS1,
    SECOND_RS2,
    SPECIALS,
    STUB,
    TO_SECOND,
)
from ringzero.engine.native.translation import tlb
from ringzero.engine.native.translation.physical import now
from ringzero.isa import ports
from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM, Instruction
from ringzero.isa.privileged import access
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang.compiler import Program, Target, passed_type
from ringzero.lang.host import view
from ringzero.lang.native import Native

BIND: dict[Native, Native] = {
    access.load: stencil_access.load,
    access.store: stencil_access.store,
    access.amo: stencil_access.amo,
    access.load_reserved: stencil_access.load_reserved,
    access.store_conditional: stencil_access.store_conditional,
    ports.now: now,
    **stencil_floats.BIND,
}
EXCLUDED = ("Zicbom", "Zicboz")
SECTION = ".text.stencils"
SIGNATURE = "ptr %core, ptr %ip, i64 %budget, i64 %vpage, i64 %first, i64 %second, ptr %window"
AT_HAND = {"rs1": {FIRST_RS1: "%first", SECOND_RS1: "%second"},
           "rs2": {FIRST_RS2: "%first", SECOND_RS2: "%second"}}  # fmt: skip
FREQUENT = ("I", "M")  # whose operands may be at hand
KEPT = "i64 %first, i64 %second, ptr %window"
LOST = "i64 poison, i64 poison, ptr poison"
PAGE_OF_SLOTS = -32768  # a slot's address with this: the first slot of its array


def compilable(one: Instruction) -> bool:
    """Whether an instruction may have a stencil; the interpreter does the others."""
    return one.kind is not SYSTEM and one.extension not in EXCLUDED


def variants(one: Instruction) -> list[int]:
    """What may be known beforehand of an instruction's operands."""
    choices = [(0, *AT_HAND[name]) for name in AT_HAND if reads(one, name)]
    choices += [(0, TO_SECOND)] if gives_rd(one) else []
    choices += [(0, NO_RD)] if one.kind is JUMP else []
    choices += [(0, FAR_TARGET)] if one.may_jump_static else []
    choices += [(0, OPENS, INSIDE)] if accesses(one) else []
    return [sum(chosen) for chosen in product(*choices)]


def reads(one: Instruction, operand: str) -> bool:
    """Whether an operand may be at hand."""
    return one.extension in FREQUENT and operand in one.parameters


def gives_rd(one: Instruction) -> bool:
    """Whether its result is at hand afterwards."""
    return one.kind not in (BRANCH, JUMP) and one.destination == "rd"


def accesses(one: Instruction) -> bool:
    """Whether it is a plain load or store at rs1 + imm, which may look through a window."""
    near = one.memory and "rs1" in one.parameters and "imm" in one.sources
    return near and one.extension in ("I", "F", "D")


def name_of(one: Instruction, variant: int) -> str:
    """The symbol of a stencil."""
    return f"{one.name}/{variant}"


def number(name: str) -> str:
    """A patched symbol's value."""
    return f"ptrtoint (ptr @{name} to i64)"


class StencilText(InstructionHandler):
    """The stencil of one instruction and variant, or of what leaves stitched code."""

    def __init__(self, program: Program, one: Instruction, variant: int = 0) -> None:
        super().__init__(program, one, 0, bool(variant & FAR_TARGET))
        self.variant, self.window = variant, "%window"

    def define(self, name: str) -> str:
        """See `HandlerText`; a stencil has one argument more."""
        body = "\n".join(self.lines)
        place = f'nounwind section "{SECTION}"'  # apart from what it might call
        return f'define {CONVENTION} void @"{name}"({SIGNATURE}) {place} {{\n{body}\n}}'

    # ---- operands

    def slot_byte(self, field: str) -> str:
        """A register's number, or a small immediate in its place."""
        return self.value(f"add i64 0, {number(field + '_index')}")

    def register(self, array: str, field: str) -> str:
        """Where a register is."""
        where = self.value(f"getelementptr i8, ptr %core, i64 {number(field)}")
        return self.value(f"getelementptr i8, ptr {where}, i64 {OFFSET[array]}")

    def immediate(self) -> str:
        """Decoded.imm, sign-extended."""
        return self.value(f"add i64 0, {number('imm')}")

    def pc(self) -> str:
        """The instruction's address."""
        return self.value(f"add i64 %vpage, {number('pc')}")

    def _argument(self, name: str) -> str:
        if name == "size":
            return f"i64 {number('size')}"
        for bit, kept in AT_HAND.get(name, {}).items():
            if self.variant & bit:
                return f"i64 {kept}"
        return super()._argument(name)

    # ---- control

    def go(
        self,
        target: str,
        ip: str = "%ip",
        budget: str = "%budget",
        page: str = "%vpage",
        kept: str = LOST,
    ) -> None:
        """To a place that the stitcher patches in, or to a handler: only `next` needs `kept`."""
        self.line(
            f"musttail call {CONVENTION} void {target}"
            f"(ptr %core, ptr {ip}, i64 {budget}, i64 {page}, {kept})"
        )
        self.line("ret void")

    def text(self, name: str) -> str:
        """The stencil of an instruction."""
        if self.one.floats:
            self._floats()
        if self.one.kind is BRANCH:
            self._branch_stencil()
        elif self.one.kind is JUMP:
            self._jump_stencil()
        else:
            self._plain()
        if self.raises:
            self.label("raised")
            self.go("@bail")
        return self.define(name)

    def _floats(self) -> None:
        off = self.value(f"icmp eq i64 {self.load('floats')}, 0")
        self.raises = True
        self.line(f"br i1 {off}, label %raised, label %on, !prof !0")
        self.label("on")

    def _plain(self) -> None:
        results, kept = self._call(), f"i64 %first, i64 %second, ptr {self.window}"
        if self.one.dirties_floats:
            status = self.load("mstatus")
            self.store("mstatus", self.value(f"or i64 {status}, {FS}"))
        if self.one.destination:
            array = "f" if self.one.destination == "frd" else "x"
            self.line(f"store i64 {results[0]}, ptr {self.register(array, 'rd')}")
        if gives_rd(self.one):
            second = self.variant & TO_SECOND
            both = ("%first", results[0]) if second else (results[0], "%second")
            kept = f"i64 {both[0]}, i64 {both[1]}, ptr {self.window}"
        self.go("@next", kept=kept)

    def _spent(self) -> str:
        """The budget after this instruction; where it is spent, the interpreter does it."""
        budget = self.value(f"sub i64 %budget, {number('done')}")
        spent = self.value(f"icmp slt i64 {budget}, 0")
        self.line(f"br i1 {spent}, label %spent, label %going, !prof !0")
        self.label("spent")
        self.go("@bail", budget=budget)
        self.label("going")
        return budget

    def _branch_stencil(self) -> None:
        if self.far:
            budget = self.value(f"sub i64 %budget, {number('done')}")
        else:
            budget = self._spent()
        self.line(f"br i1 {self._call()[0]}, label %taken, label %fall")
        self.label("taken")
        if self.far:
            self._look_up(self.value(f"add i64 {self.pc()}, {self.immediate()}"), budget)
        else:
            self.go("@taken", budget=budget)
        self.label("fall")
        self.go("@next", budget=budget, kept=KEPT)

    def _jump_stencil(self) -> None:
        near = self.one.may_jump_static and not self.far
        if near:
            budget = self._spent()
        link, target = self._call()
        if not near:
            budget = self.value(f"sub i64 %budget, {number('done')}")
        if not self.variant & NO_RD:
            self.line(f"store i64 {link}, ptr {self.register('x', 'rd')}")
        if near:
            self.go("@taken", budget=budget)
        else:
            self._look_up(target, budget)

    def _look_up(self, target: str, budget: str) -> None:
        """To any address, through the execute table: a jump of its own is the better predicted."""
        self.store("site", self.pc())
        self.store("goal", target)
        page = self.value(f"and i64 {target}, -4096")
        entry = self.inlined(tlb.execute_entry, f"i64 {target}")
        hit = self.value(f"icmp eq i64 {self.value(f'load i64, ptr {entry}')}, {page}")
        going = self.value(f"icmp sge i64 {budget}, 0")
        ready = self.value(f"and i1 {hit}, {going}")
        self.line(f"br i1 {ready}, label %hit, label %miss, !prof !4")
        self.label("miss")
        self._to(target, budget)
        self.label("hit")
        offset = self.value(f"getelementptr i8, ptr {entry}, i64 8")
        offset = self.value(f"load i64, ptr {offset}")
        within = self.value(f"shl i64 {self.value(f'and i64 {target}, 4094')}, 3")
        base = self.inlined(slots.slots_base)
        page_slots = self.value(f"getelementptr i8, ptr {base}, i64 {offset}")
        ip = self.value(f"getelementptr i8, ptr {page_slots}, i64 {within}")
        self.go(self.value(f"load ptr, ptr {ip}"), ip, budget, page)

    def inlined(self, function: Native, *arguments: str) -> str:
        """The result of typed text about the core."""
        made = self.program.function(function)
        words = ", ".join(["ptr %core", *arguments])
        return self.value(f'call {passed_type(made.result)} @"{made.symbol}"({words}) alwaysinline')

    def _to(self, target: str, budget: str) -> None:
        """To any address, by the handler that looks it up."""
        self.go("@jump", self.value(f"inttoptr i64 {target} to ptr"), budget)

    # ---- ways out

    def special(self, name: str) -> str:
        """`to_slot`: go on at the slot at `slot`; `to_interpreter`: with its handler in the
        interpreter; both after `done` instructions. `count`: only the latter. `stub`: the handler
        at `handler`.
        """
        if name == STUB:
            self.go(self._handler())
            return self.define(name)
        budget = self.value(f"sub i64 %budget, {number('done')}")
        if name == COUNT:
            self.go("@next", budget=budget, kept=KEPT)
            return self.define(name)
        self.program.declare("llvm.ptrmask.p0.i64", "declare ptr @llvm.ptrmask.p0.i64(ptr, i64)")
        page = self.value(f"call ptr @llvm.ptrmask.p0.i64(ptr %ip, i64 {PAGE_OF_SLOTS})")
        ip = self.value(f"getelementptr i8, ptr {page}, i64 {number('slot')}")
        handler = self._handler() if name == BAIL else self.value(f"load ptr, ptr {ip}")
        self.go(handler, ip, budget)
        return self.define(name)

    def _handler(self) -> str:
        """From the table: code cannot be sure to reach a handler with 32 bits."""
        shared = self.value(f"load ptr, ptr {self.core(CORE_OFFSET['shared'])}")
        at = view(Shared).handlers.offset
        table = self.value(f"getelementptr i8, ptr {shared}, i64 {at}")
        table = self.value(f"load ptr, ptr {table}")
        where = self.value(f"getelementptr i8, ptr {table}, i64 {number('handler')}")
        return self.value(f"load ptr, ptr {where}")


def _stencils(program: Program) -> Iterator[str]:
    for one in filter(compilable, INSTRUCTIONS):
        for variant in variants(one):
            if not (accesses(one) and variant & (OPENS | INSIDE)):
                yield StencilText(program, one, variant).text(name_of(one, variant))
    for name in SPECIALS:
        yield StencilText(program, INSTRUCTIONS[0]).special(name)


def build(target: Target) -> str:
    """The text of all stencils for a target, but for those that look through windows."""
    program = Program(target, BIND)
    program.flagged.update(one.function for one in INSTRUCTIONS)
    return completed(program, _stencils(program))


def completed(program: Program, stencils: Iterable[str]) -> str:
    """The text of a module of stencils."""
    program.texts += stencils
    program.texts += [f"@{name} = external global i8, !absolute_symbol !2" for name in NUMBERS]
    program.texts += [f"declare {CONVENTION} void @{name}({SIGNATURE})" for name in PLACES]
    program.texts += [
        "!2 = !{i64 -2147483648, i64 2147483648}",  # 32 bits, sign-extended
        '!4 = !{!"branch_weights", i32 2000, i32 1}',
    ]
    return program.text()
