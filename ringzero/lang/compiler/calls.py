"""Calls in typed Python: native functions, stubs, intrinsics, conversions, local aggregates.

What Python itself can call while compiling, with compile-time arguments, it calls.
"""

from __future__ import annotations

import ast
from typing import Any

from ringzero.lang.compiler.expressions import Expressions
from ringzero.lang.compiler.intrinsics import INTRINSICS
from ringzero.lang.compiler.terms import (
    CompileError,
    Item,
    Known,
    Tuple,
    Value,
    extension,
    llvm_type,
    passed_type,
    result_kinds,
    result_type,
    split_arguments,
)
from ringzero.lang.native import Intrinsic, Native, Stub
from ringzero.lang.types import Array, Fixed, Struct


class Calls(Expressions):
    """Everything with parentheses."""

    made: Any

    def inlined(self, function: Native, known: list[Any], values: list[Value]) -> Item:
        """The body of an inline function, emitted here (`function.FunctionEmitter`)."""
        raise NotImplementedError

    def expression_Call(self, node: ast.Call) -> Item:
        callee = self.expression(node.func)
        if not isinstance(callee, Known):
            self.fail(node, "only compile-time functions are called")
        function = callee.value
        if isinstance(function, Intrinsic):
            arguments = [self.expression(a) for a in node.args]
            return INTRINSICS[function.name](self, arguments, node)
        if isinstance(function, Native):
            return self.call(function, [self.expression(a) for a in node.args], node)
        if isinstance(function, Stub):
            return self._call_stub(function, [self.expression(a) for a in node.args], node)
        if isinstance(function, type) and issubclass(function, (Struct, Array)):
            return self._local_aggregate(function, node)
        if isinstance(function, type) and (issubclass(function, Fixed) or function is bool):
            return self._convert(function, node)
        return self._evaluated_call(function, node)

    def _evaluated_call(self, function: Any, node: ast.Call) -> Item:
        arguments = [self.expression(a) for a in node.args]
        keywords = {k.arg: self.expression(k.value) for k in node.keywords if k.arg}
        given = [*arguments, *keywords.values()]
        if not all(isinstance(a, Known) for a in given):
            self.fail(node, f"{getattr(function, '__name__', function)} is not native")
        named = {k: v.value for k, v in keywords.items() if isinstance(v, Known)}
        return Known(function(*(a.value for a in arguments if isinstance(a, Known)), **named))

    def _convert(self, kind: Any, node: ast.Call) -> Item:
        item = self.expression(node.args[0]) if node.args else Known(0)
        if isinstance(item, Known):
            return Known(kind(item.value))
        value = self.value(item, node)
        return Value(bool, self.truth(value)) if kind is bool else self.cast(value, kind)

    def _local_aggregate(self, kind: Any, node: ast.Call) -> Item:
        self.program.use_type(kind)
        address = self.alloca(llvm_type(kind), "local")
        self.line(f"store {llvm_type(kind)} zeroinitializer, ptr {address}")
        if node.args:
            values = self.expression(node.args[0])
            if not isinstance(values, Known):
                self.fail(node, "an array is made from compile-time values")
            for index, item in enumerate(values.value):
                text = self.operand(Known(item), kind.element, node)
                element = llvm_type(kind.element)
                where = self.temporary(f"getelementptr {element}, ptr {address}, i64 {index}")
                self.line(f"store {element} {text}, ptr {where}")
        return Value(kind, address)

    def _call_stub(self, stub: Stub, arguments: list[Item], node: ast.Call) -> Item:
        self.program.stub(stub)
        if len(arguments) != len(stub.parameters):
            self.fail(node, f"{stub.name} takes {len(stub.parameters)} arguments")
        words = [
            f"{passed_type(k)}{extension(self.program.target, k)} {self.operand(a, k, node)}"
            for (_, k), a in zip(stub.parameters, arguments, strict=True)
        ]
        kind = result_type(stub.result, False)
        text = f'call {kind} @"{stub.name}"({", ".join(words)})'
        if kind == "void":
            self.line(text)
            return Known(None)
        result, kinds = self.temporary(text), result_kinds(stub.result)
        if len(kinds) == 1:
            return Value(kinds[0], result)
        return Tuple(
            tuple(
                Value(k, self.temporary(f"extractvalue {kind} {result}, {i}"))
                for i, k in enumerate(kinds)
            )
        )

    def call(self, function: Native, arguments: list[Item], node: ast.AST) -> Item:
        """Call a native function; where it raises, control goes to the raise target."""
        try:
            function = self.program.resolve(function, self.native)
        except CompileError as error:
            self.fail(node, str(error))
        parameters = function.signature[0]
        if len(arguments) != len(parameters):
            self.fail(node, f"{function.name} takes {len(parameters)} arguments")
        try:
            known, runtime = split_arguments(function, arguments)
        except CompileError as error:
            self.fail(node, str(error))
        if function.inline:
            values = [Value(kind, self.operand(item, kind, node)) for kind, item in runtime]
            return self.inlined(function, known, values)
        made = self.program.function(function, known)
        words = [
            f"{passed_type(kind)}{extension(self.program.target, kind)} "
            f"{self.operand(argument, kind, node)}"
            for kind, argument in runtime
        ]
        kind = result_type(made.result, made.raises)
        text = f'call {made.convention} {kind} @"{made.symbol}"({", ".join(words)})'
        return self._results(made, kind, text)

    def _results(self, made: Any, kind: str, text: str) -> Item:
        kinds = result_kinds(made.result)
        if kind == "void":
            self.line(text)
            return Known(None)
        result = self.temporary(text)
        if made.raises:
            raised = (
                result
                if not kinds
                else self.temporary(f"extractvalue {kind} {result}, {len(kinds)}")
            )
            going = self.new("ok")
            self.line(f"br i1 {raised}, label %{self.raise_target()}, label %{going}, !prof !0")
            self.label(going)
        elif len(kinds) == 1:
            return Value(kinds[0], result)
        if not kinds:
            return Known(None)
        parts = [
            Value(k, self.temporary(f"extractvalue {kind} {result}, {i}"))
            for i, k in enumerate(kinds)
        ]
        return parts[0] if len(parts) == 1 else Tuple(tuple(parts))
