"""The compiler's terms: values known and run-time, targets, and how LLVM text passes types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ringzero.lang.native import Native, is_runtime
from ringzero.lang.types import Array, Fixed, Pointer, Raised


class CompileError(Exception):
    """Typed text that does not compile; the message names file, line, function and the text."""


@dataclass(frozen=True)
class Known:
    """A compile-time value."""

    value: Any


@dataclass(frozen=True)
class Value:
    """A run-time value: its type, and the LLVM operand (an aggregate's is its address)."""

    kind: Any
    text: str


@dataclass(frozen=True)
class Tuple:
    """Several values, returned together."""

    items: tuple[Known | Value, ...]


Item = Known | Value | Tuple


@dataclass(frozen=True)
class Target:
    """What differs between carriers in LLVM text."""

    triple: str
    layout: str
    cold_convention: str = ""  # of functions off the hot path, where LLVM supports one
    word_extension: str = "zeroext"  # how the C ABI extends a u32: RISC-V sign-extends it


@dataclass
class Compiled:
    """A function of the program: its symbol, its text, and whether it may raise."""

    symbol: str
    result: Any
    raises: bool = False
    text: str = ""
    done: bool = False
    convention: str = ""
    flagged: bool = False  # reports a raise through a pointer, its last parameter


def is_scalar(kind: Any) -> bool:
    return kind is bool or issubclass(kind, (Fixed, Pointer))


def llvm_type(kind: Any) -> str:
    """The type of a `kind` as it lies in memory."""
    if kind is bool:
        return "i1"
    if issubclass(kind, Fixed):
        return f"i{kind.bits}"
    if issubclass(kind, Pointer):
        return "ptr"
    if issubclass(kind, Array):
        return f"[{kind.length} x {llvm_type(kind.element)}]"
    return f'%"{kind.__module__}.{kind.__qualname__}"'


def passed_type(kind: Any) -> str:
    """The type of a `kind` as it is passed: aggregates go by reference."""
    if kind is None:
        return "void"
    return llvm_type(kind) if is_scalar(kind) else "ptr"


def result_kinds(result: Any) -> list[Any]:
    """The run-time types in a result annotation."""
    if result is None or (isinstance(result, type) and issubclass(result, Raised)):
        return []
    if getattr(result, "__origin__", None) is tuple:
        return list(result.__args__)
    return [result]


def result_type(result: Any, raises: bool) -> str:
    """The LLVM type that a function returns: its values, then whether it raised."""
    parts = [passed_type(kind) for kind in result_kinds(result)] + (["i1"] if raises else [])
    if not parts:
        return "void"
    return parts[0] if len(parts) == 1 else f"{{ {', '.join(parts)} }}"


def extension(target: Target, kind: Any) -> str:
    """The C ABI's attribute for a narrow number."""
    if kind is bool:
        return " zeroext"
    if not issubclass(kind, Fixed) or kind.bits >= 64:
        return ""
    if kind.signed:
        return " signext"
    return f" {target.word_extension}" if kind.bits == 32 else " zeroext"


def split_arguments(
    function: Native, arguments: Sequence[Item]
) -> tuple[list[Any], list[tuple[Any, Item]]]:
    """A call's compile-time values, and its (type, argument) run-time pairs."""
    known: list[Any] = []
    runtime: list[tuple[Any, Item]] = []
    for (name, kind), argument in zip(function.signature[0], arguments, strict=True):
        if is_runtime(kind):
            runtime.append((kind, argument))
        elif isinstance(argument, Known):
            known.append(argument.value)
        else:
            raise CompileError(f"parameter {name} of {function.name} needs a compile-time value")
    return known, runtime
