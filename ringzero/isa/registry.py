"""All instructions: every `instructions/rv_*.py`, imported in the order of their names.

An instruction's index in INSTRUCTIONS is what decoder and engines call it by; it is stable for
one version of the definitions. Two encodings that overlap are refused here.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from importlib import import_module

from ringzero.isa import instruction, instructions
from ringzero.isa.encoding import EncodingError
from ringzero.isa.instruction import Instruction


def _collect() -> tuple[Instruction, ...]:
    files = sorted(os.listdir(os.path.dirname(instructions.__file__)))
    names = [file[:-3] for file in files if file.startswith("rv_") and file.endswith(".py")]
    modules = [import_module(f"{instructions.__name__}.{name}") for name in names]
    order = {module.__name__: index for index, module in enumerate(modules)}
    ours = [one for one in instruction.defined if one.function.module in order]
    return tuple(sorted(ours, key=lambda one: order[one.function.module]))


def check(ones: Sequence[Instruction]) -> None:
    """Refuse two instructions of one name, or that one word could both mean."""
    groups: dict[int, list[Instruction]] = defaultdict(list)
    names: dict[str, Instruction] = {}
    for one in ones:
        if names.setdefault(one.name, one) is not one:
            raise EncodingError(f"{one.name} is defined twice")
        if one.mask & 0x7F != 0x7F:
            raise EncodingError(f"{one.name}: row {one.row.text!r} leaves its opcode open")
        for other in groups[one.match & 0x7F]:
            if one.row.overlaps(other.row):
                raise EncodingError(
                    f"{one.name} ({one.row.text}) overlaps {other.name} ({other.row.text})"
                )
        groups[one.match & 0x7F].append(one)


INSTRUCTIONS: tuple[Instruction, ...] = _collect()
check(INSTRUCTIONS)
BY_NAME: dict[str, Instruction] = {one.name: one for one in INSTRUCTIONS}
ILLEGAL = len(INSTRUCTIONS)  # what decode() says of a word that is no instruction
