"""The compiler's program: which functions, types and globals a set of roots needs, as LLVM text.

`Program(roots, bind=…)` starts from native functions and pulls in what they use. A function is
compiled once per choice of its compile-time arguments. Ports and replacements come in `bind`.
Statements are in `statements.py`, expressions in `expressions.py`, intrinsics in `intrinsics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringzero.lang.native import Native, Port, Stub, is_runtime
from ringzero.lang.types import Array, Fixed, Pointer, Struct, convert, ptr, u8

_BYTES: Any = ptr.__class_getitem__(u8)


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
    from ringzero.lang.types import Raised

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


def _is_zero(value: Any) -> bool:
    if isinstance(value, Array):
        return all(map(_is_zero, value.items))
    if isinstance(value, Struct):
        return all(_is_zero(getattr(value, name)) for name in value.fields)
    return value is None or value == 0


def _label(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    return str(getattr(value, "name", value))


@dataclass
class Program:
    """LLVM text for `roots` and everything they use."""

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

    def add_roots(
        self, roots: Iterable[Native], exported: Mapping[Native, str] = {}, flagged: bool = False
    ) -> None:
        """Compile `roots`; they keep external linkage, under their bare name or `exported`'s.

        With `flagged`, roots that raise take one more parameter, a pointer to an i1 that they set.
        """
        if flagged:
            self.flagged.update(roots)
        named = {root: exported.get(root, root.name) for root in roots}
        self.named.update(named)  # first: one root may call another
        self.roots.update(named.values())
        for root in named:
            self.function(root)

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
            symbol = self._fresh(name)
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

    def _fresh(self, name: str) -> str:
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
        """`function` compiled for these compile-time arguments (in parameter order)."""
        from ringzero.lang.function import FunctionEmitter

        key = (function, tuple(_key(value) for value in known))
        if key not in self.functions:
            label = "/".join([f"{function.module}.{function.name}", *map(_label, known)])
            name = self._fresh(self.named.get(function) or label.replace('"', "'"))
            made = Compiled(name, function.signature[1], flagged=function in self.flagged)
            if function.cold:
                made.convention = self.target.cold_convention
            self.functions[key] = made
            FunctionEmitter(self, function, list(known), made).emit()
            made.done = True
        return self.functions[key]

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


def _key(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return id(value)
    return (type(value), value)


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
