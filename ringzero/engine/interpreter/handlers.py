"""The interpreter's handlers as LLVM text: one per instruction and size, derived from INSTRUCTIONS.

A handler runs the instruction's typed function on the operands of its slot, and jumps to the next
slot's handler.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringzero.engine.instruction_text import InstructionText
from ringzero.engine.llvm_text import CONVENTION, SIGNATURE, ProgramText
from ringzero.engine.native.code.address import SLOT_SHIFT
from ringzero.engine.native.code.handler_numbers import FAR, HANDLERS, Special
from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM, Instruction
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang.compiler import Program


class HandlerText(ProgramText):
    """Emits the body of one handler."""

    def define(self, name: str) -> str:
        """The whole function."""
        body = "\n".join(self.lines)
        return f'define {CONVENTION} void @"{name}"({SIGNATURE}) nounwind {{\n{body}\n}}'

    def retire(self, budget: str = "%budget") -> None:
        """hart.retired as the architecture has it."""
        self.write("retired", self.value(f"sub i64 {self.read('horizon')}, {budget}"))

    def synchronise(self, pc: str) -> None:
        """hart.pc and hart.retired as the architecture has them."""
        self.write("pc", pc)
        self.retire()

    def dispatch(self, ip: str, budget: str, page: str = "%vpage") -> None:
        """To the handler of a slot."""
        self.tail(self.load(ip, kind="ptr"), ip, budget, page)

    def spend(self) -> str:
        """The budget after one more instruction."""
        return self.value("sub i64 %budget, 1")

    def jump(self, target: str, budget: str) -> None:
        """To any address: the handler for that gets it in place of the slot."""
        pointer = self.value(f"inttoptr i64 {target} to ptr")
        self.tail(f'@"{Special.JUMP_TO.symbol}"', pointer, budget)

    def dispatch_or_end(self, ip: str, budget: str, page: str = "%vpage", suffix: str = "") -> None:
        """To the handler of a slot, with a look at the budget."""
        self.branch(self.spent(budget), f"event{suffix}", f"go{suffix}", self.unlikely)
        self.label(f"event{suffix}")
        self.tail(f'@"{Special.EVENT.symbol}"', ip, budget, page)
        self.label(f"go{suffix}")
        self.dispatch(ip, budget, page)


class InstructionHandler(InstructionText, HandlerText):
    """The handler of one instruction of one size; `far` is for a target on another page."""

    def __init__(self, program: Program, one: Instruction, size: int, far: bool) -> None:
        super().__init__(program, one)
        self.bytes, self.far = size, far

    def size(self) -> str:
        """See `InstructionText`."""
        return str(self.bytes)

    def text(self, name: str) -> str:
        """The handler."""
        if self.one.floats:
            self._floats()
        if self.one.kind is SYSTEM:
            self.synchronise(self.value(f"add i64 {self.pc()}, {self.bytes}"))
        results = self.results()
        if self.one.dirties_floats:
            self.floats_dirty()
        if self.one.destination and self.one.kind is not BRANCH:
            self.keep(results[0])
        self._go_on(results, self.spend())
        if self.raises:
            self.label("raised")
            self.tail('@"trap"')
        return self.define(name)

    def _floats(self) -> None:
        off = self.value(f"icmp eq i64 {self.read('floats')}, 0")
        self.branch(off, "off", "on", self.unlikely)
        self.label("off")
        self.tail('@"floats"')
        self.label("on")

    def _go_on(self, results: list[str], budget: str) -> None:
        if self.one.kind is BRANCH:
            self._branch(results[0], budget)
        elif self.one.kind is JUMP:
            self._jump(results[1], budget)
        elif self.one.kind is SYSTEM:
            self._system(budget)
        else:
            self._next(budget)

    def _next(self, budget: str) -> None:
        self.dispatch(self.at("%ip", self.bytes << SLOT_SHIFT), budget)

    def _near(self, budget: str) -> None:
        """To pc + imm on this page."""
        distance = self.value(f"shl i64 {self.immediate()}, {SLOT_SHIFT}")
        self.dispatch_or_end(self.at("%ip", distance), budget)

    def _branch(self, taken: str, budget: str) -> None:
        self.branch(taken, "taken", "fall")
        self.label("fall")
        self._next(budget)
        self.label("taken")
        if self.far:
            self.jump(self.value(f"add i64 {self.pc()}, {self.immediate()}"), budget)
        else:
            self._near(budget)

    def _jump(self, target: str, budget: str) -> None:
        if self.one.may_jump_static and not self.far:
            self._near(budget)
        else:
            self.jump(target, budget)

    def _system(self, budget: str) -> None:
        changed = self.value(f"icmp ne i64 {self.read('changes')}, 0")
        self.branch(changed, "look", "same")
        self.label("look")
        self.tail('@"changed"', budget=budget)
        self.label("same")
        self._next(budget)


def handler_names() -> list[str]:
    """The symbols of the handler table, by number."""
    names = [Special.ILLEGAL.symbol] * HANDLERS
    for index, one in enumerate(INSTRUCTIONS):
        names[2 * index], names[2 * index + 1] = f"{one.name}/4", f"{one.name}/2"
        if one.may_jump_static:
            names[FAR + 2 * index] = f"{one.name}/4/far"
            names[FAR + 2 * index + 1] = f"{one.name}/2/far"
    for special in Special:
        names[special] = special.symbol
    return names


def handlers(program: Program, sizes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The text of all instruction handlers; `sizes` says which have a two-byte form."""
    texts = []
    for one in INSTRUCTIONS:
        for size in sizes.get(one.name, (4,)):
            for far in (False, True) if one.may_jump_static else (False,):
                name = f"{one.name}/{size}" + ("/far" if far else "")
                texts.append(InstructionHandler(program, one, size, far).text(name))
    return texts
