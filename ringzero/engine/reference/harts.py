"""The reference engine as the harts of a machine: turns of single steps in CPython."""

from __future__ import annotations

import time
from typing import Any

from ringzero.board import clint
from ringzero.engine.ports import TRAP_LOOP, Bus, HartCounts, Hooks, Memory, Profile, Stop, Why
from ringzero.engine.reference.engine import ReferenceEngine, Step
from ringzero.isa.hart import Hart
from ringzero.isa.privileged.timers import next_deadline
from ringzero.isa.privileged.trap import MTI
from ringzero.lang import u64

TURN = 100  # steps of one hart before the next one's turn


class ReferenceHarts:
    """`engine.ports.Harts` over one `ReferenceEngine` per hart."""

    def __init__(
        self,
        memory: Memory,
        bus: Bus,
        harts: int,
        *,
        deterministic: bool = False,
        parallel: bool = False,
    ) -> None:
        assert not parallel, "the reference engine runs on one thread"
        self.memory, self.bus, self.deterministic = memory, bus, deterministic
        self.engines = [ReferenceEngine(Hart(), self) for _ in range(harts)]
        self.offset, self.registers = 0, bytes([255]) * clint.SIZE
        self.stopping, self.watched = False, -1
        self.hooks = Hooks()

    def connect(self, hooks: Hooks) -> None:
        """See `engine.ports.Harts`."""
        self.hooks = hooks

    # ---- the platform that the engines run on

    def read(self, address: int, size: int) -> int | None:
        """RAM or a device."""
        if self.memory.contains(address, size):
            return int.from_bytes(self.memory.view(address, size), "little")
        return self.bus.read(address, size)

    def write(self, address: int, size: int, value: int) -> bool:
        """RAM or a device."""
        if not self.memory.contains(address, size):
            answered = self.bus.write(address, size, value)
            self.hooks.after_write()
            return answered
        self.memory.view(address, size)[:] = value.to_bytes(size, "little")
        if address >> 12 == self.watched:
            self.hooks.on_watched(address)
        return True

    def now(self) -> int:
        """mtime."""
        source = self.elapsed if self.deterministic else time.monotonic_ns()
        return (source // 100 + self.offset) & ((1 << 64) - 1)

    # ---- running

    def hart(self, index: int) -> Any:
        """A hart's architectural state."""
        return self.engines[index].hart

    def run(self, instructions: int | None = None) -> Stop:
        """Turns of all harts."""
        end = None if instructions is None else self.elapsed + instructions
        while True:
            busy = False
            for index in range(len(self.engines)):
                stop = self._turn(index, end)
                if stop is not None:
                    return stop
                busy = busy or not self.idle(index)
            if not busy:
                return Stop(Why.WAITING, 0)

    def _turn(self, index: int, end: int | None) -> Stop | None:
        engine, trapped = self.engines[index], 0
        for _ in range(TURN):
            if self.stopping:
                self.stopping = False
                return Stop(Why.STOPPED, index)
            if end is not None and self.elapsed >= end:
                return Stop(Why.LIMIT, index)
            outcome = self._step(index)
            if outcome is Step.WAITING:
                return None
            trapped = trapped + 1 if outcome is Step.TRAPPED else 0
            if trapped >= TRAP_LOOP:
                return Stop(Why.FAULT, index)
            if engine.waiting:
                return None
        return None

    def _step(self, index: int) -> Step:
        due = self.now() >= clint.deadline(self.registers, u64(index))
        self.set_lines(index, 1 << MTI, (1 << MTI) if due else 0)
        return self.engines[index].step()

    def step(self, index: int = 0) -> None:
        """One instruction, trap or interrupt."""
        self.engines[index].waiting = False
        self._step(index)

    def stop(self) -> None:
        """Ask `run` to come back."""
        self.stopping = True

    def invalidate(self, address: int, size: int) -> None:
        """Nothing is cached."""

    def flush_translations(self) -> None:
        """Nothing is cached."""

    def watch(self, address: int | None) -> None:
        """Call `on_watched` after stores to a page."""
        self.watched = -1 if address is None else address >> 12

    def set_lines(self, index: int, mask: int, value: int) -> None:
        """Drive interrupt lines of a hart."""
        hart = self.engines[index].hart
        hart.lines = type(hart.lines)((int(hart.lines) & ~mask) | (value & mask))

    def set_time(self, offset: int) -> None:
        """See `engine.ports.Harts`."""
        self.offset = offset

    def share_clint(self, base: int, registers: Any) -> None:
        """Its accesses go through the bus; the timers are looked at here."""
        self.registers = registers

    def timer_due(self, index: int) -> int:
        """The mtime at which a timer may end a hart's wait; all ones if none is set."""
        hart, mtimecmp = self.hart(index), clint.deadline(self.registers, u64(index))
        return int(next_deadline(hart, u64(self.now()), mtimecmp, hart.mie))

    def idle(self, index: int) -> bool:
        """Whether a hart waits in wfi."""
        return self.engines[index].waiting

    def counts(self, index: int) -> HartCounts:
        """What a hart did."""
        counts = self.engines[index].counts
        return HartCounts(dict(counts.retired), dict(counts.traps))

    def profile(self) -> Profile:
        """It has no slices."""
        return Profile()

    def close(self) -> None:
        """Nothing works in the background."""

    @property
    def elapsed(self) -> int:
        """Instructions retired by all harts."""
        return sum(int(engine.hart.retired) for engine in self.engines)
