"""Control and status registers: how one is declared, and what reading and writing it means.

A CSR is a class: `class mtvec(Csr, at=0x305)`, its body names the fields. The machinery derives
reading, legalising writes and checking permission from it. `csr_read` and `csr_write` are typed
functions, unrolled over all CSRs; the definitions stand in `csrs/`.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ringzero.errors import RingzeroError
from ringzero.isa.hart import Hart
from ringzero.lang import Native, native, u64


class CsrError(RingzeroError):
    """A CSR definition that contradicts itself or another one."""


@dataclass(frozen=True, eq=False)
class Field:
    """Bits `high:low` of a CSR; `kind` is rw, warl, const or derived."""

    kind: str
    high: int
    low: int
    value: int = 0  # of a const
    function: Native | None = None  # warl: (new, old) -> legal; derived: (whole) -> field

    @property
    def meaning(self) -> Native[..., u64]:
        """The function of a field that has one."""
        assert self.function is not None, f"a {self.kind} field has no function"
        return self.function

    @property
    def mask(self) -> int:
        """The field's bits, at the right."""
        return (1 << (self.high - self.low + 1)) - 1

    @property
    def bits(self) -> int:
        """The field's bits, in place."""
        return self.mask << self.low


def rw(high: int, low: int | None = None) -> Field:
    """A field that holds whatever is written."""
    return Field("rw", high, high if low is None else low)


def warl(high: int, low: int, legal: Any) -> Field:
    """Write any, read legal: `legal(new, old)` is what the field becomes."""
    return Field("warl", high, low, function=legal)


def wlrl(high: int, low: int) -> Field:
    """Write legal, read legal: what the manual leaves open here is simply held."""
    return Field("rw", high, low)


def const(high: int, low: int, value: int) -> Field:
    """A field that reads as `value` and ignores writes."""
    return Field("const", high, low, value=value)


def derived(high: int, low: int, compute: Any) -> Field:
    """A field computed from the rest of the CSR whenever it is read."""
    return Field("derived", high, low, function=compute)


class Csr:
    """One CSR, or a row of equal ones (`at=range(…)`). Fields that are not named read as zero.

    Without `get` and `put` of its own it is stored in the field of Hart that has its name. A view
    of another CSR defines both; `number` tells the CSRs of a row apart. Guards return whether an
    access is allowed beyond what the number says; where a guest guard says no to VS or VU-mode,
    that is a virtual instruction. `stands_for` names the CSR that this one replaces while V=1.
    """

    name: ClassVar[str]
    first: ClassVar[int]
    last: ClassVar[int]
    step: ClassVar[int]
    fields: ClassVar[dict[str, Field]] = {}
    guards: ClassVar[tuple[Any, ...]] = ()
    guest_guards: ClassVar[tuple[Any, ...]] = ()
    stands_for: ClassVar[Any] = None
    guest: ClassVar[Any] = None  # the CSR that stands for this one
    changes: ClassVar[int] = 0  # what an engine re-examines after a write
    get: ClassVar[Any] = None  # (hart, number) -> u64
    put: ClassVar[Any] = None  # (hart, number, value) -> None
    open: ClassVar[int] = 0  # bits that hold whatever is written
    constant: ClassVar[int] = 0
    legalised: ClassVar[tuple[Field, ...]] = ()
    computed: ClassVar[tuple[Field, ...]] = ()

    def __init_subclass__(cls, *, at: int | range) -> None:
        numbers = range(at, at + 1) if isinstance(at, int) else at
        cls.name, cls.step = cls.__name__, numbers.step
        cls.first, cls.last = numbers[0], numbers[-1]
        cls.fields = {k: v for k, v in vars(cls).items() if isinstance(v, Field)}
        _check_fields(cls)
        named = cls.fields.values()
        cls.open = sum(f.bits for f in named if f.kind == "rw")
        cls.constant = sum(f.value << f.low for f in named if f.kind == "const")
        cls.legalised = tuple(f for f in named if f.kind == "warl")
        cls.computed = tuple(f for f in named if f.kind == "derived")
        if cls.get is None:
            cls.get = _accessor(cls, "get", "", "u64", f"return hart.{cls.name}")
            cls.put = _accessor(cls, "put", ", value: u64", "None", f"hart.{cls.name} = value")
        _register(cls)
        if cls.stands_for is not None:
            cls.stands_for.guest = cls


def _check_fields(csr: type[Csr]) -> None:
    seen = 0
    for name, field in csr.fields.items():
        if not 0 <= field.low <= field.high <= 63 or field.value & ~field.mask:
            raise CsrError(f"{csr.name}.{name} does not fit bits {field.high}..{field.low}")
        if seen & field.bits:
            raise CsrError(f"{csr.name}.{name} overlaps another field of {csr.name}")
        seen |= field.bits
    stored = csr.get is None and any(f.kind in ("rw", "warl") for f in csr.fields.values())
    if stored and csr.name not in Hart.fields:
        raise CsrError(f"{csr.name} is stored, but Hart has no field of that name: add one")


CSRS: list[type[Csr]] = []
BY_NAME: dict[str, int] = {}
_FIRST_OF_ROW = re.compile(r"(.*?)([0-9]+)")


def _register(csr: type[Csr]) -> None:
    for other in CSRS:
        if csr.first <= other.last and other.first <= csr.last:
            raise CsrError(f"{csr.name} and {other.name} have the same number")
    CSRS.append(csr)
    BY_NAME[csr.name] = csr.first
    row = _FIRST_OF_ROW.fullmatch(csr.name)
    if csr.first < csr.last and row:  # the class has its first member's name, as hpmcounter3
        for number in range(csr.first, csr.last + 1, csr.step):
            BY_NAME[f"{row[1]}{int(row[2]) + number - csr.first}"] = number


def _accessor(csr: type[Csr], kind: str, extra: str, result: str, body: str) -> Native:
    # Typed text names the fields of a Struct literally, so the text for each CSR is written here,
    # and kept where inspect finds it: the compiler reads functions through their source.
    name, file = f"{kind}_{csr.name}", f"<{kind} {csr.name}>"
    if csr.name not in Hart.fields:
        body = "return u64(0)" if kind == "get" else "pass"
    text = f"def {name}(hart: Hart, number: u64{extra}) -> {result}:\n    {body}\n"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    found: dict[str, Callable[..., Any]] = {}
    exec(compile(text, file, "exec", dont_inherit=True), globals(), found)
    return native(found[name])


@native
def read_csr(hart: Hart, csr: type[Csr], number: u64) -> u64:
    """What a CSR reads as."""
    value: u64 = csr.get(hart, number) | csr.constant
    for field in csr.computed:
        value = value | (field.meaning(value) << field.low)
    return value


@native
def write_csr(hart: Hart, csr: type[Csr], number: u64, value: u64) -> None:
    """Write what is legal of `value`."""
    new = value & csr.open
    if csr.legalised:
        old = csr.get(hart, number)
        for field in csr.legalised:
            before = (old >> field.low) & field.mask
            legal = field.meaning((value >> field.low) & field.mask, before)
            new = new | (legal << field.low)
    csr.put(hart, number, new)
    hart.changes = hart.changes | csr.changes
