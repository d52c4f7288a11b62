"""Address translation step by step: which entries a walk reads, in which stage, and how it ends.

The text of `isa.paging` runs on a copy of the hart; what it reads of physical memory is recorded,
and then told apart: HS's (S's) own tables, a guest's (VS), and the G-stage's, which every access
to the guest's tables goes through. Nothing is written: A and D are set in the record only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringzero.errors import UsageError
from ringzero.isa.hart import VIRTUAL, Hart, M
from ringzero.isa.privileged.paging import (
    ADUE,
    BARE,
    PBMT,
    PPN,
    SV39,
    A,
    D,
    G,
    N,
    R,
    Translation,
    U,
    V,
    W,
    X,
    effective_mode,
    effective_virtual,
    translate_page,
    translate_span,
)
from ringzero.isa.privileged.trap import CAUSES, FETCH, LOAD, OF_GUEST, STORE, Trap
from ringzero.lang import u64
from ringzero.machines.inspect import copy_of

if TYPE_CHECKING:
    from ringzero.machines.riscv import Machine

ACCESSES = {"fetch": FETCH, "load": LOAD, "store": STORE}
MODES = {"U": 0, "S": 1, "M": 3, "VU": VIRTUAL, "VS": VIRTUAL + 1}
MODE_NAMES = {number: name for name, number in MODES.items()}
FORMATS = {BARE: "Bare", SV39: "Sv39", SV39 + 1: "Sv48", SV39 + 2: "Sv57"}
OWN, GUEST, SECOND = "S", "VS", "G"  # stages
LETTERS = ((V, "V"), (R, "R"), (W, "W"), (X, "X"), (U, "U"), (G, "G"), (A, "A"), (D, "D"))

Read = Callable[[int, int], int | None]  # (physical address, bytes) -> value, None for nothing


@dataclass(frozen=True)
class Entry:
    """One page table entry that a walk read."""

    stage: str
    level: int
    address: int  # in the address space of the stage's tables: guest physical for VS
    physical: int
    value: int
    target: int  # what the stage translates: a virtual address, or a guest physical one

    @property
    def leaf(self) -> bool:
        """Whether the walk of this stage ends here."""
        return self.value & V == 0 or self.value & (R | W | X) != 0

    @property
    def flags(self) -> str:
        """The entry's flags as letters, a dash where one is clear."""
        letters = "".join(letter if self.value & bit else "-" for bit, letter in LETTERS)
        more = [name for bit, name in ((N, "napot"), (PBMT, "pbmt")) if self.value & bit]
        return " ".join([letters, *more])


@dataclass(frozen=True)
class Fault:
    """The exception that the access raises."""

    cause: int
    tval: int
    guest_physical: int | None  # of a guest-page fault

    def __str__(self) -> str:
        where = f" for guest physical {self.guest_physical:#x}" if self.guest_physical else ""
        return f"{CAUSES[self.cause]} (cause {self.cause}) at {self.tval:#x}{where}"


@dataclass(frozen=True)
class Walk:
    """A translation: what it read, and the physical address or the fault it came to."""

    address: int
    access: str
    mode: str
    formats: tuple[str, ...]
    entries: tuple[Entry, ...]
    physical: int | None
    permissions: str
    fault: Fault | None

    def __str__(self) -> str:
        stages = " over ".join(self.formats)
        lines = [f"{self.access} of {self.address:#x} in {self.mode}-mode, {stages}"]
        lines += [f"  {number:2} {_told(e)}" for number, e in enumerate(self.entries, start=1)]
        if self.fault is not None:
            return "\n".join([*lines, f"  => {self.fault}"])
        return "\n".join([*lines, f"  => physical {self.physical:#x}, page {self.permissions}"])


def _told(entry: Entry) -> str:
    indent = "    " if entry.stage == SECOND else ""
    place = f"{entry.address:#x}"
    if entry.physical != entry.address:
        place += f" (at {entry.physical:#x})"
    known = f"{indent}{entry.stage:2} level {entry.level} of {entry.target:#x}: {place}"
    to = f"-> {(entry.value & PPN) << 2:#x}" if entry.value & V else "invalid"
    return f"{known} = {entry.value:#018x} {entry.flags} {to}"


