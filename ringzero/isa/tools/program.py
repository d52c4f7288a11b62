"""Assembly programs: labels, pseudo-instructions and directives, in two passes.

`assemble("addi a0, a0, 1")` gives one word, `assemble_text` the bytes of many lines.
The first pass gives every statement its address and size, the second its bytes. Pseudo-instructions
are the psABI's and GNU's; addresses that text names (`la`, `call`, `tail`) are always two words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ringzero.isa.tools.assembler import (
    AssemblyError,
    Symbols,
    assemble_instruction,
    number,
    split,
)

PSEUDO_TEXT = """
nop               | addi x0, x0, 0
mv $1, $2         | addi $1, $2, 0
not $1, $2        | xori $1, $2, -1
neg $1, $2        | sub $1, x0, $2
negw $1, $2       | subw $1, x0, $2
sext.w $1, $2     | addiw $1, $2, 0
zext.b $1, $2     | andi $1, $2, 255
zext.w $1, $2     | add.uw $1, $2, x0
seqz $1, $2       | sltiu $1, $2, 1
snez $1, $2       | sltu $1, x0, $2
sltz $1, $2       | slt $1, $2, x0
sgtz $1, $2       | slt $1, x0, $2
beqz $1, $2       | beq $1, x0, $2
bnez $1, $2       | bne $1, x0, $2
blez $1, $2       | bge x0, $1, $2
bgez $1, $2       | bge $1, x0, $2
bltz $1, $2       | blt $1, x0, $2
bgtz $1, $2       | blt x0, $1, $2
bgt $1, $2, $3    | blt $2, $1, $3
ble $1, $2, $3    | bge $2, $1, $3
bgtu $1, $2, $3   | bltu $2, $1, $3
bleu $1, $2, $3   | bgeu $2, $1, $3
j $1              | jal x0, $1
jal $1            | jal ra, $1
jr $1             | jalr x0, $1
jalr $1           | jalr ra, $1
jalr $1, $2, $3   | jalr $1, $3($2)
ret               | jalr x0, 0(ra)
csrr $1, $2       | csrrs $1, $2, x0
csrw $1, $2       | csrrw x0, $1, $2
csrs $1, $2       | csrrs x0, $1, $2
csrc $1, $2       | csrrc x0, $1, $2
csrwi $1, $2      | csrrwi x0, $1, $2
csrsi $1, $2      | csrrsi x0, $1, $2
csrci $1, $2      | csrrci x0, $1, $2
rdcycle $1        | csrrs $1, cycle, x0
rdtime $1         | csrrs $1, time, x0
rdinstret $1      | csrrs $1, instret, x0
frcsr $1          | csrrs $1, fcsr, x0
fscsr $1          | csrrw x0, fcsr, $1
frrm $1           | csrrs $1, frm, x0
fsrm $1           | csrrw x0, frm, $1
frflags $1        | csrrs $1, fflags, x0
fsflags $1        | csrrw x0, fflags, $1
fence             | fence iorw, iorw
sfence.vma        | sfence.vma x0, x0
sfence.vma $1     | sfence.vma $1, x0
fmv.s $1, $2      | fsgnj.s $1, $2, $2
fabs.s $1, $2     | fsgnjx.s $1, $2, $2
fneg.s $1, $2     | fsgnjn.s $1, $2, $2
fmv.d $1, $2      | fsgnj.d $1, $2, $2
fabs.d $1, $2     | fsgnjx.d $1, $2, $2
fneg.d $1, $2     | fsgnjn.d $1, $2, $2
"""
ADDRESSES = {  # register that auipc writes, then what uses the low part
    ("la", 2): ("{0}", "addi {0}, {0}, {low}"),
    ("lla", 2): ("{0}", "addi {0}, {0}, {low}"),
    ("call", 1): ("ra", "jalr ra, {low}(ra)"),
    ("tail", 1): ("t1", "jalr x0, {low}(t1)"),
}
DATA = {".byte": 1, ".half": 2, ".word": 4, ".dword": 8, ".quad": 8}
IGNORED = frozenset({".text", ".data", ".section", ".globl", ".global", ".type", ".size"})
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"'}

_LABEL = re.compile(r"\s*([.\w$]+):")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_COMMENT = re.compile(r"""("(?:[^"\\]|\\.)*"|'.')|(#|//).*""")


