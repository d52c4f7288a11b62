"""What typed Python calls: native functions, ports, stubs, intrinsics; each runs in CPython too.

`@native` marks typed text; `@port` names a function that each carrier provides for itself;
a `Stub` is machine words with the C calling convention; an `Intrinsic` is one LLVM operation
(`operations.py` and `floating.py` have them).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, cast, overload

from ringzero.lang.types import (
    Array,
    Fixed,
    Pointer,
    Struct,
    convert,
)

if TYPE_CHECKING:  # a plain `Native` is one of whatever parameters and result
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P", default=...)
    R = TypeVar("R", covariant=True, default=Any)
else:
    from typing import ParamSpec, TypeVar

    P, R = ParamSpec("P"), TypeVar("R", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N", bound=Fixed)


def is_runtime(kind: Any) -> bool:
    """Whether a parameter of this annotation is a run-time value (else: compile-time)."""
    return isinstance(kind, type) and (
        kind is bool or issubclass(kind, (Fixed, Struct, Array, Pointer))
    )


class Native(Generic[P, R]):
    """A typed-Python function: runs in CPython as it stands, and compiles to machine code.

    Parameters annotated with a fixed-width number, bool, struct, array or pointer are run-time
    values. Any other annotation (`int`, `type`, a class of yours) makes the parameter
    compile-time: the compiler makes one copy of the function per value.
    """

    def __init__(
        self, function: Callable[P, R], *, inline: bool | None = None, cold: bool = False
    ) -> None:
        self.function, self.inline, self.cold = function, inline, cold
        self.name, self.module = function.__name__, function.__module__
        self.__doc__, self.__name__ = function.__doc__, function.__name__
        self.__wrapped__ = function
        self._signature: tuple[list[tuple[str, Any]], Any] | None = None

    @property
    def signature(self) -> tuple[list[tuple[str, Any]], Any]:
        """Parameters as (name, type) and the result type; read late, so classes may follow."""
        if self._signature is None:
            names = {**vars(sys.modules[self.module]), **_closure(self.function)}
            notes = {
                key: eval(note, names) if isinstance(note, str) else note
                for key, note in self.function.__annotations__.items()
            }
            parameters = [(p, notes.get(p)) for p in inspect.signature(self.function).parameters]
            self._signature = parameters, notes.get("return")
        return self._signature

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        parameters, result = self.signature
        if len(arguments) != len(parameters):
            raise TypeError(f"{self.name}() takes {len(parameters)} arguments: {arguments!r}")
        typed = [
            convert(kind, value) if is_runtime(kind) else value
            for (_, kind), value in zip(parameters, arguments, strict=True)
        ]
        value: R = self.function(*typed, **named)  # type: ignore[arg-type]
        if is_runtime(result):
            value = convert(result, value)
        return value

    def __repr__(self) -> str:
        return f"<native {self.module}.{self.name}>"


def _closure(function: Callable[..., Any]) -> dict[str, Any]:
    cells = function.__closure__ or ()
    found = {}
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # the enclosing function has not set it yet
            continue
    return found


@overload
def native(
    function: Callable[P, R], *, inline: bool | None = ..., cold: bool = ...
) -> Native[P, R]: ...
@overload
def native(
    *, inline: bool | None = ..., cold: bool = ...
) -> Callable[[Callable[P, R]], Native[P, R]]: ...
def native(
    function: Callable[..., Any] | None = None, *, inline: bool | None = None, cold: bool = False
) -> Any:
    """Mark typed text. `inline=True` always inlines it, `inline=False` never does.

    `cold=True` is a slow path: it stays out of line, and costs its callers few registers.
    """
    inline = False if cold else inline
    if function is None:
        return lambda f: Native(f, inline=inline, cold=cold)
    return Native(function, inline=inline, cold=cold)


def original(function: Native[P, R]) -> Native[P, R]:
    """The same text as another function, which a program's bindings do not replace."""
    return Native(function.function, inline=function.inline, cold=function.cold)


class Port(Native[P, R]):
    """A native function without a body of its own: each carrier binds one.

    In CPython the first struct argument's `host` object implements it by a method of this name,
    called with the same arguments. Compiled programs bind it: `Program(bind={port: function})`.
    `raises=True` declares that the implementation may raise.
    """

    raises: bool = False

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        for argument in arguments:
            if isinstance(argument, Struct) and argument.host is not None:
                value: R = getattr(argument.host, self.name)(*arguments, **named)
                result = self.signature[1]
                if is_runtime(result):
                    value = convert(result, value)
                return value
        raise RuntimeError(f"port {self.name} has no host: set .host of the struct it is called on")


@overload
def port(function: Callable[P, R], *, raises: bool = ...) -> Port[P, R]: ...
@overload
def port(*, raises: bool = ...) -> Callable[[Callable[P, R]], Port[P, R]]: ...
def port(function: Callable[..., Any] | None = None, *, raises: bool = False) -> Any:
    """Declare a port; the function's body is its documentation only."""
    if function is None:
        return lambda f: port(f, raises=raises)
    made = Port(function)
    made.raises = raises
    return made


class Stub(Generic[R]):
    """Machine words with the C ABI, called by name from typed text.

    `code` holds words, or (kind, symbol) relocation pairs, as `lang/link.py` reads them; `inline`
    is the word that may stand in place of the call; `model` runs in CPython.
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[Any],
        result: type[R] | None,
        code: Sequence[Any],
        *,
        inline: int | None = None,
        model: Callable[..., Any] | None = None,
        attributes: str = "",
    ) -> None:
        self.name, self.result, self.code = name, result, list(code)
        self.inline, self.model, self.attributes = inline, model, attributes
        self.parameters = [(f"a{i}", kind) for i, kind in enumerate(parameters)]

    def __call__(self, *arguments: Any) -> R:
        if self.model is None:
            raise RuntimeError(f"stub {self.name} has no model in CPython")
        return cast(R, self.model(*arguments))


class Intrinsic:
    """One operation that the compiler knows by name (`compiler/intrinsics.py`)."""

    def __init__(self, model: Callable[..., Any]) -> None:
        self.model, self.name = model, model.__name__
        self.__doc__, self.__name__ = model.__doc__, model.__name__

    def __call__(self, *arguments: Any) -> Any:
        return self.model(*arguments)


def intrinsic(model: F) -> F:
    """An `Intrinsic`. A type checker sees the function, because its types may be generic."""
    return cast(F, Intrinsic(model))
