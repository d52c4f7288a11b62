"""Statements of typed Python as LLVM text.

Locals are allocas (LLVM's sroa makes them values). A name lives on after a branch only when every
way there has set it.
"""

from __future__ import annotations

import ast
import builtins
from typing import Any

from ringzero.lang.compiler.calls import Calls
from ringzero.lang.compiler.terms import (
    CompileError,
    Item,
    Known,
    Tuple,
    Value,
    llvm_type,
    passed_type,
    result_kinds,
)
from ringzero.lang.native import is_runtime
from ringzero.lang.types import Fixed, typed_range


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, Known) and isinstance(right, Known):
        kinds_agree = type(left.value) is type(right.value)
        return left.value is right.value or (kinds_agree and bool(left.value == right.value))
    return isinstance(left, Value) and left == right


class Statements(Calls):
    """Everything that is a line of its own."""

    loops: list[tuple[str, str, list[bool]]]
    known_since: dict[str, int]  # loop depth at which a name became compile-time

    def leave(self, values: list[str] | None) -> None:
        """Return values, or None for a raise that nobody here catches (`function.py`)."""
        raise NotImplementedError

    # ---- statements

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if self.dead:
                return
            name = f"statement_{type(statement).__name__}"
            handler = getattr(self, name, None)
            if handler is None:
                self.fail(statement, "this statement is not in the language")
            try:
                handler(statement)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                # what Python says of compile-time values belongs to the line that asked for it
                message = f"while compiling, {type(error).__name__}: {error}"
                try:
                    self.fail(statement, message)
                except CompileError as located:
                    raise located from error

    def statement_Pass(self, s: ast.Pass) -> None:
        pass

    def statement_Assert(self, s: ast.Assert) -> None:
        pass  # CPython checks it; compiled text trusts it

    def statement_Expr(self, s: ast.Expr) -> None:
        if not isinstance(s.value, ast.Constant):
            self.expression(s.value)

    def statement_Return(self, s: ast.Return) -> None:
        kinds = result_kinds(self.made.result)
        if s.value is None or not kinds:
            if kinds:
                self.fail(s, "return needs a value")
            if s.value is not None and not isinstance(s.value, ast.Constant):
                self.expression(s.value)
            self.leave([])
            return
        given = self.expression(s.value)
        items = list(given.items) if isinstance(given, Tuple) else [given]
        if isinstance(given, Known) and isinstance(given.value, tuple):
            items = [Known(v) for v in given.value]
        if len(items) != len(kinds):
            self.fail(s, f"returns {len(items)} values where {len(kinds)} are declared")
        values = [self.operand(i, k, s) for i, k in zip(items, kinds, strict=True)]
        if not self.dead:
            self.leave(values)

    def statement_Raise(self, s: ast.Raise) -> None:
        if s.exc is None:
            self.fail(s, "raise needs a native function that records what happened")
        self.expression(s.exc)
        self.line(f"br label %{self.raise_target()}")
        self.dead = True

    def statement_Try(self, s: ast.Try) -> None:
        if len(s.handlers) != 1 or s.finalbody or s.orelse or s.handlers[0].name:
            self.fail(s, "try has one except clause without a name, no else, no finally")
        before, outer = dict(self.env), self.handler
        handler, end = self.new("except"), self.new("tried")
        self.handler, used = handler, self.handlers_used
        self.handlers_used = set()
        ends = []
        self.block(s.body)
        if not self.dead:
            ends.append(self.env)
        self.go(end)
        self.handler, entered = outer, handler in self.handlers_used
        self.handlers_used = used
        if entered:
            self.env = dict(before)
            self.label(handler)
            self.block(s.handlers[0].body)
            if not self.dead:
                ends.append(self.env)
            self.go(end)
        self.join(before, ends, end)

    def statement_AnnAssign(self, s: ast.AnnAssign) -> None:
        if s.value is None:
            self.fail(s, "a declaration needs a value")
        kind = self.expression(s.annotation)
        value = self.expression(s.value)
        if isinstance(kind, Known) and is_runtime(kind.value):
            value = Value(kind.value, self.operand(value, kind.value, s))
        self.assign(s.target, value, s)

    def statement_Assign(self, s: ast.Assign) -> None:
        value = self.expression(s.value)
        for target in s.targets:
            self.assign(target, value, s)

    def statement_AugAssign(self, s: ast.AugAssign) -> None:
        if isinstance(s.target, ast.Name):
            current = self.expression(ast.copy_location(ast.Name(s.target.id, ast.Load()), s))
            self.assign(s.target, self.binary(current, s.op, self.expression(s.value), s), s)
            return
        kind, address = self.place(s.target)
        current = Value(kind, self.temporary(f"load {llvm_type(kind)}, ptr {address}"))
        result = self.binary(current, s.op, self.expression(s.value), s)
        self.line(f"store {llvm_type(kind)} {self.operand(result, kind, s)}, ptr {address}")

    def assign(self, target: ast.expr, value: Item, s: ast.stmt) -> None:
        if isinstance(target, ast.Tuple):
            self._unpack(target, value, s)
        elif isinstance(target, ast.Name):
            self._assign_name(target.id, value, s)
        else:
            kind, address = self.place(target)
            self.line(f"store {llvm_type(kind)} {self.operand(value, kind, s)}, ptr {address}")

    def _unpack(self, target: ast.Tuple, value: Item, s: ast.stmt) -> None:
        if isinstance(value, Known):
            value = Tuple(tuple(Known(v) for v in value.value))
        if not isinstance(value, Tuple) or len(value.items) != len(target.elts):
            self.fail(s, f"cannot unpack this into {len(target.elts)} names")
        for part, item in zip(target.elts, value.items, strict=True):
            self.assign(part, item, s)

    def _assign_name(self, name: str, value: Item, s: ast.stmt) -> None:
        if isinstance(value, Tuple):
            self.fail(s, "a tuple is unpacked at once: a, b = …")
        present = self.env.get(name)
        if isinstance(value, Known) and not isinstance(value.value, (Fixed, bool)):
            if isinstance(present, Value):
                self.line(
                    f"store {passed_type(present.kind)} "
                    f"{self.operand(value, present.kind, s)}, ptr {present.text}"
                )
                return
            if isinstance(present, Known) and self.known_since.get(name) != len(self.loops):
                self.fail(s, "a variable needs a width, write u64(…)")
            self.known_since[name] = len(self.loops)
            self.env[name] = value
            return
        kind = present.kind if isinstance(present, Value) else self.value(value, s).kind
        text = self.operand(value, kind, s)
        address = present.text if isinstance(present, Value) else self.variable(name, kind)
        self.line(f"store {passed_type(kind)} {text}, ptr {address}")

    def statement_If(self, s: ast.If) -> None:
        condition = self.expression(s.test)
        if isinstance(condition, Known):
            self.block(s.body if condition.value else s.orelse)
            return
        yes, no, end = self.new("then"), self.new("else"), self.new("fi")
        self.line(f"br i1 {self.truth(condition)}, label %{yes}, label %{no}")
        before, ends = dict(self.env), []
        for label, statements in ((yes, s.body), (no, s.orelse)):
            self.env = dict(before)
            self.label(label)
            self.block(statements)
            if not self.dead:
                ends.append(self.env)
            self.go(end)
        self.join(before, ends, end)

    def join(self, before: dict[str, Any], ends: list[dict[str, Any]], end: str) -> None:
        """Continue at `end` with the names that every way there has set."""
        if not ends:
            self.env, self.dead = before, True
            return
        self.label(end)
        first, *others = ends
        self.env = {
            name: item
            for name, item in first.items()
            if all(_same(other.get(name), item) for other in others)
        }

    def statement_While(self, s: ast.While) -> None:
        top, body, end = self.new("while"), self.new("do"), self.new("od")
        self.go(top)
        self.label(top)
        condition = self.expression(s.test)
        forever = isinstance(condition, Known) and bool(condition.value)
        if forever:
            self.go(body)
        else:
            self.line(f"br i1 {self.truth(condition)}, label %{body}, label %{end}")
        before = dict(self.env)
        self.label(body)
        left = [False]
        self.loops.append((top, end, left))
        self.block(s.body)
        self.loops.pop()
        self.go(top)
        self.env = before
        if left[0] or not forever:
            self.label(end)
        else:
            self.dead = True

    def statement_For(self, s: ast.For) -> None:
        if s.orelse:
            self.fail(s, "for has no else")
        if isinstance(s.iter, ast.Call):
            callee = self.expression(s.iter.func)
            if isinstance(callee, Known) and callee.value in (builtins.range, typed_range):
                bounds = [self.expression(a) for a in s.iter.args]
                if any(isinstance(b, Value) or isinstance(b.value, Fixed) for b in bounds):  # type: ignore[union-attr]
                    self._counted(s, bounds)
                    return
                self._unrolled(s, builtins.range(*(b.value for b in bounds)))  # type: ignore[union-attr]
                return
        items = self.expression(s.iter)
        if not isinstance(items, Known):
            self.fail(s, "for is over range(…) or a compile-time sequence")
        self._unrolled(s, items.value)

    def _unrolled(self, s: ast.For, items: Any) -> None:
        end, left, before = self.new("od"), [False], set(self.env)
        names = [n.id for n in ast.walk(s.target) if isinstance(n, ast.Name)]
        for item in items:
            if self.dead:
                break
            for name in names:
                self.env.pop(name, None)
            self._bind_known(s.target, item, s)
            following = self.new("next")
            self.loops.append((following, end, left))
            self.block(s.body)
            self.loops.pop()
            self.go(following)
            self.label(following)
        self.env = {k: v for k, v in self.env.items() if k in before and k not in names}
        self.go(end)
        self.label(end)

    def _bind_known(self, target: ast.expr, item: Any, s: ast.stmt) -> None:
        if isinstance(target, ast.Name):
            self.env[target.id] = Known(item)
        elif isinstance(target, ast.Tuple):
            for part, value in zip(target.elts, item, strict=True):
                self._bind_known(part, value, s)
        else:
            self.fail(s, "a loop variable is a name")

    def _counted(self, s: ast.For, bounds: list[Item]) -> None:
        low, high = ([Known(0), *bounds])[-2:]
        typed = [b for b in (high, low) if isinstance(b, Value) or isinstance(b.value, Fixed)]  # type: ignore[union-attr]
        kind = self.value(typed[0], s).kind
        first, last = self.operand(low, kind, s), self.operand(high, kind, s)
        counter = self.alloca(llvm_type(kind), "it")
        self.line(f"store {llvm_type(kind)} {first}, ptr {counter}")
        top, body, following, end = (self.new(n) for n in ("for", "do", "next", "od"))
        self.go(top)
        self.label(top)
        now = self.temporary(f"load {llvm_type(kind)}, ptr {counter}")
        less = "slt" if kind.signed else "ult"
        test = self.temporary(f"icmp {less} {llvm_type(kind)} {now}, {last}")
        self.line(f"br i1 {test}, label %{body}, label %{end}")
        before = dict(self.env)
        self.label(body)
        self.assign(s.target, Value(kind, now), s)
        self.loops.append((following, end, [True]))
        self.block(s.body)
        self.loops.pop()
        self.go(following)
        self.label(following)
        step = self.temporary(f"add {llvm_type(kind)} {now}, 1")
        self.line(f"store {llvm_type(kind)} {step}, ptr {counter}")
        self.go(top)
        self.label(end)
        self.env = before

    def statement_Break(self, s: ast.Break) -> None:
        if not self.loops:
            self.fail(s, "break outside a loop")
        self.loops[-1][2][0] = True
        self.go(self.loops[-1][1])

    def statement_Continue(self, s: ast.Continue) -> None:
        if not self.loops:
            self.fail(s, "continue outside a loop")
        self.go(self.loops[-1][0])
