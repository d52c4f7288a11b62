"""Expressions of typed Python as LLVM text.

An expression is a compile-time value (`Known`), a run-time value (`Value`) or several (`Tuple`).
Names resolve in the live module, so whatever Python knows while compiling is folded by Python.
"""

# ruff: noqa: RET503 — fail() never returns
from __future__ import annotations

import ast
import builtins
import operator
import sys
from typing import Any, NoReturn

from ringzero.lang.compiler import (
    CompileError,
    Item,
    Known,
    Program,
    Tuple,
    Value,
    extension,
    is_scalar,
    llvm_type,
    passed_type,
    result_kinds,
    result_type,
    split_arguments,
)
from ringzero.lang.intrinsics import INTRINSICS
from ringzero.lang.native import Intrinsic, Native, Stub, _closure
from ringzero.lang.types import Array, Fixed, Pointer, Struct, u8, u64

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


class Expressions:
    """The state of one function's emission, and its expressions."""

    made: Any

    def inlined(self, function: Native, known: list[Any], values: list[Value]) -> Item:
        """The body of an inline function, emitted here (`statements.FunctionEmitter`)."""
        raise NotImplementedError

    def __init__(self, program: Program, native: Native) -> None:
        self.program, self.native = program, native
        self.names = {**vars(sys.modules[native.module]), **_closure(native.function)}
        self.env: dict[str, Any] = {}
        self.slots: dict[tuple[str, Any], str] = {}
        self.body: list[str] = []
        self.allocas: list[str] = []
        self.count, self.dead = 0, False
        self.handler: str | None = None
        self.handlers_used: set[str] = set()
        self.raise_label, self.raise_used = "raised", False

    # ---- text

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        code = self.native.function.__code__
        line = getattr(node, "lineno", code.co_firstlineno)
        text = ast.unparse(node).splitlines()[0][:80]
        where = f"{code.co_filename}:{line}: in {self.native.name}"
        raise CompileError(f"{where}: {message}: {text}")

    def line(self, text: str) -> None:
        self.body.append("  " + text)

    def temporary(self, text: str) -> str:
        self.count += 1
        self.line(f"%t{self.count} = {text}")
        return f"%t{self.count}"

    def new(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def label(self, name: str) -> None:
        self.body.append(f"{name}:")
        self.dead = False

    def go(self, label: str) -> None:
        if not self.dead:
            self.line(f"br label %{label}")
        self.dead = True

    def alloca(self, kind: str, stem: str) -> str:
        self.count += 1
        name = f"%{stem}.{self.count}"
        self.allocas.append(f"  {name} = alloca {kind}")
        return name

    def variable(self, name: str, kind: Any) -> str:
        """The stack slot of a local; one per name and type, whichever branch sets it."""
        if (name, kind) not in self.slots:
            self.slots[name, kind] = self.alloca(passed_type(kind), name)
        self.env[name] = Value(kind, self.slots[name, kind])
        return self.slots[name, kind]

    def raise_target(self) -> str:
        """Where a raised exception goes: the enclosing handler, or out of the function."""
        if self.handler is not None:
            self.handlers_used.add(self.handler)
            return self.handler
        self.raise_used = True
        return self.raise_label

    # ---- operands

    def expression(self, node: ast.expr) -> Item:
        handler = getattr(self, f"expression_{type(node).__name__}", None)
        if handler is None:
            return self._evaluated(node)
        result: Item = handler(node)
        return result

    def _evaluated(self, node: ast.expr) -> Item:
        """Anything else Python can evaluate from compile-time names alone."""
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        if any(isinstance(self.env.get(name), Value) for name in names):
            self.fail(node, "this expression is not in the language for run-time values")
        known = {n: self.env[n].value for n in names if n in self.env}
        code = compile(ast.Expression(node), self.native.function.__code__.co_filename, "eval")
        return Known(eval(code, {**vars(builtins), **self.names, **known}))

    def operand(self, item: Item, kind: Any, node: ast.AST) -> str:
        """The LLVM operand of `item` as a `kind`; the language converts nothing silently."""
        if isinstance(item, Tuple):
            self.fail(node, "a tuple stands only where it is unpacked or returned")
        if isinstance(item, Known):
            return self._known_operand(item.value, kind, node)
        if item.kind is kind:
            return item.text
        if (
            isinstance(kind, type)
            and issubclass(kind, Pointer)
            and issubclass(item.kind, Array)
            and item.kind.element is kind.element
        ):
            return item.text
        self.fail(node, f"needs {_name(kind)}, has {_name(item.kind)}")

    def _known_operand(self, value: Any, kind: Any, node: ast.AST) -> str:
        if value is None and isinstance(kind, type) and issubclass(kind, Pointer):
            return "null"
        if type(value) is int and isinstance(kind, type) and issubclass(kind, Fixed):
            if not kind.fits(value):
                self.fail(node, f"{value:#x} does not fit {_name(kind)}")
            return str(int(kind(value)))
        if isinstance(value, str) and isinstance(kind, type) and issubclass(kind, Pointer):
            return self.program.string(value)
        if isinstance(value, int) and not isinstance(value, (bool, Fixed)):
            return self._known_operand(int(value), kind, node)  # an IntEnum member
        return self.operand(self.value(Known(value), node), kind, node)

    def value(self, item: Item, node: ast.AST) -> Value:
        """`item` as a run-time value of its own type."""
        if isinstance(item, Value):
            return item
        if isinstance(item, Tuple):
            self.fail(node, "a tuple stands only where it is unpacked or returned")
        known = item.value
        if isinstance(known, bool):
            return Value(bool, str(known).lower())
        if isinstance(known, Fixed):
            return Value(type(known), str(int(known)))
        if isinstance(known, (Struct, Array)):
            return Value(type(known), self.program.global_symbol(known, self._global_name(known)))
        if isinstance(known, int):
            self.fail(node, "a plain number has no width here, write u64(…)")
        self.fail(node, f"{known!r} is not a run-time value")

    def _global_name(self, thing: Any) -> str:
        for name, value in self.names.items():
            if value is thing:
                return f"{self.native.module}.{name}"
        return f"{self.native.module}.{type(thing).__name__}"

    def truth(self, item: Item) -> str:
        if isinstance(item, Known):
            return "true" if item.value else "false"
        assert isinstance(item, Value)
        if item.kind is bool:
            return item.text
        return self.temporary(f"icmp ne {passed_type(item.kind)} {item.text}, "
                              f"{'null' if issubclass(item.kind, Pointer) else '0'}")  # fmt: skip

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
                self.fail(node, f"{_name(base.kind)} has no field {node.attr}")
            self.program.use_type(base.kind)
            number = list(base.kind.fields).index(node.attr)
            return base.kind.fields[node.attr], self.temporary(
                f"getelementptr inbounds {llvm_type(base.kind)}, ptr {base.text}, "
                f"i32 0, i32 {number}"
            )
        if isinstance(node, ast.Subscript):
            base = self.value(self.expression(node.value), node)
            if not issubclass(base.kind, (Array, Pointer)):
                self.fail(node, f"{_name(base.kind)} has no elements")
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
            self.fail(node, f"{_name(kind)} has no arithmetic")
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

    # ---- conversions and calls

    def cast(self, value: Value, kind: Any) -> Value:
        """A written conversion: extension follows the source's sign."""
        if value.kind is kind:
            return value
        if value.kind is bool:
            return Value(kind, self.temporary(f"zext i1 {value.text} to {llvm_type(kind)}"))
        if issubclass(value.kind, Pointer):
            return Value(kind, self.temporary(f"ptrtoint ptr {value.text} to {llvm_type(kind)}"))
        source, target = value.kind.bits, kind.bits
        if source == target:
            return Value(kind, value.text)
        word = "trunc" if target < source else "sext" if value.kind.signed else "zext"
        return Value(kind, self.temporary(f"{word} i{source} {value.text} to {llvm_type(kind)}"))

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


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


__all__ = ["Expressions", "u8"]
