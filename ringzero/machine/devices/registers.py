"""Devices whose registers are typed Python, run in CPython on its own numbers.

Text in which no operation wraps means the same on Python's numbers as on fixed-width ones, and is
ten times faster on them. `tests/board` holds both, and the compiled text, against each other.
"""

from __future__ import annotations

from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from ringzero.lang import Native, Struct
from ringzero.lang.types import Array


def plain_text(module: ModuleType) -> Any:
    """The native functions of a module as ordinary ones, whose numbers are Python's."""
    names = dict(vars(module))
    for name, value in vars(module).items():
        if isinstance(value, Native):
            names[name] = FunctionType(value.function.__code__, names, name)
    names["u64"], names["ctz"] = int, _count_trailing_zeros
    return SimpleNamespace(**names)


def _count_trailing_zeros(value: int) -> int:
    return (value & -value).bit_length() - 1


def plain_state(kind: type[Struct]) -> Any:
    """A state of `kind` whose fields are Python's numbers, and lists of them."""
    lengths = {name: getattr(part, "length", 0) for name, part in kind.fields.items()}
    return SimpleNamespace(**{n: [0] * length if length else 0 for n, length in lengths.items()})


def saved(kind: type[Struct], state: Any) -> dict[str, Any]:
    """A copy of the fields."""
    values = {name: getattr(state, name) for name in kind.fields}
    return {
        name: [int(item) for item in value] if isinstance(value, list | Array) else int(value)
        for name, value in values.items()
    }


def restore(state: Any, values: dict[str, Any]) -> None:
    """Take over what `saved` returned."""
    for name, value in values.items():
        setattr(state, name, list(value) if isinstance(value, list) else value)
