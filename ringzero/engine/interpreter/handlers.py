"""The interpreter's handlers as LLVM text: one per instruction and size, derived from INSTRUCTIONS.

A handler gets (core, ip, budget, vpage) in registers, runs the instruction's typed function on the
operands of its slot, and jumps to the next slot's handler (a guaranteed tail call, so nothing is
saved). The calling convention that keeps all four in callee-saved registers is preserve_nonecc.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringzero.engine.native.code.decoded_pages import (
    BAIL,
    COUNT,
    CROSS,
    DECODE,
    EVENT,
    FAR,
    HALT,
    HANDLERS,
    ILLEGAL_2,
    ILLEGAL_4,
    JUMP_TO,
    LINK,
    LINK_BAIL,
    SPENT,
    STRADDLE,
    WARM,
)
from ringzero.engine.native.state import Core
from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM, Instruction
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang.compiler import Program, result_type
from ringzero.lang.host import view

CONVENTION = "preserve_nonecc"
SIGNATURE = "ptr %core, ptr %ip, i64 %budget, i64 %vpage"
SLOT_FIELDS = {"rd": 8, "rs1": 9, "rs2": 10, "rs3": 11}  # bytes in a Slot
FS = 0x6000  # mstatus.FS

_hart = view(Core.fields["hart"])
OFFSET = {name: getattr(_hart, name).offset for name in Core.fields["hart"].fields}
CORE_OFFSET = {name: getattr(view(Core), name).offset for name in Core.fields}


class HandlerText:
    """Emits the body of one handler."""

    def __init__(self, program: Program) -> None:
        self.program, self.count = program, 0
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        self.count += 1
        self.line(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def define(self, name: str) -> str:
        body = "\n".join(self.lines)
        return f'define {CONVENTION} void @"{name}"({SIGNATURE}) nounwind {{\n{body}\n}}'

    # ---- state

    def core(self, offset: int) -> str:
        return self.value(f"getelementptr i8, ptr %core, i64 {offset}")

    def load(self, field: str) -> str:
        """A field of the hart, or of the core."""
        where = OFFSET.get(field, CORE_OFFSET.get(field))
        assert where is not None
        return self.value(f"load i64, ptr {self.core(where)}")

    def store(self, field: str, text: str) -> None:
        where = OFFSET.get(field, CORE_OFFSET.get(field))
        assert where is not None
        self.line(f"store i64 {text}, ptr {self.core(where)}")

    def slot_byte(self, field: str) -> str:
        at = self.value(f"getelementptr i8, ptr %ip, i64 {SLOT_FIELDS[field]}")
        return self.value(f"zext i8 {self.value(f'load i8, ptr {at}')} to i64")

    def register(self, array: str, field: str) -> str:
        index = self.slot_byte(field)
        base = self.core(OFFSET[array])
        return self.value(f"getelementptr i64, ptr {base}, i64 {index}")

    def immediate(self) -> str:
        at = self.value("getelementptr i8, ptr %ip, i64 12")
        return self.value(f"sext i32 {self.value(f'load i32, ptr {at}')} to i64")

    def pc(self) -> str:
        at = self.value("ptrtoint ptr %ip to i64")
        offset = self.value(f"and i64 {self.value(f'lshr i64 {at}, 3')}, 4095")
        return self.value(f"or i64 {offset}, %vpage")

    def synchronise(self, pc: str) -> None:
        """hart.pc and hart.retired as the architecture has them."""
        self.store("pc", pc)
        retired = self.value(f"sub i64 {self.load('horizon')}, %budget")
        self.store("retired", retired)

    # ---- control

    def tail(
        self, callee: str, ip: str = "%ip", budget: str = "%budget", page: str = "%vpage"
    ) -> None:
        self.line(
            f"musttail call {CONVENTION} void {callee}"
            f"(ptr %core, ptr {ip}, i64 {budget}, i64 {page})"
        )
        self.line("ret void")

    def dispatch(self, ip: str, budget: str, page: str = "%vpage") -> None:
        self.tail(self.value(f"load ptr, ptr {ip}"), ip, budget, page)

    def spend(self) -> str:
        return self.value("sub i64 %budget, 1")

    def next(self, size: int, budget: str) -> None:
        ip = self.value(f"getelementptr i8, ptr %ip, i64 {8 * size}")
        self.dispatch(ip, budget)

    def jump(self, target: str, budget: str) -> None:
        pointer = self.value(f"inttoptr i64 {target} to ptr")
        self.tail('@"jump"', pointer, budget)

    def near(self, budget: str) -> None:
        """To pc + imm on this page, with a look at the budget."""
        distance = self.value(f"shl i64 {self.immediate()}, 3")
        ip = self.value(f"getelementptr i8, ptr %ip, i64 {distance}")
        spent = self.value(f"icmp slt i64 {budget}, 0")
        self.line(f"br i1 {spent}, label %event, label %go, !prof !0")
        self.label("event")
        self.tail('@"event"', ip, budget)
        self.label("go")
        self.dispatch(ip, budget)


class InstructionHandler(HandlerText):
    """The handler of one instruction of one size."""

    def __init__(self, program: Program, one: Instruction, size: int, far: bool) -> None:
        super().__init__(program)
        self.one, self.size, self.far, self.raises = one, size, far, False

    def text(self, name: str) -> str:
        if self.one.floats:
            self._floats()
        if self.one.kind is SYSTEM:
            self.synchronise(self.value(f"add i64 {self.pc()}, {self.size}"))
        results = self._call()
        if self.one.dirties_floats:
            status = self.load("mstatus")
            self.store("mstatus", self.value(f"or i64 {status}, {FS}"))
        if self.one.destination and self.one.kind is not BRANCH:
            array = "f" if self.one.destination == "frd" else "x"
            self.line(f"store i64 {results[0]}, ptr {self.register(array, 'rd')}")
        budget = self.spend()
        if self.one.kind is BRANCH:
            self._branch(results[0], budget)
        elif self.one.kind is JUMP:
            self._jump(results[1], budget)
        elif self.one.kind is SYSTEM:
            self._system(budget)
        else:
            self.next(self.size, budget)
        if self.raises:
            self.label("raised")
            self.tail('@"trap"')
        return self.define(name)

    def _floats(self) -> None:
        off = self.value(f"icmp eq i64 {self.load('floats')}, 0")
        self.line(f"br i1 {off}, label %off, label %on, !prof !0")
        self.label("off")
        self.tail('@"floats"')
        self.label("on")

    def _argument(self, name: str) -> str:
        if name == "hart":
            return "ptr %core"
        if name == "pc":
            return f"i64 {self.pc()}"
        if name == "size":
            return f"i64 {self.size}"
        source = self.one.sources[name]
        if name.endswith("_index"):
            return f"i64 {self.slot_byte(source)}"
        if name in ("rs1", "rs2", "rs3", "frs1", "frs2", "frs3"):
            where = self.register("f" if name.startswith("f") else "x", source)
            return f"i64 {self.value(f'load i64, ptr {where}')}"
        return f"i64 {self.immediate() if source == 'imm' else self.slot_byte(source)}"

    def _call(self) -> list[str]:
        """Call the instruction's function, which reports a raise through a pointer."""
        made = self.program.function(self.program.resolve(self.one.function))
        kind = result_type(made.result, False)
        arguments = [self._argument(name) for name in self.one.parameters]
        if made.raises:
            self.lines.insert(0, "  %raise_flag = alloca i1")  # LLVM promotes those of the entry
            self.line("store i1 false, ptr %raise_flag")
            arguments.append("ptr %raise_flag")
        call = f'call {kind} @"{made.symbol}"({", ".join(arguments)}) alwaysinline'
        result = ""
        if kind == "void":
            self.line(call)
        else:
            result = self.value(call)
        if made.raises:
            self._raised(self.value("load i1, ptr %raise_flag"))
        if not kind.startswith("{"):
            return [result]
        return [self.value(f"extractvalue {kind} {result}, {i}") for i in range(2)]

    def _raised(self, flag: str) -> None:
        self.raises = True
        self.line(f"br i1 {flag}, label %raised, label %fine, !prof !0")
        self.label("fine")

    def _branch(self, taken: str, budget: str) -> None:
        self.line(f"br i1 {taken}, label %taken, label %fall")
        self.label("fall")
        self.next(self.size, budget)
        self.label("taken")
        if self.far:
            self.jump(self.value(f"add i64 {self.pc()}, {self.immediate()}"), budget)
        else:
            self.near(budget)

    def _jump(self, target: str, budget: str) -> None:
        if self.one.may_jump_static and not self.far:
            self.near(budget)
        else:
            self.jump(target, budget)

    def _system(self, budget: str) -> None:
        changed = self.value(f"icmp ne i64 {self.load('changes')}, 0")
        self.line(f"br i1 {changed}, label %look, label %same")
        self.label("look")
        self.tail('@"changed"', budget=budget)
        self.label("same")
        self.next(self.size, budget)


def handler_names() -> list[str]:
    """The symbols of the handler table, by number."""
    names = ["illegal"] * HANDLERS
    for index, one in enumerate(INSTRUCTIONS):
        names[2 * index], names[2 * index + 1] = f"{one.name}/4", f"{one.name}/2"
        if one.may_jump_static:
            names[FAR + 2 * index] = f"{one.name}/4/far"
            names[FAR + 2 * index + 1] = f"{one.name}/2/far"
    special = {ILLEGAL_4: "illegal", ILLEGAL_2: "illegal", DECODE: "decode", CROSS: "cross"}
    special |= {STRADDLE: "straddle", HALT: "halt", JUMP_TO: "jump", EVENT: "event"}
    special |= {SPENT: "spent", BAIL: "bail", LINK: "link", LINK_BAIL: "link_bail"}
    special[WARM] = "warm"
    for number, name in special.items():
        names[number] = name
    assert len(names) == FAR + COUNT
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
