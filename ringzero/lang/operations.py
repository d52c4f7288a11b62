"""The operations that LLVM has and plain statements do not, as CPython carries them out.

What the compiler makes of each is in `compiler/intrinsics.py`, under the same name. Those on
floating-point numbers are in `floating.py`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from ringzero.lang.native import N, intrinsic
from ringzero.lang.types import Base, convert, i64, u64

T = TypeVar("T")


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
