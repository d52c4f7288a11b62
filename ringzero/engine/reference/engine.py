"""The reference engine: CPython runs the text of `isa/`, one instruction at a time.

It is the definition of correct, the engine to put a breakpoint into, and slow. It keeps nothing
between instructions but decoded words: every access walks the page tables afresh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, Protocol

from ringzero.isa.decode import decode
from ringzero.isa.decoded import Decoded
from ringzero.isa.hart import VIRTUAL, WAIT, Hart
from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM, Instruction
from ringzero.isa.privileged.access import fetch
from ringzero.isa.privileged.trap import (
    ILLEGAL_INSTRUCTION,
    STCE,
    VIRTUAL_INSTRUCTION,
    Trap,
    dirty_fp,
    illegal_instruction,
    interrupts_pending,
    pending_interrupt,
    require_fp,
    take_trap,
)
from ringzero.isa.registry import ILLEGAL, INSTRUCTIONS
from ringzero.lang import atomic, u32, u64


class Platform(Protocol):
    """What the engine needs of a board: physical addresses, RAM included, and the time."""

    def read(self, address: int, size: int) -> int | None:
        """The little-endian value of 1 to 8 bytes; None where nothing answers."""

    def write(self, address: int, size: int, value: int) -> bool:
        """Store 1 to 8 bytes; False where nothing answers."""

    def now(self) -> int:
        """mtime."""


class Step(Enum):
    """What one step did."""

    RETIRED = "retired"
    TRAPPED = "trapped"  # a handler was entered and nothing retired
    WAITING = "waiting"  # the hart stands in wfi


@dataclass(frozen=True, eq=False)
class Prepared:
    """A decoded word: the instruction, its operands' sources, where its result goes."""

    one: Instruction
    sources: tuple[tuple[str, Any], ...]
    destination: int  # a register number, or -1
    size: u64
    imm: u64


@dataclass
class Counts:
    """What a hart did: instructions retired by mode, and traps by cause."""

    retired: Counter[int] = field(default_factory=Counter)
    traps: Counter[int] = field(default_factory=Counter)


@lru_cache(maxsize=65536)
def prepare(word: int) -> Prepared | None:
    """Decode a word; None if it is no instruction."""
    out = Decoded()
    decode(u32(word), out)
    if out.index == ILLEGAL:
        return None
    one = INSTRUCTIONS[int(out.index)]
    sources = tuple(_source(one, name, out) for name in one.parameters)
    destination = int(out.rd) if one.destination else -1
    return Prepared(one, sources, destination, u64(out.size), out.imm)


def _source(one: Instruction, name: str, out: Decoded) -> tuple[str, Any]:
    """Where a parameter comes from: ("x", 5), ("f", 3), ("value", u64), ("hart", …), ("pc", …)."""
    if name in ("hart", "pc"):
        return name, None
    if name == "size":
        return "value", u64(out.size)
    where = one.sources[name]
    if where == "imm":
        return "value", out.imm
    number = int(getattr(out, where))
    if name in ("rs1", "rs2"):
        return "x", number
    if name in ("frs1", "frs2", "frs3"):
        return "f", number
    return "value", u64(number)  # a register's number, or an immediate that stands in its place


