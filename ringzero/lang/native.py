"""What typed Python is made of beside plain statements: native functions, ports, stubs, intrinsics.

`@native` marks typed text; `@port` names a function that each carrier provides for itself;
a `Stub` is machine words with the C calling convention; an `Intrinsic` is one LLVM operation.
Each is callable in CPython.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, cast, overload

from ringzero.lang.types import (
    Array,
    Base,
    Fixed,
    Pointer,
    Raised,
    Struct,
    convert,
    i64,
    i128,
    u32,
    u64,
    u128,
)

if TYPE_CHECKING:  # a plain `Native` is one of whatever parameters and result
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P", default=...)
    R = TypeVar("R", covariant=True, default=Any)
else:
    from typing import ParamSpec, TypeVar

    P, R = ParamSpec("P"), TypeVar("R", covariant=True)
T = TypeVar("T")
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
    """One operation that the compiler knows by name (`compiler.Emitter.intrinsic_NAME`)."""

    def __init__(self, model: Callable[..., Any]) -> None:
        self.model, self.name = model, model.__name__
        self.__doc__, self.__name__ = model.__doc__, model.__name__

    def __call__(self, *arguments: Any) -> Any:
        return self.model(*arguments)


def intrinsic(model: F) -> F:
    """An `Intrinsic`. A type checker sees the function, because its types may be generic."""
    return cast(F, Intrinsic(model))


def _same(left: N, right: N) -> type[N]:
    if type(left) is not type(right):
        raise TypeError(f"{type(left).__name__} with {type(right).__name__}")
    return type(left)


@intrinsic
def clz(value: N) -> N:
    """Leading zero bits of a fixed-width number; its width for zero."""
    return type(value)(value.bits - (int(value) & ((1 << value.bits) - 1)).bit_length())


@intrinsic
def ctz(value: N) -> N:
    """Trailing zero bits; its width for zero."""
    word = int(value)
    return type(value)((word & -word).bit_length() - 1 if word else value.bits)


@intrinsic
def popcount(value: N) -> N:
    """How many bits are set."""
    return type(value)((int(value) & ((1 << value.bits) - 1)).bit_count())


@intrinsic
def byteswap(value: N) -> N:
    """The bytes in reverse order."""
    size = value.bits // 8
    return type(value)(int.from_bytes(int(value).to_bytes(size, "little"), "big"))


@intrinsic
def sdiv(left: N, right: N) -> N:
    """Signed division, truncating. The caller excludes zero and the overflow of MIN / -1."""
    kind = _same(left, right)
    quotient = abs(int(left)) // abs(int(right))
    return kind(quotient if (int(left) < 0) == (int(right) < 0) else -quotient)


@intrinsic
def srem(left: N, right: N) -> N:
    """Signed remainder with the dividend's sign. The caller excludes zero and MIN % -1."""
    kind = _same(left, right)
    remainder = abs(int(left)) % abs(int(right))
    return kind(-remainder if int(left) < 0 else remainder)


@intrinsic
def likely(condition: bool) -> bool:
    """`condition`, which nearly always holds: code for the other case moves out of the way."""
    return condition


@intrinsic
def unlikely(condition: bool) -> bool:
    """`condition`, which hardly ever holds."""
    return condition


memory: dict[int, int] = {}  # CPython's view of addressed memory, for load() and store()


@intrinsic
def load(kind: type[N], address: u64) -> N:
    """Read a `kind` at a machine address (bare metal: devices, memory)."""
    return kind(memory.get(int(address), 0))


@intrinsic
def store(kind: type[N], address: u64, value: N) -> None:
    """Write a `kind` at a machine address."""
    memory[int(address)] = convert(kind, value)


@intrinsic
def peek(kind: type[N], base: Base, offset: int) -> N:
    """Read a little-endian `kind` at byte `offset` from the byte pointer `base`; any alignment."""
    buffer: Any = base
    size = kind.bits // 8
    return kind(int.from_bytes(bytes(buffer[int(offset) : int(offset) + size]), "little"))


