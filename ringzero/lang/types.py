"""The values of typed Python in CPython's life.

A run-time number is a wrapping, fixed-width int subclass; mixing widths is an error. A plain int is
a compile-time number: it takes the type of the typed operand, and must fit it. Structs and arrays
are references. The compiler (`compiler.py`) gives the same meaning to the same text in LLVM.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self


class Fixed(int):
    """A number of `bits` bits, two's complement when `signed`; every operation wraps."""

    bits: ClassVar[int] = 0
    signed: ClassVar[bool] = False

    def __new__(cls, value: int | bool = 0) -> Self:
        value = int(value) & ((1 << cls.bits) - 1)
        if cls.signed and value >> (cls.bits - 1):
            value -= 1 << cls.bits
        return int.__new__(cls, value)

    def __class_getitem__(cls, length: int) -> type[Array]:
        return array(cls, length)

    @classmethod
    def fits(cls, value: int) -> bool:
        """Whether a plain int can stand for this type: signed or unsigned reading both allowed."""
        return -(1 << (cls.bits - 1)) <= value < (1 << cls.bits)

    def __neg__(self) -> Self:
        return type(self)(-int(self))

    def __invert__(self) -> Self:
        return type(self)(~int(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self):#x})"

    __hash__ = int.__hash__


def _operand(left: Fixed, right: object) -> int:
    if type(right) is type(left):
        return int(right)
    if type(right) is int or type(right) is bool:
        if not left.fits(right):
            raise TypeError(f"{right:#x} does not fit {type(left).__name__}")
        return int(type(left)(right))
    raise TypeError(
        f"{type(left).__name__} with {type(right).__name__}: convert one side, e.g. "
        f"{type(left).__name__}(...)"
    )


def _shift_count(left: Fixed, right: object) -> int:
    return int(right) & (left.bits - 1)  # type: ignore[call-overload]


def _define(name: str, function: Callable[[int, int], Any], kind: str) -> None:
    def forward(left: Fixed, right: object) -> Any:
        if kind == "shift":
            return type(left)(function(int(left), _shift_count(left, right)))
        if kind == "divide" and left.signed:
            raise TypeError("// and % are unsigned only: use sdiv() and srem()")
        result = function(int(left), _operand(left, right))
        return result if kind == "compare" else type(left)(result)

    def backward(left: Fixed, right: object) -> Any:
        if type(right) is int:
            if not left.fits(right):
                raise TypeError(f"{right:#x} does not fit {type(left).__name__}")
            return forward(type(left)(right), left)
        return NotImplemented

    setattr(Fixed, f"__{name}__", forward)
    if kind != "compare":
        setattr(Fixed, f"__r{name}__", backward)


for _name in ("add", "sub", "mul", "and_", "or_", "xor"):
    _define(_name.rstrip("_"), getattr(operator, _name), "arithmetic")
for _name in ("lshift", "rshift"):
    _define(_name, getattr(operator, _name), "shift")
for _name in ("floordiv", "mod"):
    _define(_name, getattr(operator, _name), "divide")
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _define(_name, getattr(operator, _name), "compare")


class u8(Fixed):
    bits = 8


class u16(Fixed):
    bits = 16


class u32(Fixed):
    bits = 32


class u64(Fixed):
    bits = 64


class u128(Fixed):
    bits = 128


class i8(Fixed):
    bits, signed = 8, True


class i16(Fixed):
    bits, signed = 16, True


class i32(Fixed):
    bits, signed = 32, True


class i64(Fixed):
    bits, signed = 64, True


class i128(Fixed):
    bits, signed = 128, True


class Array:
    """`T[n]`: `n` elements of one type, a reference. Made by `T[n]()` or `T[n]([...])`."""

    element: ClassVar[Any] = None
    length: ClassVar[int] = 0

    def __init__(self, values: Any = ()) -> None:
        given = list(values)
        if len(given) > self.length:
            raise TypeError(f"{len(given)} values for {type(self).__name__}")
        self.items: list[Any] = [
            convert(self.element, given[i]) if i < len(given) else self.element()
            for i in builtins.range(self.length)
        ]

    def __class_getitem__(cls, key: Any) -> Any:
        return Elements(key) if cls is Array else array(cls, key)

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            raise IndexError(f"{index} in {type(self).__name__}")
        return self.items[index]

    def __setitem__(self, index: int, value: object) -> None:
        if index < 0:
            raise IndexError(f"{index} in {type(self).__name__}")
        self.items[index] = convert(self.element, value)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


@dataclass(frozen=True)
class Elements:
    """`Array[T]` in a field's annotation: an array whose length the field's value gives."""

    element: Any


@dataclass(frozen=True)
class Length:
    """How many elements the array in a field of a Struct has."""

    number: int


def field(length: int) -> Length:
    """In a Struct, `words: Array[u64] = field(16)`: an array of 16 elements."""
    return Length(int(length))


class Pointer:
    """`ptr[T]`: where elements of T stand; in CPython an Array of T, or any indexable buffer."""

    element: ClassVar[Any] = None


Base = Pointer  # what `peek` and its like take: where bytes stand, of whatever type

_made: dict[tuple[str, Any, int], type] = {}


def array(element: Any, length: int) -> type[Array]:
    """The class of arrays of `length` elements of `element`; one class per pair."""
    key = ("array", element, int(length))
    if key not in _made:
        name = f"{element.__name__}[{int(length)}]"
        _made[key] = type(name, (Array,), {"element": element, "length": int(length)})
    return _made[key]


class ptr:
    """`ptr[T]` names the type of a pointer to T."""

    def __class_getitem__(cls, element: Any) -> type[Pointer]:
        key = ("ptr", element, 0)
        if key not in _made:
            _made[key] = type(f"ptr[{element.__name__}]", (Pointer,), {"element": element})
        return _made[key]


def _field_kind(cls: type, name: str, kind: Any) -> Any:
    """The type of a field, by its annotation and by what `field` says where it is an array."""
    given = cls.__dict__.get(name)
    if isinstance(given, Length):
        delattr(cls, name)
        if isinstance(kind, Elements):
            return array(kind.element, given.number)
    if isinstance(kind, Elements):
        raise TypeError(f"{cls.__name__}.{name} has no length: write = field(n)")
    if given is not None:
        raise TypeError(f"{cls.__name__}.{name} takes no value: only an Array has one, its length")
    return kind


class Struct:
    """Named fields in declaration order, laid out as C does; a reference.

    Fields are numbers, `bool`, other Structs, arrays (`Array[T] = field(n)`), or `ptr[T]`. Only
    numbers, bools and pointers are assigned; aggregates are filled in place. In CPython a struct
    also has `host`, the Python object that implements the ports (see `native.port`) for it.
    """

    fields: ClassVar[dict[str, Any]] = {}
    host: Any = None

    def __init_subclass__(cls) -> None:
        import sys

        own = {}
        names = vars(sys.modules[cls.__module__])
        for name, note in cls.__dict__.get("__annotations__", {}).items():
            kind = eval(note, names) if isinstance(note, str) else note
            own[name] = _field_kind(cls, name, kind)
        cls.fields = {**cls.fields, **{k: v for k, v in own.items() if k != "host"}}

    def __class_getitem__(cls, length: int) -> type[Array]:
        return array(cls, length)

    def __init__(self) -> None:
        for name, kind in self.fields.items():
            self.__dict__[name] = None if issubclass(kind, Pointer) else kind()

    def __setattr__(self, name: str, value: object) -> None:
        if name == "host":
            self.__dict__[name] = value
            return
        if name not in self.fields:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        kind = self.fields[name]
        if not issubclass(kind, (Fixed, bool, Pointer)):
            raise TypeError(f"{type(self).__name__}.{name} is an aggregate: fill it in place")
        self.__dict__[name] = value if issubclass(kind, Pointer) else convert(kind, value)


class Raised(Exception):
    """The one exception of typed Python; its payload is wherever the raising text stored it."""


def convert(kind: Any, value: Any) -> Any:
    """`value` as a `kind`, where the language allows that without a written conversion."""
    if kind is None or type(value) is kind:
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if isinstance(kind, type) and issubclass(kind, Fixed) and type(value) is int:
        if not kind.fits(value):
            raise TypeError(f"{value:#x} does not fit {kind.__name__}")
        return kind(value)
    if isinstance(kind, type) and issubclass(kind, Pointer):
        if isinstance(value, str) and kind.element is u8:
            return array(u8, len(value.encode()) + 1)([*value.encode(), 0])
        return value
    if isinstance(kind, type) and isinstance(value, kind):
        return value
    raise TypeError(f"{value!r} is not a {getattr(kind, '__name__', kind)}")


def typed_range(start: Any, stop: Any = None) -> Iterator[Any]:
    """`range` of typed Python: typed bounds count in that type; plain bounds are unrolled."""
    low, high = (0, start) if stop is None else (start, stop)
    kind: Any = int
    for bound in (low, high):
        if isinstance(bound, Fixed):
            kind = type(bound)
    return (kind(i) for i in builtins.range(int(low), int(high)))