def _pseudos() -> dict[tuple[str, int], tuple[str, list[str]]]:
    table = {}
    for line in PSEUDO_TEXT.strip().splitlines():
        written, meaning = (part.strip() for part in line.split("|"))
        name, operands = split(written)
        table[name, len(operands)] = split(meaning)
    return table


PSEUDOS = _pseudos()
Emit = Callable[[Symbols], bytes]


@dataclass
class Statement:
    """What one line puts at `address`: `size` bytes, made when all labels are known."""

    line: int
    text: str
    address: int
    size: int
    emit: Emit


def li(register: str, value: int) -> list[str]:
    """The instructions that load a 64-bit constant."""
    value = (value & (1 << 64) - 1) - ((value >> 63 & 1) << 64)
    if -2048 <= value < 2048:
        return [f"addi {register}, x0, {value}"]
    low = (value & 0xFFF) - ((value >> 11 & 1) << 12)
    if -(1 << 31) <= value < 1 << 31:
        load = [f"lui {register}, {(value - low) >> 12 & 0xF_FFFF}"]
        return [*load, f"addiw {register}, {register}, {low}"] if low else load
    high = (value - low) >> 12
    shift = (high & -high).bit_length() - 1
    text = [*li(register, high >> shift), f"slli {register}, {register}, {12 + shift}"]
    return [*text, f"addi {register}, {register}, {low}"] if low else text


def real(name: str, written: list[str]) -> tuple[str, list[str]]:
    """The instruction that a one-word pseudo-instruction stands for, or what was written."""
    found = PSEUDOS.get((name, len(written)))
    if found is None:
        return name, written
    real_name, forms = found
    for index, text in enumerate(written, 1):
        forms = [form.replace(f"${index}", text) for form in forms]
    return real_name, forms


