"""Pieces as LLVM text: the function of each instruction that is not lowered, its operands holes.

A piece does what the interpreter's handler of the instruction does, for operands that are patched
into its code. The guest's registers that the host holds go through it as arguments.
"""

from __future__ import annotations

from collections.abc import Iterable

from ringzero.engine.instruction_text import InstructionText
from ringzero.engine.llvm_text import CONVENTION, HART
from ringzero.engine.native.compiler import piece_access
from ringzero.engine.native.compiler.holes import NUMBERS, PLACES
from ringzero.engine.native.floats import pieces as piece_floats
from ringzero.engine.native.translation.physical import now
from ringzero.isa import ports
from ringzero.isa.floating import DYNAMIC
from ringzero.isa.instruction import Instruction
from ringzero.isa.privileged import access
from ringzero.lang.compiler import Program, Target
from ringzero.lang.native import Native

BIND: dict[Native, Native] = {
    access.load: piece_access.load,
    access.store: piece_access.store,
    access.amo: piece_access.amo,
    access.load_reserved: piece_access.load_reserved,
    access.store_conditional: piece_access.store_conditional,
    ports.now: now,
    **piece_floats.BIND,
}
SECTION = ".text.pieces"
ROUNDS_DYNAMICALLY = "/dyn"  # behind an instruction's name: its piece for the usual rm
# In the convention's order: r12 r13 r14 r15 rdi rsi rdx rcx r8 r9 r11 rax. What is not named is
# free for the piece; so are rbx, rbp and r10, which the compiler puts away.
HELD = "ptr %core, i64 %r13, i64 %budget, i64 %r15, i64 %rdi, i64 %rsi"
SIGNATURE = f"{HELD}, i64 %rdx, i64 %rcx, i64 %r8, i64 %r9, i64 %r11"
GIVEN = f"{HELD}, i64 poison, i64 poison, i64 %r8, i64 %r9, i64 %r11"


def number(name: str) -> str:
    """A hole's value."""
    return f"ptrtoint (ptr @{name} to i64)"


class PieceText(InstructionText):
    """The piece of one instruction that falls through; `dynamic` if it rounds as frm says."""

    def __init__(self, program: Program, one: Instruction, dynamic: bool = False) -> None:
        super().__init__(program, one)
        self.dynamic = dynamic

    def argument(self, name: str) -> str:
        """What the typed function gets; a rounding mode that is known is a number."""
        return f"i64 {DYNAMIC}" if name == "rm" and self.dynamic else super().argument(name)

    def define(self, name: str) -> str:
        """The whole function."""
        body = "\n".join(self.lines)
        place = f'nounwind section "{SECTION}"'  # apart from what it might call
        return f'define {CONVENTION} void @"{name}"({SIGNATURE}) {place} {{\n{body}\n}}'

    def slot_byte(self, field: str) -> str:
        """A register's number, or a small immediate in its place."""
        return self.value(f"add i64 0, {number(field + '_index')}")

    def register(self, array: str, field: str) -> str:
        """Where a register is."""
        return self.at(self.at("%core", number(field)), HART[array])

    def immediate(self) -> str:
        """Decoded.imm, sign-extended."""
        return self.value(f"add i64 0, {number('imm')}")

    def size(self) -> str:
        """The instruction's bytes."""
        return number("size")

    def go(self, target: str) -> None:
        """To a place that the compiler patches in."""
        self.line(f"musttail call {CONVENTION} void {target}({GIVEN})")
        self.line("ret void")

    def text(self, name: str) -> str:
        """The piece."""
        results = self.results()
        if self.one.destination:
            self.keep(results[0])
        self.go("@next")
        if self.raises:
            self.label("raised")
            self.go("@side_exit")
        return self.define(name)


def build(target: Target, instructions: Iterable[Instruction]) -> str:
    """The text of the pieces of some instructions for a target."""
    program = Program(target, BIND)
    chosen = list(instructions)
    program.flagged.update(one.function for one in chosen)
    program.texts += [PieceText(program, one).text(one.name) for one in chosen]
    program.texts += [
        PieceText(program, one, dynamic=True).text(one.name + ROUNDS_DYNAMICALLY)
        for one in chosen
        if "rm" in one.parameters
    ]
    program.texts += [f"@{name} = external global i8, !absolute_symbol !2" for name in NUMBERS]
    program.texts += [f"declare {CONVENTION} void @{name}({SIGNATURE})" for name in PLACES]
    program.texts += ["!2 = !{i64 -2147483648, i64 2147483648}"]  # 32 bits, sign-extended
    return program.text()
