"""Statements of typed Python as LLVM text: one `FunctionEmitter` per compiled function.

Locals are allocas (LLVM's sroa makes them values). A name lives on after a branch only when every
way there has set it. A function that may raise returns one more bit, tested after each call.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from typing import Any

from ringzero.lang.compiler import (
    Compiled,
    CompileError,
    Item,
    Known,
    Program,
    Tuple,
    Value,
    extension,
    llvm_type,
    passed_type,
    result_kinds,
    result_type,
)
from ringzero.lang.expressions import Expressions
from ringzero.lang.native import Native, _closure, is_runtime
from ringzero.lang.types import Fixed, typed_range

_trees: dict[Any, ast.FunctionDef] = {}


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, Known) and isinstance(right, Known):
        kinds_agree = type(left.value) is type(right.value)
        return left.value is right.value or (kinds_agree and bool(left.value == right.value))
    return isinstance(left, Value) and left == right


NO_BUILTINS = ("memset", "memcpy", "memmove", "strlen")  # or LLVM would make them call themselves


def _tree(function: Native) -> ast.FunctionDef:
    if function not in _trees:
        source = textwrap.dedent(inspect.getsource(function.function))
        tree = ast.parse(source).body[0]
        if not isinstance(tree, ast.FunctionDef):
            raise CompileError(f"{function.name} is not a def")
        ast.increment_lineno(tree, function.function.__code__.co_firstlineno - 1)
        _trees[function] = tree
    return _trees[function]


class FunctionEmitter(Expressions):
    """Emits one function for one choice of compile-time arguments."""

    def __init__(self, program: Program, native: Native, known: list[Any], made: Compiled) -> None:
        super().__init__(program, native)
        self.made, self.known = made, known
        self.loops: list[tuple[str, str, list[bool]]] = []
        self.returns: list[tuple[int, list[str]]] = []
        self.inline_end: tuple[str, list[str]] | None = None  # where an inlined body returns to
        self.inlining: list[Native] = []
        self.known_since: dict[str, int] = {}  # loop depth at which a name became compile-time

    def inlined(self, function: Native, known: list[Any], values: list[Value]) -> Item:
        """The body of an `inline=True` function here: raises go straight to our raise target.

        Returning through an aggregate would hide from LLVM which way a call came back.
        """
        if self.inlining.count(function) > 2:
            raise CompileError(f"{function.name} is inline and calls itself without end")
        made = Compiled("", function.signature[1])
        outer = (self.native, self.names, self.env, self.slots, self.loops, self.made,
                 self.known_since, self.inline_end)  # fmt: skip
        self.inlining.append(function)
        self._enter(function, made, known, values)
        results = [self.alloca(passed_type(kind), "result") for kind in result_kinds(made.result)]
        self.inline_end = (self.new("inlined"), results)
        end, _ = self.inline_end
        self.block(_tree(function).body)
        if not self.dead:
            self._return([])
        (self.native, self.names, self.env, self.slots, self.loops, self.made,
         self.known_since, self.inline_end) = outer  # fmt: skip
        self.inlining.pop()
        self.label(end)
        kinds = result_kinds(made.result)
        loaded = [
            Value(kind, self.temporary(f"load {passed_type(kind)}, ptr {slot}"))
            for kind, slot in zip(kinds, results, strict=True)
        ]
        if not loaded:
            return Known(None)
        return loaded[0] if len(loaded) == 1 else Tuple(tuple(loaded))

    def _enter(
        self, function: Native, made: Compiled, known: list[Any], values: list[Value]
    ) -> None:
        self.native, self.made = function, made
        self.names = {**vars(sys.modules[function.module]), **_closure(function.function)}
        self.env, self.slots, self.loops, self.known_since = {}, {}, [], {}
        given, runtime = iter(known), iter(values)
        for name, kind in function.signature[0]:
            if is_runtime(kind):
                text = next(runtime).text
                self.program.use_type(kind)
                address = self.variable(name, kind)
                self.line(f"store {passed_type(kind)} {text}, ptr {address}")
            else:
                self.env[name] = Known(next(given))

    def emit(self) -> None:
        tree = _tree(self.native)
        parameters, given = [], iter(self.known)
        for name, kind in self.native.signature[0]:
            if not is_runtime(kind):
                self.env[name] = Known(next(given))
                continue
            self.program.use_type(kind)
            parameters.append(f"{passed_type(kind)}{extension(self.program.target, kind)} %{name}")
            self.line(f"store {passed_type(kind)} %{name}, ptr {self.variable(name, kind)}")
        self.block(tree.body)
        if not self.dead:
            if result_kinds(self.made.result):
                self.fail(tree, "may end without a return")
            self._return([])
        self._finish(parameters)

    def _finish(self, parameters: list[str]) -> None:
        if self.raise_used:
            self.made.raises = True
            self.label(self.raise_label)
            self._return(None)
        if self.made.flagged and self.made.raises:
            parameters = [*parameters, "ptr %raise_flag"]
        kind = result_type(self.made.result, self.made.raises and not self.made.flagged)
        for position, values in reversed(self.returns):
            self.body[position : position + 1] = self._return_lines(kind, values)
        linkage = "" if self.made.symbol in self.program.roots else "internal "
        self.made.text = "\n".join(
            [
                f"define {linkage}{self.made.convention} {kind} "
                f'@"{self.made.symbol}"({", ".join(parameters)}) {self._attributes()} {{',
                *self.allocas,
                *self.body,
                "}",
            ]
        )

    def _attributes(self) -> str:
        words = ["nounwind"]
        if self.native.inline is not None:
            words.append("alwaysinline" if self.native.inline else "noinline")
        if self.native.cold:
            words.append("cold")
        if self.native.name in NO_BUILTINS:
            words.append('"no-builtins"')
        return " ".join(words)

    def _return(self, values: list[str] | None) -> None:
        if self.inline_end is not None:
            end, slots = self.inline_end
            kinds = result_kinds(self.made.result)
            for kind, text, slot in zip(kinds, values or [], slots, strict=True):
                self.line(f"store {passed_type(kind)} {text}, ptr {slot}")
            self.go(end)
            return
        self.returns.append((len(self.body), ["!"] if values is None else values))
        self.body.append("")
        self.dead = True

    def _return_lines(self, kind: str, values: list[str]) -> list[str]:
        raised = values == ["!"]
        if self.made.flagged and raised:
            nothing = "" if kind == "void" else " zeroinitializer"
            return ["  store i1 true, ptr %raise_flag", f"  ret {kind}{nothing}"]
        kinds = [passed_type(k) for k in result_kinds(self.made.result)]
        parts = list(zip(kinds, values, strict=False)) if not raised else []
        if self.made.raises and not self.made.flagged:
            if kind == "i1":
                return [f"  ret i1 {'true' if raised else 'false'}"]
            lines, current = [], "zeroinitializer" if not raised else "undef"
            if raised:
                return [f"  ret {kind} {self._raised_constant(kinds)}"]
            for index, (part, text) in enumerate([*parts, ("i1", "false")]):
                self.count += 1
                lines.append(
                    f"  %r{self.count} = insertvalue {kind} {current}, {part} {text}, {index}"
                )
                current = f"%r{self.count}"
            return [*lines, f"  ret {kind} {current}"]
        if not parts:
            return ["  ret void"]
        if len(parts) == 1:
            return [f"  ret {kind} {parts[0][1]}"]
        lines, current = [], "undef"
        for index, (part, text) in enumerate(parts):
            self.count += 1
            lines.append(f"  %r{self.count} = insertvalue {kind} {current}, {part} {text}, {index}")
            current = f"%r{self.count}"
        return [*lines, f"  ret {kind} {current}"]

    @staticmethod
    def _raised_constant(kinds: list[str]) -> str:
        zeros = [f"{k} {'null' if k == 'ptr' else 'false' if k == 'i1' else '0'}" for k in kinds]
        return "{ " + ", ".join([*zeros, "i1 true"]) + " }"

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
            self._return([])
            return
        given = self.expression(s.value)
        items = list(given.items) if isinstance(given, Tuple) else [given]
        if isinstance(given, Known) and isinstance(given.value, tuple):
            items = [Known(v) for v in given.value]
        if len(items) != len(kinds):
            self.fail(s, f"returns {len(items)} values where {len(kinds)} are declared")
        values = [self.operand(i, k, s) for i, k in zip(items, kinds, strict=True)]
        if not self.dead:
            self._return(values)

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
