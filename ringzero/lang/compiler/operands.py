"""One function's emission in progress: its text, its names, and values as LLVM operands."""

from __future__ import annotations

import ast
import builtins
import sys
from typing import Any, NoReturn

from ringzero.lang.compiler.module import Module
from ringzero.lang.compiler.terms import (
    CompileError,
    Item,
    Known,
    Tuple,
    Value,
    llvm_type,
    passed_type,
)
from ringzero.lang.native import Native, _closure
from ringzero.lang.types import Array, Fixed, Pointer, Struct


class Operands:
    """The state of one function's emission."""

    made: Any

    def inlined(self, function: Native, known: list[Any], values: list[Value]) -> Item:
        """The body of an inline function, emitted here (`function.FunctionEmitter`)."""
        raise NotImplementedError

    def __init__(self, program: Module, native: Native) -> None:
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
        return self.fail(node, f"needs {kind_name(kind)}, has {kind_name(item.kind)}")

    def _known_operand(self, value: Any, kind: Any, node: ast.AST) -> str:
        if value is None and isinstance(kind, type) and issubclass(kind, Pointer):
            return "null"
        if type(value) is int and isinstance(kind, type) and issubclass(kind, Fixed):
            if not kind.fits(value):
                self.fail(node, f"{value:#x} does not fit {kind_name(kind)}")
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
        return self.fail(node, f"{known!r} is not a run-time value")

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


def kind_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
