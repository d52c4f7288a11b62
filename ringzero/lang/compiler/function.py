"""One compiled function: parameters, body, the ways out; and bodies of inline functions.

A function that may raise returns one more bit, tested after each call. An inline function's body is
emitted where it is called, so that a raise in it goes straight to the caller's target.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from typing import Any

from ringzero.lang.compiler.module import Module
from ringzero.lang.compiler.statements import Statements
from ringzero.lang.compiler.terms import (
    Compiled,
    CompileError,
    Item,
    Known,
    Tuple,
    Value,
    extension,
    passed_type,
    result_kinds,
    result_type,
)
from ringzero.lang.native import Native, _closure, is_runtime

_trees: dict[Any, ast.FunctionDef] = {}


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


class FunctionEmitter(Statements):
    """Emits one function for one choice of compile-time arguments."""

    def __init__(self, program: Module, native: Native, known: list[Any], made: Compiled) -> None:
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
            self.leave([])
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
            self.leave([])
        self._finish(parameters)

    def _finish(self, parameters: list[str]) -> None:
        if self.raise_used:
            self.made.raises = True
            self.label(self.raise_label)
            self.leave(None)
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

    def leave(self, values: list[str] | None) -> None:
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
