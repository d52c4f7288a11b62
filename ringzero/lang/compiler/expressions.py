"""Expressions of typed Python as LLVM text.

An expression is a compile-time value (`Known`), a run-time value (`Value`) or several (`Tuple`).
Names resolve in the live module, so whatever Python knows while compiling is folded by Python.
"""

# ruff: noqa: RET503 — fail() never returns
from __future__ import annotations

import ast
import builtins
import operator
from typing import Any

from ringzero.lang.compiler.operands import Operands, kind_name
from ringzero.lang.compiler.terms import (
    Item,
    Known,
    Tuple,
    Value,
    is_scalar,
    llvm_type,
    passed_type,
)
from ringzero.lang.types import Array, Fixed, Pointer, Struct, u64

BINARY: dict[type[ast.operator], tuple[Any, str]] = {
    ast.Add: (operator.add, "add"),
    ast.Sub: (operator.sub, "sub"),
    ast.Mult: (operator.mul, "mul"),
    ast.BitAnd: (operator.and_, "and"),
    ast.BitOr: (operator.or_, "or"),
    ast.BitXor: (operator.xor, "xor"),
    ast.LShift: (operator.lshift, "shl"),
    ast.RShift: (operator.rshift, "shr"),
    ast.FloorDiv: (operator.floordiv, "udiv"),
    ast.Mod: (operator.mod, "urem"),
}
COMPARE: dict[type[ast.cmpop], tuple[Any, str]] = {
    ast.Eq: (operator.eq, "eq"),
    ast.NotEq: (operator.ne, "ne"),
    ast.Lt: (operator.lt, "lt"),
    ast.LtE: (operator.le, "le"),
    ast.Gt: (operator.gt, "gt"),
    ast.GtE: (operator.ge, "ge"),
}
KNOWN_ONLY: dict[type[ast.cmpop], Any] = {
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


class Expressions(Operands):
    """Names, fields, elements and operators."""

    # ---- names, fields, elements

    def expression_Constant(self, node: ast.Constant) -> Item:
        return Known(node.value)

    def expression_Name(self, node: ast.Name) -> Item:
        item = self.env.get(node.id)
        if isinstance(item, Value):
            return Value(
                item.kind, self.temporary(f"load {passed_type(item.kind)}, ptr {item.text}")
            )
        if item is not None:
            return Known(item.value)
        if node.id in self.names:
            return Known(self.names[node.id])
        if hasattr(builtins, node.id):
            return Known(getattr(builtins, node.id))
        self.fail(node, "unknown name (or one that only some branches set)")

    def place(self, node: ast.expr) -> tuple[Any, str]:
        """The type and address of a field or element."""
        if isinstance(node, ast.Attribute):
            base = self.value(self.expression(node.value), node)
            if not issubclass(base.kind, Struct) or node.attr not in base.kind.fields:
                self.fail(node, f"{kind_name(base.kind)} has no field {node.attr}")
            self.program.use_type(base.kind)
            number = list(base.kind.fields).index(node.attr)
            return base.kind.fields[node.attr], self.temporary(
                f"getelementptr inbounds {llvm_type(base.kind)}, ptr {base.text}, "
                f"i32 0, i32 {number}"
            )
        if isinstance(node, ast.Subscript):
            base = self.value(self.expression(node.value), node)
            if not issubclass(base.kind, (Array, Pointer)):
                self.fail(node, f"{kind_name(base.kind)} has no elements")
            self.program.use_type(base.kind)
            index = self._index(self.expression(node.slice), node)
            return base.kind.element, self.temporary(
                f"getelementptr {llvm_type(base.kind.element)}, ptr {base.text}, i64 {index}"
            )
        self.fail(node, "not a place to store to")

    def _index(self, item: Item, node: ast.AST) -> str:
        if isinstance(item, Known):
            return str(int(item.value))
        return self.cast(self.value(item, node), u64).text

    def _loaded(self, kind: Any, address: str) -> Value:
        if is_scalar(kind):
            return Value(kind, self.temporary(f"load {llvm_type(kind)}, ptr {address}"))
        return Value(kind, address)

    def expression_Attribute(self, node: ast.Attribute) -> Item:
        if self._is_known(node.value):
            base = self.expression(node.value)
            if isinstance(base, Known) and not isinstance(base.value, Struct):
                return Known(getattr(base.value, node.attr))
        return self._loaded(*self.place(node))

    def expression_Subscript(self, node: ast.Subscript) -> Item:
        if self._is_known(node.value):
            base = self.expression(node.value)
            if isinstance(base, Known) and not isinstance(base.value, (Struct, Array)):
                index = self.expression(node.slice)
                if not isinstance(index, Known):
                    self.fail(node, "a compile-time sequence needs a compile-time index")
                return Known(base.value[index.value])
        return self._loaded(*self.place(node))

    def _is_known(self, node: ast.expr) -> bool:
        """Whether evaluating `node` emits nothing: it stands on a compile-time name."""
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        if isinstance(node, ast.Name):
            return not isinstance(self.env.get(node.id), Value)
        if isinstance(node, (ast.Tuple, ast.List)):
            return all(self._is_known(element) for element in node.elts)
        return isinstance(node, (ast.Call, ast.Constant))

    def expression_Tuple(self, node: ast.Tuple) -> Item:
        items = [self.expression(e) for e in node.elts]
        if all(isinstance(i, Known) for i in items):
            return Known(tuple(i.value for i in items if isinstance(i, Known)))
        return Tuple(tuple(i for i in items if not isinstance(i, Tuple)))

    # ---- operators

    def binary(self, left: Item, op: ast.operator, right: Item, node: ast.AST) -> Item:
        if type(op) not in BINARY:
            self.fail(node, "this operator is not in the language")
        function, name = BINARY[type(op)]
        if isinstance(left, Known) and isinstance(right, Known):
            return Known(function(left.value, right.value))
        if name in ("shl", "shr"):
            return self._shift(name, left, right, node)
        kind, a, b = self._pair(left, right, node)
        if not issubclass(kind, Fixed):
            self.fail(node, f"{kind_name(kind)} has no arithmetic")
        if name in ("udiv", "urem") and kind.signed:
            self.fail(node, "// and % are unsigned only: use sdiv() and srem()")
        return Value(kind, self.temporary(f"{name} {llvm_type(kind)} {a}, {b}"))

    def _shift(self, name: str, left: Item, right: Item, node: ast.AST) -> Item:
        if isinstance(left, Known) and type(left.value) is int:
            left = Value(self.value(right, node).kind, str(left.value))
        a = self.value(left, node)
        if isinstance(right, Known):
            count = str(int(right.value) & (a.kind.bits - 1))
        else:
            wide = self.cast(self.value(right, node), a.kind).text
            count = self.temporary(f"and {llvm_type(a.kind)} {wide}, {a.kind.bits - 1}")
        word = name if name == "shl" else "ashr" if a.kind.signed else "lshr"
        return Value(a.kind, self.temporary(f"{word} {llvm_type(a.kind)} {a.text}, {count}"))

    def _pair(self, left: Item, right: Item, node: ast.AST) -> tuple[Any, str, str]:
        """The common type of two operands, and both as it."""
        plain = isinstance(left, Known) and not isinstance(left.value, (Fixed, bool))
        kind = self.value(right if plain else left, node).kind
        return kind, self.operand(left, kind, node), self.operand(right, kind, node)

    def expression_BinOp(self, node: ast.BinOp) -> Item:
        return self.binary(self.expression(node.left), node.op, self.expression(node.right), node)

    def expression_UnaryOp(self, node: ast.UnaryOp) -> Item:
        item = self.expression(node.operand)
        if isinstance(item, Known):
            word: Any = {ast.Not: operator.not_, ast.USub: operator.neg, ast.Invert: operator.inv,
                         ast.UAdd: operator.pos}[type(node.op)]  # fmt: skip
            return Known(word(item.value))
        if isinstance(node.op, ast.Not):
            return Value(bool, self.temporary(f"xor i1 {self.truth(item)}, true"))
        value = self.value(item, node)
        kind = llvm_type(value.kind)
        if isinstance(node.op, ast.USub):
            return Value(value.kind, self.temporary(f"sub {kind} 0, {value.text}"))
        if isinstance(node.op, ast.Invert):
            return Value(value.kind, self.temporary(f"xor {kind} {value.text}, -1"))
        self.fail(node, "this operator is not in the language")

    def expression_Compare(self, node: ast.Compare) -> Item:
        left, result = self.expression(node.left), None
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.expression(comparator)
            one = self._compare(left, op, right, node)
            if result is None:
                result = one
            elif isinstance(result, Known) and isinstance(one, Known):
                result = Known(result.value and one.value)
            else:
                both = self.temporary(f"and i1 {self.truth(result)}, {self.truth(one)}")
                result = Value(bool, both)
            left = right
        assert result is not None
        return result

    def _compare(self, left: Item, op: ast.cmpop, right: Item, node: ast.AST) -> Item:
        if isinstance(left, Known) and isinstance(right, Known):
            function = KNOWN_ONLY.get(type(op)) or COMPARE[type(op)][0]
            return Known(function(left.value, right.value))
        if type(op) not in COMPARE:
            self.fail(node, "this comparison is for compile-time values only")
        kind, a, b = self._pair(left, right, node)
        word = COMPARE[type(op)][1]
        if word not in ("eq", "ne"):
            word = ("s" if kind is not bool and kind.signed else "u") + word
        return Value(bool, self.temporary(f"icmp {word} {passed_type(kind)} {a}, {b}"))

    def expression_BoolOp(self, node: ast.BoolOp) -> Item:
        """`and`/`or` with short circuit; the result is a bool."""
        is_and = isinstance(node.op, ast.And)
        end, result = None, ""
        for position, part in enumerate(node.values):
            item = self.expression(part)
            last = position == len(node.values) - 1
            if isinstance(item, Known):
                if bool(item.value) is is_and:
                    if last and end is None:
                        return Known(item.value)
                    if not last:
                        continue
                elif end is None:
                    return item
            if end is None:
                if last:
                    return Value(bool, self.truth(item))
                end, result = self.new("both" if is_and else "either"), self.alloca("i1", "c")
            truth = self.truth(item)
            self.line(f"store i1 {truth}, ptr {result}")
            if last or isinstance(item, Known):
                self.go(end)
                break
            following = self.new("next")
            yes, no = (following, end) if is_and else (end, following)
            self.line(f"br i1 {truth}, label %{yes}, label %{no}")
            self.label(following)
        assert end is not None
        self.go(end)
        self.label(end)
        return Value(bool, self.temporary(f"load i1, ptr {result}"))

    def expression_IfExp(self, node: ast.IfExp) -> Item:
        condition = self.expression(node.test)
        if isinstance(condition, Known):
            return self.expression(node.body if condition.value else node.orelse)
        yes, no, end = self.new("yes"), self.new("no"), self.new("end")
        self.line(f"br i1 {self.truth(condition)}, label %{yes}, label %{no}")
        self.label(yes)
        first, mark = self.expression(node.body), len(self.body)
        self.label(no)
        second = self.expression(node.orelse)
        typed = second if isinstance(first, Known) and type(first.value) is int else first
        kind = self.value(typed, node).kind
        slot = self.alloca(passed_type(kind), "v")
        self.line(f"store {passed_type(kind)} {self.operand(second, kind, node)}, ptr {slot}")
        self.go(end)
        ending = [
            f"  store {passed_type(kind)} {self.operand(first, kind, node)}, ptr {slot}",
            f"  br label %{end}",
        ]
        self.body[mark:mark] = ending
        self.label(end)
        return Value(kind, self.temporary(f"load {passed_type(kind)}, ptr {slot}"))
