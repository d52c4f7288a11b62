"""An instruction's typed function in a handler of its own: operands in, results out.

The interpreter's handlers take operands from the slot; the compiler's pieces override that with
holes, which are filled in when a piece is copied.
"""

from __future__ import annotations

from ringzero.engine.llvm_text import HART, SLOT, ProgramText
from ringzero.isa.instruction import Instruction
from ringzero.isa.privileged.trap import STATUS_FS
from ringzero.lang.compiler import Program, result_type


class InstructionText(ProgramText):
    """Emits one instruction."""

    def __init__(self, program: Program, one: Instruction) -> None:
        super().__init__(program)
        self.one, self.raises = one, False

    # ---- operands

    def slot_byte(self, field: str) -> str:
        """A register's number, or a small immediate in its place."""
        byte = self.load("%ip", SLOT[field], "i8")
        return self.value(f"zext i8 {byte} to i64")

    def register(self, array: str, field: str) -> str:
        """Where a register is."""
        index = self.slot_byte(field)
        return self.value(f"getelementptr i64, ptr {self.at('%core', HART[array])}, i64 {index}")

    def immediate(self) -> str:
        """Decoded.imm, sign-extended."""
        return self.value(f"sext i32 {self.load('%ip', SLOT['imm'], 'i32')} to i64")

    def size(self) -> str:
        """How many bytes the instruction has."""
        raise NotImplementedError

    def argument(self, name: str) -> str:
        """What the typed function gets as a parameter."""
        if name == "hart":
            return "ptr %core"
        if name == "pc":
            return f"i64 {self.pc()}"
        if name == "size":
            return f"i64 {self.size()}"
        source = self.one.sources[name]
        if name.endswith("_index"):
            return f"i64 {self.slot_byte(source)}"
        if name in ("rs1", "rs2", "rs3", "frs1", "frs2", "frs3"):
            return f"i64 {self.load(self.register('f' if name[0] == 'f' else 'x', source))}"
        return f"i64 {self.immediate() if source == 'imm' else self.slot_byte(source)}"

    # ---- the function

    def results(self) -> list[str]:
        """Call the instruction's function, which reports a raise through a pointer."""
        made = self.program.function(self.program.resolve(self.one.function))
        kind = result_type(made.result, False)
        arguments = [self.argument(name) for name in self.one.parameters]
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
            self.raises = True
            flag = self.value("load i1, ptr %raise_flag")
            self.branch(flag, "raised", "fine", self.unlikely)
            self.label("fine")
        if not kind.startswith("{"):
            return [result]
        return [self.value(f"extractvalue {kind} {result}, {i}") for i in range(2)]

    def floats_dirty(self) -> None:
        """mstatus.FS becomes Dirty."""
        self.write("mstatus", self.value(f"or i64 {self.read('mstatus')}, {STATUS_FS}"))

    def keep(self, result: str) -> None:
        """A result goes to the instruction's destination."""
        array = "f" if self.one.destination == "frd" else "x"
        self.line(f"store i64 {result}, ptr {self.register(array, 'rd')}")
