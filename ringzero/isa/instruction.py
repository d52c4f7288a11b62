"""An instruction: its assembly template, its encoding row, and the typed function that it means.

`@insn(template, row, extension=…)` makes one of a function. The signature is the footprint: values
come in by parameter name, and the result goes to the row's destination (`rd` or `frd`). Definitions
stand in `instructions/rv_*.py`; `registry.py` collects them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from types import CodeType
from typing import Any

from ringzero.isa.encoding import EncodingError, Row, parse
from ringzero.isa.footprint import Access, Block, check
from ringzero.lang import Native, native, u64


class Kind(Enum):
    """How an instruction treats the flow of control."""

    PLAIN = "plain"  # falls through; at most it raises
    BRANCH = "branch"  # returns whether pc += imm
    JUMP = "jump"  # returns (rd, target)
    SYSTEM = "system"  # ends a block: the hart's pc and retired are exact, hart.changes is examined


PLAIN, BRANCH, JUMP, SYSTEM = Kind.PLAIN, Kind.BRANCH, Kind.JUMP, Kind.SYSTEM

CONTEXT = {"hart": None, "pc": None, "size": None}  # offered to every instruction
INDICES = {"rd_index": "rd", "rs1_index": "rs1", "rs2_index": "rs2"}
IMMEDIATES = ("imm", "csr", "shamt", "uimm", "rm")
REGISTERS = {
    "rd": "rd", "rs1": "rs1", "rs2": "rs2", "rs3": "rs3",
    "frd": "rd", "frs1": "rs1", "frs2": "rs2", "frs3": "rs3",
}  # fmt: skip
_OPERAND = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True, eq=False)
class Instruction:
    """One instruction; all that engines, decoder, assembler and documentation ask of it."""

    name: str
    template: str
    row: Row
    function: Native
    kind: Kind
    extension: str
    operands: tuple[str, ...]  # the template's, in the order they are written
    parameters: tuple[str, ...]  # the function's
    sources: dict[str, str] = field(repr=False)  # parameter → field of Decoded that delivers it
    destination: str | None  # "rd", "frd" or None
    immediate: str | None  # the row's field that Decoded.imm delivers
    access: Access | Block | None = None  # of memory, so it may fault
    steps: bool = False  # where operands grow by steps, so does the result: it computes addresses

    @property
    def memory(self) -> bool:
        """Whether it reaches memory."""
        return self.access is not None

    @property
    def mask(self) -> int:
        """The bits that the row fixes."""
        return self.row.mask

    @property
    def match(self) -> int:
        """What the fixed bits are."""
        return self.row.match

    @property
    def writes_floats(self) -> bool:
        """Whether the destination is a floating-point register."""
        return self.destination == "frd"

    @cached_property
    def floats(self) -> bool:
        """Whether mstatus.FS must not be Off: it has a floating-point operand or rounding mode."""
        return any(name.startswith("f") and name in REGISTERS for name in self.row.fields) or (
            "rm" in self.row.fields
        )

    @cached_property
    def dirties_floats(self) -> bool:
        """Whether it makes mstatus.FS Dirty by itself: `accrue` does so where flags are raised."""
        return self.writes_floats

    @property
    def may_jump_static(self) -> bool:
        """Whether it may go to a target that pc and the immediate alone determine."""
        return self.kind is BRANCH or (self.kind is JUMP and "rs1" not in self.parameters)

    @property
    def compiles(self) -> bool:
        """Whether engines make code of it together with others; the rest is the interpreter's."""
        return self.kind is not SYSTEM and not isinstance(self.access, Block)

    @property
    def summary(self) -> str:
        """The body's documentation, one line."""
        return (self.function.__doc__ or "").strip().split("\n")[0]

    def __call__(self, *arguments: Any) -> Any:
        """The meaning, on values."""
        return self.function(*arguments)


defined: list[Instruction] = []  # in the order of import; registry.INSTRUCTIONS is the stable view


def insn(
    template: str,
    row: str,
    *,
    extension: str,
    kind: Kind = PLAIN,
    access: Access | Block | None = None,
    steps: bool = False,
) -> Callable[[Callable[..., Any]], Instruction]:
    """Make an instruction of a typed function; refuses, in a sentence, what does not fit."""

    def define(function: Callable[..., Any]) -> Instruction:
        made = _define(function, template, parse(row), extension, kind)
        check(made.name, made.function, access)
        if steps and (made.destination != "rd" or "hart" in made.parameters):
            raise EncodingError(f"{made.name}() is no arithmetic of x registers: it cannot step")
        made = replace(made, access=access, steps=steps)
        defined.append(made)
        return made

    return define


def _define(function: Any, template: str, row: Row, extension: str, kind: Kind) -> Instruction:
    name, _, written = template.partition(" ")
    operands = tuple(_OPERAND.findall(written))
    for operand in operands:
        if operand not in row.fields:
            raise EncodingError(
                f"{name}: template {template!r} names {operand}, which row {row.text!r} has not"
            )
    code: CodeType = function.__code__
    parameters = code.co_varnames[: code.co_argcount]
    immediate = next((field for field in IMMEDIATES if field in row.fields), None)
    sources = {p: _source(name, p, row, immediate) for p in parameters if p not in CONTEXT}
    return Instruction(
        name,
        template,
        row,
        native(function),
        kind,
        extension,
        operands,
        parameters,
        sources,
        _destination(name, function, row, kind),
        immediate,
    )


def _source(name: str, parameter: str, row: Row, immediate: str | None) -> str:
    """The field of Decoded that a parameter's value, or its register's number, comes from."""
    wanted = INDICES.get(parameter, parameter)
    if wanted not in row.fields:
        raise EncodingError(
            f"{name}() takes {parameter}, but row {row.text!r} has no {wanted}; "
            f"offered are {', '.join([*row.fields, *CONTEXT, *INDICES])}"
        )
    if wanted in REGISTERS:
        return REGISTERS[wanted]
    if wanted == immediate:
        return "imm"
    return _second_immediate(name, parameter, row)


def _second_immediate(name: str, parameter: str, row: Row) -> str:
    # csrrwi's uimm stands where rs1 does, and csr has taken Decoded.imm
    pieces = row.fields[parameter].pieces
    for register, lsb in (("rs1", 15), ("rs2", 20)):
        if len(pieces) == 1 and (pieces[0].lsb, pieces[0].width) == (lsb, 5):
            return register
    raise EncodingError(f"{name}: row {row.text!r} has an immediate beside {parameter}")


def _result(function: Any) -> Any:
    note = function.__annotations__.get("return")
    return eval(note, vars(sys.modules[function.__module__])) if isinstance(note, str) else note


def _destination(name: str, function: Any, row: Row, kind: Kind) -> str | None:
    result = _result(function)
    wanted = {Kind.BRANCH: (bool,), Kind.JUMP: (tuple[u64, u64],)}.get(kind, (u64, None))
    if result not in wanted:
        raise EncodingError(f"{name}() returns {result}, but {kind.name} returns {wanted[0]}")
    if result is None or kind is Kind.BRANCH:
        return None
    for register in ("rd", "frd"):
        if register in row.fields:
            return register
    raise EncodingError(f"{name}() returns a value, but row {row.text!r} has no rd or frd")