class ReferenceEngine:
    """Runs one hart on a platform."""

    def __init__(self, hart: Hart, platform: Platform) -> None:
        self.hart, self.platform = hart, platform
        self.counts = Counts()
        self.waiting = False
        self.on_fence: Callable[[int, int, int], None] | None = None
        hart.host = self

    # ---- running

    def run(self, limit: int) -> int:
        """Step until `limit` instructions retired or the hart waits; how many retired."""
        start = int(self.hart.retired)
        steps = 0
        while int(self.hart.retired) - start < limit and steps < 2 * limit:
            if self.step() is Step.WAITING:
                break
            steps += 1
        return int(self.hart.retired) - start

    def step(self) -> Step:
        """Take an interrupt, or execute one instruction (which may trap instead of retiring)."""
        hart = self.hart
        if self.waiting and interrupts_pending(hart) & hart.mie == 0:
            return Step.WAITING
        self.waiting = False
        if self._maybe_interrupted():
            return Step.TRAPPED
        pc, mode = hart.pc, int(hart.mode) + VIRTUAL * int(hart.virtual)
        word = 0
        try:
            word = int(fetch(hart, pc))
            self._execute(word, pc)
        except Trap:
            if hart.cause in (ILLEGAL_INSTRUCTION, VIRTUAL_INSTRUCTION):
                hart.tval = u64(word)
            self._enter(hart.cause, hart.tval, pc)
            return Step.TRAPPED
        hart.retired = hart.retired + 1
        self.counts.retired[mode] += 1
        if hart.changes & WAIT != 0:
            self.waiting = True
        hart.changes = 0
        return Step.RETIRED

    def _maybe_interrupted(self) -> bool:
        hart = self.hart
        if not int(hart.mie) & (int(hart.mip) | int(hart.lines)) and not int(hart.menvcfg) & STCE:
            return False
        cause = pending_interrupt(hart)
        if cause == 0:
            return False
        self._enter(cause, u64(0), hart.pc)
        return True

    def _enter(self, cause: u64, tval: u64, pc: u64) -> None:
        self.counts.traps[int(cause)] += 1
        take_trap(self.hart, cause, tval, pc)
        self.hart.changes = 0

    def _execute(self, word: int, pc: u64) -> None:
        hart = self.hart
        prepared = prepare(word)
        if prepared is None:
            raise illegal_instruction(hart)
        one = prepared.one
        if one.floats:
            require_fp(hart)
        arguments = [self._value(kind, what, pc) for kind, what in prepared.sources]
        following = pc + prepared.size
        if one.kind is SYSTEM:
            hart.pc = following
            self._result(prepared, one.function(*arguments))
            return
        result = one.function(*arguments)
        if one.kind is BRANCH:
            following = pc + prepared.imm if result else following
        elif one.kind is JUMP:
            result, following = result
        self._result(prepared, result)
        if one.dirties_floats:
            dirty_fp(hart)
        hart.pc = following

    def _value(self, kind: str, what: Any, pc: u64) -> Any:
        if kind == "x":
            return self.hart.x[what]
        if kind == "f":
            return self.hart.f[what]
        if kind == "value":
            return what
        return self.hart if kind == "hart" else pc

    def _result(self, prepared: Prepared, result: Any) -> None:
        if prepared.one.destination == "rd":
            if prepared.destination:
                self.hart.x[prepared.destination] = result
        elif prepared.one.destination == "frd":
            self.hart.f[prepared.destination] = result

    # ---- ports (isa/ports.py)

    def physical_read(self, hart: Hart, kind: Any, address: u64) -> tuple[u64, bool]:
        """See `ports.physical_read`."""
        value = self.platform.read(int(address), kind.bits // 8)
        return u64(value or 0), value is not None

    def physical_write(self, hart: Hart, kind: Any, address: u64, value: u64) -> bool:
        """See `ports.physical_write`."""
        mask = (1 << kind.bits) - 1
        return self.platform.write(int(address), kind.bits // 8, int(value) & mask)

    def physical_amo(
        self, hart: Hart, operation: str, kind: Any, address: u64, operand: u64
    ) -> tuple[u64, bool]:
        """See `ports.physical_amo`."""
        size = kind.bits // 8
        old = self.platform.read(int(address), size)
        if old is None:
            return u64(0), False
        cell = bytearray(old.to_bytes(size, "little"))
        atomic(operation, kind, cell, 0, kind(operand))
        new = int.from_bytes(cell, "little")
        return u64(old), self.platform.write(int(address), size, new)

    def physical_compare_exchange(
        self, hart: Hart, kind: Any, address: u64, expected: u64, value: u64
    ) -> tuple[bool, bool]:
        """See `ports.physical_compare_exchange`."""
        size, mask = kind.bits // 8, (1 << kind.bits) - 1
        old = self.platform.read(int(address), size)
        if old is None:
            return False, False
        if old != int(expected) & mask:
            return False, True
        return True, self.platform.write(int(address), size, int(value) & mask)

    def now(self, hart: Hart) -> u64:
        """See `ports.now`."""
        return u64(self.platform.now())

    def fence_translation(self, hart: Hart, address: u64, asid: u64, which: u64) -> None:
        """Nothing is cached, so nothing is forgotten; tests may listen."""
        if self.on_fence:
            self.on_fence(int(address), int(asid), int(which))


__all__ = ["Counts", "Platform", "ReferenceEngine", "Step", "prepare"]
