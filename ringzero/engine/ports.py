"""What an engine asks of the machine around it, and what a machine may ask of any engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol


class Bus(Protocol):
    """Devices by physical address."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while devices are used; by its owner once more."""

    def read(self, address: int, size: int) -> int | None:
        """The value, or None where nothing answers."""

    def write(self, address: int, size: int, value: int) -> bool:
        """Whether anything answered."""


class Memory(Protocol):
    """Guest RAM."""

    base: int
    size: int
    on_write: Callable[[int, int], None]

    @property
    def address_of_buffer(self) -> int:
        """The host address of its first byte."""

    def contains(self, address: int, size: int) -> bool:
        """Is the whole range RAM?"""

    def read(self, address: int, size: int) -> bytes:
        """A copy of a range."""

    def view(self, address: int, size: int) -> memoryview:
        """The bytes of a range themselves."""


TRAP_LOOP = 64
"""Traps without an instruction between them: the trap handler itself cannot be fetched."""


class Why(IntEnum):
    """Why harts came back: what native code leaves in `Core.why`, and `Harts.run` says."""

    RUNNING, STOPPED, WAITING, LIMIT, STEPPED, TURN, FAULT = range(7)


@dataclass(frozen=True)
class Stop:
    """The end of a run: the reason, and the hart that it concerns."""

    why: Why
    hart: int


@dataclass(frozen=True)
class HartCounts:
    """What one hart did: instructions retired by mode number, traps by mcause value.

    `refills` are pages translated for the engine's translation cache, `entries` the page table
    entries read meanwhile, by `isa.paging`'s number of the stage.
    """

    retired: dict[int, int]
    traps: dict[int, int]
    refills: int = 0
    entries: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """Where an engine was at the ends of its slices, and what its compiler did."""

    slices: int = 0
    in_regions: int = 0
    side_exits: int = 0
    exits_by_address: dict[int, int] = field(default_factory=dict)  # side exits by physical address
    compiled: int = 0  # regions, in this run
    recompiled: int = 0  # of those, regions that left too often
    loaded: int = 0  # regions in all, compiled now or in an earlier run
    waiting: int = 0  # places that were hot and are not compiled yet
    compiled_bytes: int = 0  # regions in memory now
    evicted: int = 0  # how often the oldest of them were freed
    compiled_at_once: int = 0  # instructions that the compiler made code of
    emptied: int = 0  # how often the oldest eighth of compiled code was freed
    fences: tuple[int, ...] = ()  # of translation: by nothing, address, address space, both
    spaces: int = 0  # looks for the translations of an address space
    fresh: int = 0  # of those, for one of which there were none
    flushed_contexts: int = 0  # tables that fences emptied


@dataclass(frozen=True)
class Hooks:
    """What harts call of the machine around them."""

    after_write: Callable[[], None] = lambda: None
    """After each store that a device answered."""
    on_watched: Callable[[int], None] = lambda address: None
    """After a store to the watched page."""
    serve: Callable[[], bool] = lambda: False
    """After `stop` where harts go on meanwhile; False ends the run."""


class Harts(Protocol):
    """All harts of one machine under an engine."""

    def connect(self, hooks: Hooks) -> None:
        """Call these from now on; the machine that they belong to is made of the harts."""

    def hart(self, index: int) -> Any:
        """A hart's architectural state: the fields of `isa.hart.Hart`, readable and writable."""

    def run(self, instructions: int | None = None) -> Stop:
        """Run until something stops it; `instructions` limits all harts together."""

    def step(self, index: int = 0) -> None:
        """One instruction of one hart, or one trap or interrupt taken instead."""

    def stop(self) -> None:
        """Ask `run` to come back soon, from any thread."""

    def invalidate(self, address: int, size: int) -> None:
        """RAM changed under the harts."""

    def flush_translations(self) -> None:
        """Page tables or CSRs changed under the harts."""

    def watch(self, address: int | None) -> None:
        """Call `on_watched` after stores to the page around an address."""

    def set_lines(self, index: int, mask: int, value: int) -> None:
        """Drive interrupt lines (mip bit positions) of a hart."""

    def set_time(self, offset: int) -> None:
        """What is added to the clock's source for mtime."""

    def share_clint(self, base: int, registers: Any) -> None:
        """Where the CLINT is, and the buffer of its registers, as `board.clint` has them."""

    def timer_due(self, index: int) -> int:
        """The mtime at which a timer may end a hart's wait; all ones if none is set."""

    def idle(self, index: int) -> bool:
        """Whether a hart waits in wfi."""

    def counts(self, index: int) -> HartCounts:
        """What a hart did since it was made."""

    def profile(self) -> Profile:
        """How instructions were executed since the machine was built."""

    def close(self) -> None:
        """End whatever works in the background; memory may go away afterwards."""

    @property
    def elapsed(self) -> int:
        """Instructions retired by all harts."""
