"""Assembly text to instruction words, derived from templates and rows.

`encode(BY_NAME["addi"], rd=10, rs1=10, imm=1)` gives a word from operand values,
`assemble_instruction` the same from operands as text. Branch and jump targets are written as
addresses. `program.py` assembles whole text, with labels, pseudo-instructions and directives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from ringzero.errors import RingzeroError
from ringzero.isa.encoding import EncodingError
from ringzero.isa.instruction import BRANCH, JUMP, Instruction
from ringzero.isa.registry import BY_NAME
from ringzero.isa.tools.names import (
    DYNAMIC,
    EXACT,
    F_NUMBERS,
    ROUNDING_MODES,
    X_NUMBERS,
    csr_numbers,
    fence_bits,
)

FLOAT_REGISTERS = frozenset({"frd", "frs1", "frs2", "frs3"})
INTEGER_REGISTERS = frozenset({"rd", "rs1", "rs2", "rs3"})
ORDERINGS = {"aq": (1, 0), "rl": (0, 1), "aqrl": (1, 1)}
SPECIAL_WORDS = {
    "fence.tso": 0x8330_000F,
    "pause": 0x0100_000F,
}  # forms of fence, 2.7 and Zihintpause
PREFETCHES = {"prefetch.i": 0, "prefetch.r": 1, "prefetch.w": 3}  # Zicbop: forms of ori to x0

_MEMORY = re.compile(r"(.*?)\(\s*([^()\s]+)\s*\)")
_TERM = re.compile(r"\s*([+-]?)\s*(0x[0-9a-fA-F]+|0b[01]+|\d+(?![\dbf])|'.'|[.\w$]+)")


class AssemblyError(RingzeroError):
    """Text that is not assembly, or that asks for what no instruction can say."""


Symbols = Callable[[str], int | None]


def encode(instruction: Instruction, **operands: int) -> int:
    """The word of an instruction with the given operand values; fields not named are zero."""
    word = instruction.match
    for name, value in operands.items():
        field = instruction.row.fields.get(name)
        if field is None:
            takes = ", ".join(instruction.row.fields) or "no operands"
            raise AssemblyError(f"{instruction.name} has no operand {name}; it takes {takes}")
        try:
            word |= field.insert(value)
        except EncodingError as error:
            raise AssemblyError(f"{instruction.name}: {error}") from None
    return word


def split(text: str) -> tuple[str, list[str]]:
    """The mnemonic, and the operands as written."""
    name, _, rest = text.strip().partition(" ")
    return name.lower(), [part.strip() for part in rest.split(",")] if rest.strip() else []


def number(text: str, symbols: Symbols) -> int:
    """The value of a sum of numbers, characters and symbols."""
    value, position = 0, 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None or (position and not found[1]):
            raise AssemblyError(f"{text!r} is not a number or a symbol")
        value += (-1 if found[1] == "-" else 1) * _term(found[2], symbols)
        position = found.end()
    if not position:
        raise AssemblyError("a number or a symbol is missing")
    return value


def _term(text: str, symbols: Symbols) -> int:
    if text[0] == "'":
        return ord(text[1])
    if text.isdecimal() or text[:2] in ("0x", "0b"):
        return int(text, 0) if text[:1] == "0" and text[1:2] in "xb" else int(text)
    value = symbols(text)
    if value is None:
        raise AssemblyError(f"{text} is not defined")
    return value


@cache
def _shape(instruction: Instruction) -> tuple[str, ...]:
    return tuple(split(instruction.template)[1])


def assemble_instruction(name: str, written: Sequence[str], pc: int, symbols: Symbols) -> int:
    """One real instruction; `written` are its operands as text."""
    if name in SPECIAL_WORDS and not written:
        return SPECIAL_WORDS[name]
    if name in PREFETCHES:
        return _prefetch(name, written, symbols)
    instruction, ordering = _find(name)
    shape = _shape(instruction)
    texts: dict[str, str] = {}
    rounding = ROUNDING_MODES["rne"] if name in EXACT else DYNAMIC
    values = dict(zip(("aq", "rl"), ordering, strict=True)) if any(ordering) else {}
    if "rm" in instruction.operands and len(written) == len(shape) - 1:
        shape, values = shape[:-1], {**values, "rm": rounding}
    if len(written) != len(shape):
        raise AssemblyError(f"{name} is written {instruction.template!r}")
    for form, text in zip(shape, written, strict=True):
        texts.update(_match(instruction, form, text))
    for operand, text in texts.items():
        values[operand] = _value(instruction, operand, text, pc, symbols)
    return encode(instruction, **values)


def _find(name: str) -> tuple[Instruction, tuple[int, int]]:
    if name in BY_NAME:
        return BY_NAME[name], (0, 0)
    stem, _, suffix = name.rpartition(".")
    if suffix in ORDERINGS and stem in BY_NAME and "aq" in BY_NAME[stem].row.fields:
        return BY_NAME[stem], ORDERINGS[suffix]
    raise AssemblyError(f"{name} is not an instruction")


def _match(instruction: Instruction, form: str, text: str) -> dict[str, str]:
    """Operand texts by name, of one comma-separated part: "imm(rs1)" with "8(sp)"."""
    wanted, given = _MEMORY.fullmatch(form), _MEMORY.fullmatch(text)
    if wanted is None:
        return {form: text}
    if given is None and instruction.kind is JUMP:
        return {wanted[1]: "0", wanted[2]: text}  # jalr a0, a1
    if given is None:
        raise AssemblyError(f"{instruction.name} is written {instruction.template!r}, not {text!r}")
    offset, register = given.groups()
    if wanted[1]:
        return {wanted[1]: offset or "0", wanted[2]: register}
    if offset not in ("", "0"):
        raise AssemblyError(f"{instruction.name} takes no offset: write ({register})")
    return {wanted[2]: register}


def _value(instruction: Instruction, operand: str, text: str, pc: int, symbols: Symbols) -> int:
    if operand in INTEGER_REGISTERS:
        return _named(X_NUMBERS, text, "an integer register")
    if operand in FLOAT_REGISTERS:
        return _named(F_NUMBERS, text, "a floating-point register")
    if operand == "rm":
        return _named(ROUNDING_MODES, text, "a rounding mode")
    if operand in ("pred", "succ"):
        bits = fence_bits(text)
        if bits is None:
            raise AssemblyError(f"{text!r} is not a set of accesses such as rw")
        return bits
    if operand == "csr" and not text[:1].isdecimal():
        return _named(csr_numbers(), text, "a CSR")
    value = number(text, symbols)
    if is_target(instruction) and operand == "imm":
        return value - pc
    if is_upper(instruction) and operand == "imm":
        return upper(value, instruction)
    return value


def _named(names: Mapping[str, int], text: str, what: str) -> int:
    if text.lower() not in names:
        raise AssemblyError(f"{text!r} is not {what}")
    return names[text.lower()]


def is_target(instruction: Instruction) -> bool:
    """Whether the immediate is the distance to a target, which is written as an address."""
    return instruction.kind is BRANCH or (
        instruction.kind is JUMP and "rs1" not in instruction.row.fields
    )


def is_upper(instruction: Instruction) -> bool:
    """Whether the immediate begins at bit 12, and is written without its zeros."""
    field = instruction.row.fields.get("imm")
    return field is not None and min(piece.shift for piece in field.pieces) == 12


def upper(value: int, instruction: Instruction) -> int:
    """An upper immediate's value of its 20 bits, which may be written signed or unsigned."""
    if not -(1 << 19) <= value < 1 << 20:
        raise AssemblyError(f"{instruction.name}: {value} does not fit 20 bits")
    value &= 0xF_FFFF
    return (value - (1 << 20) if value >> 19 else value) << 12


def _prefetch(name: str, written: Sequence[str], symbols: Symbols) -> int:
    if len(written) != 1 or (given := _MEMORY.fullmatch(written[0])) is None:
        raise AssemblyError(f"{name} is written '{name} imm(rs1)'")
    offset = number(given[1] or "0", symbols)
    if offset & 31:
        raise AssemblyError(f"{name}: {offset} is not a multiple of 32")
    base = _named(X_NUMBERS, given[2], "an integer register")
    return encode(BY_NAME["ori"], rs1=base, imm=offset | PREFETCHES[name])