class _Recorder:
    """The ports that a walk needs: memory to read, and a record instead of writes."""

    def __init__(self, read: Read) -> None:
        self.memory = read
        self.reads: list[tuple[int, int]] = []

    def physical_read(self, hart: Hart, kind: Any, address: u64) -> tuple[u64, bool]:
        value = self.memory(int(address), kind.bits // 8)
        self.reads.append((int(address), value or 0))
        return u64(value or 0), value is not None

    def physical_compare_exchange(
        self, hart: Hart, kind: Any, address: u64, expected: u64, value: u64
    ) -> tuple[bool, bool]:
        return True, self.memory(int(address), kind.bits // 8) is not None


def walk(state: Any, read: Read, address: int, access: str = "load", mode: str = "") -> Walk:
    """Translate as a hart would now, or in another mode (U, S, VU, VS)."""
    if access not in ACCESSES:
        raise UsageError(f"There is no access {access!r}: choose {', '.join(ACCESSES)}.")
    if mode and mode not in MODES:
        raise UsageError(f"There is no mode {mode!r}: choose {', '.join(MODES)}.")
    hart = copy_of(state)
    if mode:
        hart.mode, hart.virtual = u64(MODES[mode] & 3), u64(MODES[mode] // VIRTUAL)
    kind = ACCESSES[access]
    recorder = _Recorder(read)
    hart.host = recorder
    physical, fault, permissions = _translated(hart, address, kind)
    virtual = bool(effective_virtual(hart, kind))
    used = int(effective_mode(hart, kind))
    name = MODE_NAMES[used + VIRTUAL * virtual] if used != M else "M"
    roots = _roots(hart, used, virtual)
    entries = tuple(_Sorter(hart, roots, kind, virtual, address).entries(recorder.reads))
    formats = tuple(FORMATS[root >> 60] + suffix for root, suffix in roots)
    return Walk(address, access, name, formats, entries, physical, permissions, fault)


def walk_in(
    machine: Machine, address: int, access: str = "load", mode: str = "", hart: int = 0
) -> Walk:
    """The same for a hart of a machine that is not running."""

    def read(where: int, size: int) -> int | None:
        if not machine.memory.contains(where, size):
            return None
        return int.from_bytes(machine.memory.read(where, size), "little")

    return walk(machine.harts.hart(hart), read, address, access, mode)


def _translated(hart: Hart, address: int, kind: int) -> tuple[int | None, Fault | None, str]:
    """Where the access arrives, its fault, and what the page permits."""
    try:
        physical = int(translate_span(hart, u64(address), kind, u64(1)))
        host, hart.host = hart.host, _Recorder(hart.host.memory)
        page = Translation()
        translate_page(hart, u64(address), kind, page)
        hart.host = host
        allowed = int(page.permissions)
        return physical, None, "".join(c if allowed >> i & 1 else "-" for i, c in enumerate("rwx"))
    except Trap:
        cause = int(hart.cause)
        guest = int(hart.tval2) << 2 if OF_GUEST >> cause & 1 else None
        return None, Fault(cause, int(hart.tval), guest), ""


def _roots(hart: Hart, mode: int, virtual: bool) -> list[tuple[int, str]]:
    """The registers that translate, first stage first, with what their formats' names end in."""
    if mode == M:
        return [(0, "")]
    if virtual:
        return [(int(hart.vsatp), ""), (int(hart.hgatp), "x4" if hart.hgatp >> 60 != BARE else "")]
    return [(int(hart.satp), "")]


class _Sorter:
    """Tells the stages of a walk's reads apart: each stage reads until its leaf."""

    def __init__(
        self, hart: Hart, roots: list[tuple[int, str]], kind: int, virtual: bool, address: int
    ) -> None:
        self.first, self.second = roots[0][0], roots[1][0] if virtual else 0
        self.virtual, self.address = virtual, address
        self.updates = int(hart.menvcfg) & int(hart.henvcfg) & ADUE != 0
        self.needed = A | D if kind == STORE else A

    def entries(self, reads: list[tuple[int, int]]) -> Iterator[Entry]:
        """The entries in the order of the reads."""
        self.reads = iter(reads)
        yield from self._first_stage()

    def _first_stage(self) -> Iterator[Entry]:
        target = self.address
        if self.first >> 60 != BARE:
            level, table = (self.first >> 60) - SV39 + 2, (self.first & (1 << 44) - 1) << 12
            while True:
                where = table + (target >> (level * 9 + 12) & 511) * 8
                yield from self._second_stage(where)
                read = next(self.reads, None)
                if read is None:
                    return
                stage = GUEST if self.virtual else OWN
                entry = Entry(stage, level, where, read[0], read[1], target)
                yield entry
                if entry.leaf or level == 0:
                    break
                level, table = level - 1, (entry.value & PPN) << 2
            if self.updates and entry.value & self.needed != self.needed:
                yield from self._second_stage(where)  # once more, to write A and D
            span = 16 if entry.value & N else level * 9 + 12
            target = (entry.value & PPN) << 2 >> span << span | target & (1 << span) - 1
        yield from self._second_stage(target)

    def _second_stage(self, target: int) -> Iterator[Entry]:
        if self.second >> 60 == BARE:
            return
        level, table = (self.second >> 60) - SV39 + 2, (self.second & (1 << 44) - 1) << 12
        indices = 2047
        while True:
            read = next(self.reads, None)
            if read is None:
                return
            where = table + (target >> (level * 9 + 12) & indices) * 8
            entry = Entry(SECOND, level, where, read[0], read[1], target)
            yield entry
            if entry.leaf or level == 0:
                return
            level, table, indices = level - 1, (entry.value & PPN) << 2, 511
