"""Instruction words to assembly text as the GNU tools print it, derived from templates and rows.

`disassemble(0x00150513)` is "addi a0,a0,1". A compressed parcel shows the instruction that it
expands to. Targets of branches and jumps are addresses, given the pc.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringzero.isa.compressed import expand
from ringzero.isa.decode import lookup
from ringzero.isa.instruction import Instruction
from ringzero.isa.tools.assembler import PREFETCHES, SPECIAL_WORDS, is_target, is_upper
from ringzero.isa.tools.names import (
    DYNAMIC,
    EXACT,
    F_NAMES,
    ROUNDING_MODES,
    ROUNDING_NAMES,
    X_NAMES,
    csr_names,
    fence_set,
)
from ringzero.lang import u32

_OPERAND = re.compile(r"[a-z][a-z0-9]*")
_SPECIAL = {word: name for name, word in SPECIAL_WORDS.items()}
_PREFETCH = {number: name for name, number in PREFETCHES.items()}
_ADDRESS = (1 << 64) - 1


def disassemble(word: int, pc: int = 0) -> str:
    """The text of a 32-bit word, or of a compressed parcel in the low half."""
    one = lookup(word)
    if one is None:
        return f".word 0x{word:08x}" if word & 3 == 3 else f".half 0x{word & 0xFFFF:04x}"
    if word & 3 != 3:
        word = int(expand(u32(word & 0xFFFF)))
    if word in _SPECIAL:
        return _SPECIAL[word]
    if one.name == "ori" and word >> 7 & 31 == 0 and word >> 20 & 31 in _PREFETCH:
        offset = one.row.fields["imm"].extract(word) & ~31
        return f"{_PREFETCH[word >> 20 & 31]} {offset}({X_NAMES[word >> 15 & 31]})"
    return _written(one, word, pc)


def _written(one: Instruction, word: int, pc: int) -> str:
    name, _, form = one.template.partition(" ")
    fields = one.row.fields
    if "aq" in fields:
        ordering = "aq" * fields["aq"].extract(word) + "rl" * fields["rl"].extract(word)
        name += f".{ordering}" if ordering else ""
    if "rm" in one.operands:
        usual = ROUNDING_MODES["rne"] if one.name in EXACT else DYNAMIC
        if fields["rm"].extract(word) == usual:
            form = form.removesuffix(", rm")
    text = _OPERAND.sub(lambda operand: _operand(one, operand[0], word, pc), form)
    return f"{name} {text.replace(', ', ',')}".strip()


def _operand(one: Instruction, operand: str, word: int, pc: int) -> str:
    value = one.row.fields[operand].extract(word)
    if operand in ("rd", "rs1", "rs2", "rs3"):
        return X_NAMES[value]
    if operand in ("frd", "frs1", "frs2", "frs3"):
        return F_NAMES[value]
    if operand == "rm":
        return ROUNDING_NAMES.get(value, f"unknown{value}")
    if operand in ("pred", "succ"):
        return fence_set(value)
    if operand == "csr":
        return csr_names().get(value, f"0x{value:x}")
    if operand == "imm" and is_target(one):
        return f"0x{pc + value & _ADDRESS:x}"
    if operand == "imm" and is_upper(one):
        return f"0x{value >> 12 & 0xF_FFFF:x}"
    return f"0x{value:x}" if operand == "shamt" else str(value)


def listing(code: bytes, pc: int = 0) -> Iterator[tuple[int, int, str]]:
    """(address, word, text) of each instruction in `code`, which begins at `pc`."""
    position = 0
    while position + 2 <= len(code):
        size = 4 if code[position] & 3 == 3 and position + 4 <= len(code) else 2
        word = int.from_bytes(code[position : position + size], "little")
        yield pc + position, word, disassemble(word, pc + position)
        position += size
