"""The LLVM module that a program becomes: its types, globals, strings, stubs, and its whole text.

How functions are compiled into it is said in `program.py`, which knows their emitter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringzero.lang.compiler.terms import (
    Compiled,
    CompileError,
    Target,
    extension,
    llvm_type,
    passed_type,
    result_type,
)
from ringzero.lang.native import Native, Port, Stub
from ringzero.lang.types import Array, Fixed, Pointer, Struct, convert, ptr, u8

_BYTES: Any = ptr[u8]


def _is_zero(value: Any) -> bool:
    if isinstance(value, Array):
        return all(map(_is_zero, value.items))
    if isinstance(value, Struct):
        return all(_is_zero(getattr(value, name)) for name in value.fields)
    return value is None or value == 0


@dataclass
class Module:
    """What emitters of functions put together, besides the text of their own function."""

    target: Target
    bind: Mapping[Native, Native] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    globals: dict[int, tuple[str, str, Any]] = field(default_factory=dict)
    functions: dict[Any, Compiled] = field(default_factory=dict)
    stubs: dict[str, Stub] = field(default_factory=dict)
    declarations: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    roots: set[str] = field(default_factory=set)
    named: dict[Native, str] = field(default_factory=dict)
    flagged: set[Native] = field(default_factory=set)
    symbols: set[str] = field(default_factory=set)

    def use_type(self, kind: Any) -> None:
        """Define the LLVM types that a `kind` needs."""
        if kind is None or kind is bool or issubclass(kind, Fixed):
            return
        if issubclass(kind, (Array, Pointer)):
            self.use_type(kind.element)
            return
        name = llvm_type(kind)
        if name not in self.types:
            self.types[name] = ""
            for part in kind.fields.values():
                self.use_type(part)
            members = ", ".join(map(llvm_type, kind.fields.values()))
            self.types[name] = f"{name} = type {{ {members} }}"

    def constant(self, value: Any) -> str:
        """The initial value of a global."""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, Fixed):
            return str(int(value))
        if _is_zero(value):
            return "zeroinitializer"
        if isinstance(value, Array):
            element = llvm_type(value.element)
            return "[" + ", ".join(f"{element} {self.constant(v)}" for v in value.items) + "]"
        parts = (
            f"{llvm_type(k)} {self.constant(getattr(value, n))}" for n, k in value.fields.items()
        )
        return "{ " + ", ".join(parts) + " }"

    def global_symbol(self, value: Any, name: str, linkage: str = "internal global") -> str:
        """The symbol of a module-level struct or array, defined on first use."""
        if id(value) not in self.globals:
            self.use_type(type(value))
            symbol = self.fresh(name)
            text = f'@"{symbol}" = {linkage} {llvm_type(type(value))} {self.constant(value)}'
            self.globals[id(value)] = (f'@"{symbol}"', text, value)
        return self.globals[id(value)][0]

    def string(self, text: str) -> str:
        """A constant NUL-terminated string's symbol."""
        key = f"string:{text}"
        if key not in self.declarations:
            made = convert(_BYTES, text)
            symbol = self.global_symbol(made, "string", "private unnamed_addr constant")
            self.declarations[key] = ""
            self._strings[text] = symbol
        return self._strings[text]

    _strings: dict[str, str] = field(default_factory=dict)

    def fresh(self, name: str) -> str:
        """A symbol that nothing else has."""
        symbol, count = name, 1
        while symbol in self.symbols:
            count += 1
            symbol = f"{name}.{count}"
        self.symbols.add(symbol)
        return symbol

    def resolve(self, function: Native, inside: Native | None = None) -> Native:
        """What a call of `function` means here: its binding, unless called by that binding."""
        bound = self.bind.get(function, function)
        if bound is inside:
            return function
        if isinstance(bound, Port):
            raise CompileError(f"port {bound.module}.{bound.name} is not bound in this program")
        return bound

    def function(self, function: Native, known: Sequence[Any] = ()) -> Compiled:
        """`function` compiled for these compile-time arguments (`Program`)."""
        raise NotImplementedError

    def stub(self, stub: Stub) -> None:
        """Declare a stub that the linker provides."""
        if stub.name not in self.stubs:
            self.stubs[stub.name] = stub
            arguments = ", ".join(
                passed_type(kind) + extension(self.target, kind) for _, kind in stub.parameters
            )
            self.declare(
                stub.name,
                f'declare {result_type(stub.result, False)} @"{stub.name}"({arguments}) '
                f"nounwind {stub.attributes}",
            )

    def declare(self, name: str, text: str) -> None:
        """Declare an external function once."""
        self.declarations.setdefault(name, text)

    def text(self) -> str:
        """The whole module."""
        return "\n".join(
            [
                f'target datalayout = "{self.target.layout}"',
                f'target triple = "{self.target.triple}"',
                *self.types.values(),
                *(text for _, text, _ in self.globals.values()),
                *(text for text in self.declarations.values() if text),
                *(made.text for made in self.functions.values()),
                *self.texts,
                '!0 = !{!"branch_weights", i32 1, i32 2000}',
                "",
            ]
        )