@intrinsic
def poke(kind: type[N], base: Base, offset: int, value: N) -> None:
    """Write a little-endian `kind` at byte `offset` from the byte pointer `base`."""
    buffer: Any = base
    size = kind.bits // 8
    word = int(convert(kind, value)) & ((1 << kind.bits) - 1)
    buffer[int(offset) : int(offset) + size] = word.to_bytes(size, "little")


@intrinsic
def read_once(kind: type[N], base: Base, offset: int) -> N:
    """`peek` of a naturally aligned `kind` as one access, in order with others to the same place.

    What other threads write at the same time is seen before or after, never in part.
    """
    return peek(kind, base, offset)


@intrinsic
def read_acquire(kind: type[N], base: Base, offset: int) -> N:
    """`read_once`, before all accesses that follow."""
    return peek(kind, base, offset)


@intrinsic
def write_once(kind: type[N], base: Base, offset: int, value: N) -> None:
    """`poke` of a naturally aligned `kind` as one access that other threads see whole."""
    poke(kind, base, offset, value)


@intrinsic
def atomic(operation: str, kind: type[N], base: Base, offset: int, value: N) -> N:
    """Atomic read-modify-write at byte `offset` from `base`, naturally aligned; the old value.

    `operation` is LLVM's: xchg add and or xor max min umax umin (sequentially consistent).
    """
    old = peek(kind, base, offset)
    signed = {64: i64, 32: i64}[kind.bits]
    a = int(signed(old)) if kind.bits == 64 else int(_sign32(old))
    b = int(signed(value)) if kind.bits == 64 else int(_sign32(value))
    new = {
        "xchg": lambda: value,
        "add": lambda: old + value,
        "and": lambda: old & value,
        "or": lambda: old | value,
        "xor": lambda: old ^ value,
        "max": lambda: kind(max(a, b)),
        "min": lambda: kind(min(a, b)),
        "umax": lambda: kind(max(int(old), int(value))),
        "umin": lambda: kind(min(int(old), int(value))),
    }[operation]()
    poke(kind, base, offset, new)
    return old


def _sign32(value: Any) -> int:
    word = int(value) & 0xFFFF_FFFF
    return word - (1 << 32) if word >> 31 else word


@intrinsic
def compare_exchange(kind: type[N], base: Base, offset: int, expected: N, value: N) -> bool:
    """Store `value` at `offset` from `base` if it holds `expected`, in one atomic step."""
    if peek(kind, base, offset) != expected:
        return False
    poke(kind, base, offset, value)
    return True


@intrinsic
def fence() -> None:
    """A full memory fence."""


_addresses: dict[int, Any] = {}


@intrinsic
def address_of(thing: object) -> u64:
    """The machine address of a global struct or array, a native function, or a stub."""
    _addresses[id(thing)] = thing
    return u64(id(thing))


@intrinsic
def reinterpret(kind: type[T], thing: object) -> T:
    """The struct or pointer `thing` seen as a `kind`; compiled text only (container of a field)."""
    raise RuntimeError("reinterpret() runs only in compiled text")


@intrinsic
def advance(pointer: T, count: int) -> T:
    """The pointer `count` elements further on; compiled text only."""
    raise RuntimeError("advance() runs only in compiled text")


@intrinsic
def call_pointer(result: Any, address: Any, *arguments: Any) -> Any:
    """Call the C function at a machine address; meaningless in CPython."""
    raise RuntimeError("call_pointer() runs only in compiled text")


__all__ = [
    "Intrinsic",
    "Native",
    "Port",
    "Raised",
    "Stub",
    "address_of",
    "advance",
    "atomic",
    "byteswap",
    "call_pointer",
    "clz",
    "compare_exchange",
    "ctz",
    "fence",
    "i128",
    "intrinsic",
    "is_runtime",
    "likely",
    "load",
    "native",
    "original",
    "peek",
    "poke",
    "popcount",
    "port",
    "read_acquire",
    "read_once",
    "reinterpret",
    "sdiv",
    "srem",
    "store",
    "u32",
    "u128",
    "unlikely",
    "write_once",
]