class Program:
    """The two passes over one text."""

    def __init__(self, origin: int, symbols: Mapping[str, int] | None) -> None:
        self.address = self.origin = origin
        self.names: dict[str, int] = dict(symbols or {})
        self.local: dict[str, list[int]] = {}  # numeric labels, which may be set again
        self.statements: list[Statement] = []
        self.number = 0

    def read(self, source: str) -> None:
        """The first pass."""
        for self.number, line in enumerate(source.splitlines(), 1):
            text = _COMMENT.sub(lambda found: found[1] or "", line)
            while (label := _LABEL.match(text)) is not None:
                self._define(label[1])
                text = text[label.end() :]
            for part in text.split(";") if '"' not in text else [text]:
                if part.strip():
                    self._located(part.strip(), partial(self._statement, part.strip()))

    def bytes(self) -> bytes:
        """The second pass."""
        code = bytearray()
        for statement in self.statements:
            self.number = statement.line
            symbols = self._symbols(statement.address)
            made = self._located(statement.text, partial(statement.emit, symbols))
            assert len(made) == statement.size
            code += made
        return bytes(code)

    def _located(self, text: str, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except AssemblyError as error:
            raise AssemblyError(f"line {self.number}, {text!r}: {error}") from None

    def _define(self, name: str) -> None:
        if name.isdecimal():
            self.local.setdefault(name, []).append(self.address)
        elif name in self.names:
            raise AssemblyError(f"line {self.number}: label {name} is defined twice")
        else:
            self.names[name] = self.address

    def _symbols(self, here: int) -> Symbols:
        def find(name: str) -> int | None:
            if name == ".":
                return here
            if name[:-1].isdecimal() and name[-1] in "bf":
                places = self.local.get(name[:-1], [])
                if name[-1] == "b":
                    return max((place for place in places if place <= here), default=None)
                return min((place for place in places if place > here), default=None)
            return self.names.get(name)

        return find

    def _put(self, text: str, size: int, emit: Emit) -> None:
        self.statements.append(Statement(self.number, text, self.address, size, emit))
        self.address += size

    def _statement(self, text: str) -> None:
        name, written = split(text)
        if name.startswith("."):
            self._directive(name, text, written)
        elif name == "li" and len(written) == 2:
            value = number(written[1], self._symbols(self.address))
            for line in li(written[0], value):
                self._instruction(text, *split(line))
        elif (name, len(written)) in ADDRESSES:
            self._address(text, *ADDRESSES[name, len(written)], written)
        else:
            self._instruction(text, *real(name, written))

    def _instruction(self, text: str, name: str, written: list[str]) -> None:
        pc = self.address

        def emit(symbols: Symbols) -> bytes:
            return assemble_instruction(name, written, pc, symbols).to_bytes(4, "little")

        self._put(text, 4, emit)

    def _address(self, text: str, register: str, then: str, written: list[str]) -> None:
        pc, base = self.address, register.format(*written)

        def emit(symbols: Symbols) -> bytes:
            distance = number(written[-1], symbols) - pc
            if not -(1 << 31) <= distance + 0x800 < 1 << 31:
                raise AssemblyError(f"{written[-1]} is further than 2 GiB away")
            low = (distance & 0xFFF) - ((distance >> 11 & 1) << 12)
            lines = [
                f"auipc {base}, {(distance - low) >> 12 & 0xF_FFFF}",
                then.format(*written, low=low),
            ]
            words = [assemble_instruction(*split(line), pc, symbols) for line in lines]
            return b"".join(word.to_bytes(4, "little") for word in words)

        self._put(text, 8, emit)

    def _directive(self, name: str, text: str, written: list[str]) -> None:
        here = self._symbols(self.address)
        if name in DATA:
            self._data(text, DATA[name], written)
        elif name in (".ascii", ".asciz", ".string"):
            self._string(name, text)
        elif name in (".align", ".p2align", ".balign") and len(written) == 1:
            size = number(written[0], here)
            size = size if name == ".balign" else 1 << size
            self._zeros(text, -self.address % size)
        elif name in (".zero", ".space", ".skip") and len(written) == 1:
            self._zeros(text, number(written[0], here))
        elif name in (".equ", ".set") and len(written) == 2:
            self.names[written[0]] = number(written[1], here)
        elif name not in IGNORED:
            raise AssemblyError(f"{name} with {len(written)} values is not a directive known here")

    def _data(self, text: str, size: int, written: list[str]) -> None:
        def emit(symbols: Symbols) -> bytes:
            values = [number(item, symbols) for item in written]
            for value in values:
                if not -(1 << (8 * size - 1)) <= value < 1 << (8 * size):
                    raise AssemblyError(f"{value} does not fit {size} bytes")
            mask = (1 << 8 * size) - 1
            return b"".join((value & mask).to_bytes(size, "little") for value in values)

        self._put(text, size * len(written), emit)

    def _string(self, name: str, text: str) -> None:
        found = _STRING.search(text)
        if found is None:
            raise AssemblyError(f'{name} takes a string in quotes: {name} "text"')
        plain = re.sub(r"\\(.)", lambda e: ESCAPES.get(e[1], e[1]), found[1])
        data = plain.encode() + (b"" if name == ".ascii" else b"\0")
        self._put(text, len(data), lambda symbols: data)

    def _zeros(self, text: str, size: int) -> None:
        if size < 0:
            raise AssemblyError(f"{size} bytes cannot be left out")
        self._put(text, size, lambda symbols: bytes(size))


def assemble_text(source: str, origin: int = 0, symbols: Mapping[str, int] | None = None) -> bytes:
    """The bytes of a program that begins at `origin`; `symbols` are addresses known outside."""
    program = Program(origin, symbols)
    program.read(source)
    return program.bytes()


def assemble(text: str, *, pc: int = 0, symbols: Mapping[str, int] | None = None) -> int:
    """The word of one instruction at `pc`; one that pseudo-instructions give in one word too."""
    code = assemble_text(text, pc, symbols)
    if len(code) != 4:
        raise AssemblyError(f"{text!r} is {len(code)} bytes: use assemble_text()")
    return int.from_bytes(code, "little")


def labels(source: str, origin: int = 0) -> dict[str, int]:
    """Where the labels of a program stand."""
    program = Program(origin, None)
    program.read(source)
    return program.names
