"""What an instruction touches in memory, as `@insn(…, access=Load(u32))` declares it.

Engines choose by it: what may fault, which page tables are read for it, what a store may change. A
declaration that its function does not keep is refused when the instruction is defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType
from typing import ClassVar

from ringzero.isa.encoding import EncodingError
from ringzero.lang import Fixed, Native

KINDS = frozenset({"u8", "u16", "u32", "u64"})


@dataclass(frozen=True)
class Access:
    """One `kind` in memory, reached by a function of `privileged.access`."""

    kind: type[Fixed]
    function: ClassVar[str]  # the one that the body calls
    changes: ClassVar[bool]  # memory, or the hart's reservation, may be another afterwards

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.kind.bits // 8


class Load(Access):
    """A plain load, which may be misaligned."""

    function, changes = "load", False


class Store(Access):
    """A plain store, which may be misaligned."""

    function, changes = "store", True


class Amo(Access):
    """An atomic read-modify-write."""

    function, changes = "amo", True


class LoadReserved(Access):
    """A load that reserves its place."""

    function, changes = "load_reserved", True


class StoreConditional(Access):
    """A store, if the reservation holds."""

    function, changes = "store_conditional", True


class GuestLoad(Access):
    """A load of a hypervisor from its guest's memory."""

    function, changes = "guest_load", False


class GuestStore(Access):
    """A store of a hypervisor to its guest's memory."""

    function, changes = "guest_store", True


@dataclass(frozen=True)
class Block:
    """A whole cache block."""

    function: ClassVar[str]
    changes: ClassVar[bool]


class ManagedBlock(Block):
    """It is written back, or out of the cache, and memory stays as it is."""

    function, changes = "cache_block", False


class ZeroedBlock(Block):
    """It becomes zero."""

    function, changes = "zero_block", True


FUNCTIONS = frozenset(
    one.function
    for one in (
        Load, Store, Amo, LoadReserved, StoreConditional, GuestLoad, GuestStore, ManagedBlock,
        ZeroedBlock,
    )
)  # fmt: skip


def check(name: str, function: Native, access: Access | Block | None) -> None:
    """Refuse a declaration that is not what a function does, and one that is missing."""
    found = sorted(FUNCTIONS & _names(function, set()))
    wanted = [] if access is None else [access.function]
    if found != wanted:
        says = f"declares {type(access).__name__}" if access else "declares no access"
        raise EncodingError(f"{name}() calls {' and '.join(found) or 'none'}, but {says}")
    kinds = KINDS.intersection(function.function.__code__.co_names)
    if isinstance(access, Access) and kinds != {access.kind.__name__}:
        said = " and ".join(sorted(kinds)) or "nothing"
        raise EncodingError(
            f"{name}() accesses {said}, but declares {type(access).__name__} of "
            f"{access.kind.__name__}"
        )


def _names(function: Native, seen: set[str]) -> set[str]:
    """The global names that a function uses, itself or through helpers in its module."""
    code: CodeType = function.function.__code__
    for used in code.co_names:
        if used in seen:
            continue
        seen.add(used)
        helper = function.function.__globals__.get(used)
        if isinstance(helper, Native) and helper.module == function.module:
            _names(helper, seen)
    return seen
