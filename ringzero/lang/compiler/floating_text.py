"""The intrinsics of `floating` as LLVM text: one instruction or call each, between bit casts.

No fast-math flags: LLVM may then only do what IEEE 754 says, with the default environment.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ringzero.lang.compiler.terms import Item, Known, Value, llvm_type
from ringzero.lang.types import u32, u64

if TYPE_CHECKING:
    from ringzero.lang.compiler.expressions import Expressions

Emit = Callable[["Expressions", list[Item], ast.AST], Item]
_NUMBERS = {u32: "float", u64: "double"}


def _operand(e: Expressions, item: Item, node: ast.AST) -> tuple[Any, str]:
    """The kind of some bits, and the number that they are."""
    value = e.value(item, node)
    if value.kind not in _NUMBERS:
        e.fail(node, "a floating-point number is the bits in a u32 or a u64")
    word = f"bitcast {llvm_type(value.kind)} {value.text} to {_NUMBERS[value.kind]}"
    return value.kind, e.temporary(word)


def _operands(e: Expressions, items: list[Item], node: ast.AST) -> tuple[Any, list[str]]:
    made = [_operand(e, item, node) for item in items]
    kind = made[0][0]
    if any(other is not kind for other, _ in made):
        e.fail(node, "operands of different formats: convert one with float_convert()")
    return kind, [text for _, text in made]


def _result(e: Expressions, kind: Any, text: str) -> Item:
    return Value(kind, e.temporary(f"bitcast {_NUMBERS[kind]} {text} to {llvm_type(kind)}"))


def _instruction(word: str) -> Emit:
    def emit(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
        kind, (a, b) = _operands(e, arguments, node)
        return _result(e, kind, e.temporary(f"{word} {_NUMBERS[kind]} {a}, {b}"))

    return emit


def _function(word: str) -> Emit:
    def emit(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
        kind, texts = _operands(e, arguments, node)
        number = _NUMBERS[kind]
        name = f"llvm.{word}.f{kind.bits}"
        e.program.declare(name, f"declare {number} @{name}({', '.join([number] * len(texts))})")
        words = ", ".join(f"{number} {text}" for text in texts)
        return _result(e, kind, e.temporary(f"call {number} @{name}({words})"))

    return emit


def _comparison(word: str) -> Emit:
    def emit(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
        kind, (a, b) = _operands(e, arguments, node)
        return Value(bool, e.temporary(f"fcmp {word} {_NUMBERS[kind]} {a}, {b}"))

    return emit


def _kind(e: Expressions, item: Item, node: ast.AST) -> Any:
    if not isinstance(item, Known):
        e.fail(node, "this argument is compile-time")
    return item.value


def _convert(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _kind(e, arguments[0], node)
    source, text = _operand(e, arguments[1], node)
    word = "fpext" if kind.bits > source.bits else "fptrunc"
    return _result(e, kind, e.temporary(f"{word} {_NUMBERS[source]} {text} to {_NUMBERS[kind]}"))


def _of(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind, value = _kind(e, arguments[0], node), e.value(arguments[1], node)
    word = "sitofp" if value.kind.signed else "uitofp"
    text = f"{word} {llvm_type(value.kind)} {value.text} to {_NUMBERS[kind]}"
    return _result(e, kind, e.temporary(text))


def _truncated(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _kind(e, arguments[0], node)
    source, text = _operand(e, arguments[1], node)
    word = "fptosi" if kind.signed else "fptoui"
    value = e.temporary(f"{word} {_NUMBERS[source]} {text} to {llvm_type(kind)}")
    return Value(kind, e.temporary(f"freeze {llvm_type(kind)} {value}"))


FLOATING: dict[str, Emit] = {
    "float_add": _instruction("fadd"),
    "float_sub": _instruction("fsub"),
    "float_mul": _instruction("fmul"),
    "float_div": _instruction("fdiv"),
    "float_sqrt": _function("sqrt"),
    "float_fma": _function("fma"),
    "float_equal": _comparison("oeq"),
    "float_less": _comparison("olt"),
    "float_less_equal": _comparison("ole"),
    "float_unordered": _comparison("uno"),
    "float_convert": _convert,
    "float_of": _of,
    "float_truncated": _truncated,
}
