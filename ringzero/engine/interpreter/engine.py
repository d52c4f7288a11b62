"""The native interpreter from Python's side: build or load it, own its memory, run its harts.

Python and native code share `Shared` and the `Core`s by ctypes views. Device accesses come back
through two callbacks; an exception in one stops the run and is raised from `run`.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ringzero.board import clint
from ringzero.engine.interpreter.machine_state import MachineState
from ringzero.engine.interpreter.native_core import NativeCore
from ringzero.engine.interpreter.threads import HartThreads
from ringzero.engine.native.code.address import code_offset, page_number
from ringzero.engine.native.state import NO_WATCH, SIDE_EXITS, Core, HotCount
from ringzero.engine.ports import TRAP_LOOP, Bus, HartCounts, Hooks, Memory, Profile, Stop, Why
from ringzero.errors import RingzeroError
from ringzero.lang import u64
from ringzero.lang.floating import default_environment
from ringzero.lang.host import view

NEVER = (1 << 64) - 1
OVERSHOOT = 2400  # a budget is looked at where code jumps: at most a page of straight code later

MODE = (
    "This process rounds or flushes floating-point numbers in an unusual way, and guests would "
    "see it: "
    "find the library that changed the processor's mode (built with -ffast-math?), or run ringzero "
    "in a process of its own."
)

_read_type = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p)
_write_type = ctypes.CFUNCTYPE(
    None, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p
)
_notify_type = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_void_p)


class _Closed:
    """The code of an engine whose memory has gone: calling any of it would end the process."""

    def __getattr__(self, name: str) -> Any:
        raise RingzeroError("The machine is closed: build another one.")


class Interpreter:
    """The harts of one machine, run by native code."""

    def __init__(
        self,
        memory: Memory,
        bus: Bus,
        harts: int,
        *,
        deterministic: bool = False,
        parallel: bool = False,
    ) -> None:
        if not default_environment():
            raise RingzeroError(MODE)
        self.code: Any = NativeCore.load()
        self.memory, self.bus, self.count = memory, bus, harts
        self.failure: BaseException | None = None
        self.hooks = Hooks()
        self._allocate(deterministic)
        self.threads = HartThreads(self, harts) if parallel else None
        memory.on_write = self.invalidate

    def _allocate(self, deterministic: bool) -> None:
        self.state = MachineState(self.memory, self.count, self.code.handlers)
        self.shared, self.cores = self.state.shared, self.state.cores
        self.shared_address = self.state.address
        self._callbacks: tuple[Any, ...] = (
            _read_type(self._read), _write_type(self._write), _notify_type(self._watched)
        )  # fmt: skip
        addresses = [ctypes.cast(f, ctypes.c_void_p).value for f in self._callbacks]
        self.shared.read_device, self.shared.write_device, self.shared.notify = addresses
        if not deterministic:
            clock = ctypes.CDLL(None).clock_gettime
            self.shared.clock = ctypes.cast(clock, ctypes.c_void_p).value
        never = b"\xff" * (clint.SIZE - clint.MTIMECMP)
        self.share_clint(0, bytearray(clint.MTIMECMP) + never)
        self.shared.clint_size = 0  # until a board has one
        for core in self.cores:
            self.code.clear_scratch(ctypes.addressof(core))

    def connect(self, hooks: Hooks) -> None:
        """See `engine.ports.Harts`."""
        self.hooks = hooks

    # ---- called from native code

    def _read(self, address: int, size: int, core: int) -> int:
        try:
            with self.bus.lock:
                value = self.bus.read(address, size)
        except BaseException as error:
            self._fail(error)
            value = 0
        if value is None:
            return 0
        view(Core).from_address(core).answered = True
        return value

    def _write(self, address: int, size: int, value: int, core: int) -> None:
        try:
            with self.bus.lock:
                answered = self.bus.write(address, size, value)
                self.hooks.after_write()
        except BaseException as error:
            self._fail(error)
            answered = True
        view(Core).from_address(core).answered = answered

    def _watched(self, address: int, core: int) -> None:
        try:
            with self.bus.lock:
                self.hooks.on_watched(address)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.stop()

    # ---- called from Python

    def hart(self, index: int) -> Any:
        """The ctypes view of a hart's architectural state."""
        return self.cores[index].hart

    def run(self, instructions: int | None = None) -> Stop:
        """Run all harts until one stops: each on its thread if they have some, else in turns.

        `instructions` limits them all together, in turns; with one hart it is exact.
        """
        if instructions is None:
            return self._run_threads(self.threads) if self.threads else self._run(NEVER)
        end = self.elapsed + instructions
        stop = Stop(Why.LIMIT, 0)
        while end - self.elapsed > OVERSHOOT and stop.why is Why.LIMIT:
            stop = self._run(end - OVERSHOOT)
        fruitless = 0  # steps in a row that retired nothing
        while self.elapsed < end and stop.why is Why.LIMIT:
            if self.count > 1:
                return self._run(end)
            before = self.elapsed
            self.step(0)
            fruitless = 0 if self.elapsed > before else fruitless + 1
            if fruitless > TRAP_LOOP:
                return Stop(Why.FAULT, 0)
            if self.idle(0):
                return Stop(Why.WAITING, 0)
            if self.shared.stop:
                self.shared.stop = 0
                return Stop(Why.STOPPED, 0)
        return stop

    def _run_threads(self, threads: HartThreads) -> Stop:
        try:
            stop = threads.run()
        finally:
            for core in self.cores:
                self._account(core)
        self._raise_failure()
        return stop

    def run_hart(self, index: int) -> None:
        """One hart, on the calling thread."""
        self.code.run_hart(ctypes.addressof(self.cores[index]))

    def between(self) -> None:
        """Nothing needs doing while harts run on their threads."""

    def _run(self, limit: int) -> Stop:
        self.shared.limit = limit
        self.code.run_harts(self.shared_address)
        self.shared.stop = 0
        self._raise_failure()
        index = self.shared.stopped
        return Stop(Why(self.cores[index].why), index)

    def _raise_failure(self) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def step(self, index: int = 0) -> None:
        """One instruction of one hart, or one trap or interrupt taken instead."""
        core = self.cores[index]
        core.stepping = True
        self.code.step_hart(ctypes.addressof(core))
        core.stepping = False
        self._account(core)
        self._raise_failure()

    def _account(self, core: Any) -> None:
        self.shared.elapsed += core.hart.retired - core.seen
        core.seen = core.hart.retired

    def stop(self) -> None:
        """Ask native code to come back, from any thread; it does within a slice.

        Where harts have threads, `serve` is asked first whether they are to.
        """
        if self.threads:
            self.threads.wake()
        if not (self.threads and self.threads.running):
            self.shared.stop = 1

    def invalidate(self, address: int, size: int) -> None:
        """Memory changed under the harts: drop what was decoded from it."""
        if size > 0:
            self.code.forget_range(self.shared_address, address - self.memory.base, size)

    def flush_translations(self) -> None:
        """Python changed page tables or CSRs that translate."""
        for core in self.cores:
            self.code.flush_all(ctypes.addressof(core))

    def watch(self, address: int | None) -> None:
        """Hear of each store to the page around an address (HTIF's tohost)."""
        page = NO_WATCH if address is None else (address - self.memory.base) >> 12
        self.shared.watched = page
        self.flush_translations()

    def set_lines(self, index: int, mask: int, value: int) -> None:
        """Drive interrupt lines (mip bit positions) of a hart."""
        core = self.cores[index]
        core.wires = (core.wires & ~mask) | (value & mask)
        if self.threads and self.threads.running:
            # the hart takes them over, now or at the end of its slice
            self.code.kick(self.shared_address, index)
        else:
            core.hart.lines = (core.hart.lines & ~mask) | (value & mask)

    def set_time(self, offset: int) -> None:
        """What is added to the clock's source for mtime."""
        if self.shared.clock_offset != offset & NEVER:
            self.shared.clock_offset = offset & NEVER
            self.kick_all()

    def share_clint(self, base: int, registers: Any) -> None:
        """Accesses to the CLINT need no Python from now on."""
        self._clint = registers
        self.shared.clint = ctypes.addressof(ctypes.c_char.from_buffer(registers))
        self.shared.clint_base, self.shared.clint_size = base, len(registers)

    def kick_all(self) -> None:
        """Harts that wait look for interrupts again."""
        for index in range(self.count):
            self.code.kick(self.shared_address, index)

    def counts(self, index: int) -> HartCounts:
        """What a hart did since it was made."""
        core = self.cores[index]
        retired = dict(enumerate(core.retired_in))
        retired[core.charged] += core.hart.retired - core.counted
        traps = {(i & 31) | (i >> 5 << 63): n for i, n in enumerate(core.traps) if n}
        entries = dict(enumerate(core.entries))
        return HartCounts({m: n for m, n in retired.items() if n}, traps, core.refills, entries)

    def timer_due(self, index: int) -> int:
        """The mtime at which a timer may end a hart's wait; all ones if none is set."""
        return int(self.code.timer_due(ctypes.addressof(self.cores[index])))

    def idle(self, index: int) -> bool:
        """Whether a hart waits in wfi."""
        return bool(self.cores[index].waiting)

    def profile(self) -> Profile:
        """How instructions were executed since the machine was built."""
        side_exits = (view(HotCount) * SIDE_EXITS).from_address(self.shared.side_exits)
        owners = (ctypes.c_uint32 * self.shared.decoded_pages).from_address(self.shared.owners)
        found: dict[int, int] = {}
        for one in side_exits:
            if one.count:
                slot = u64(one.slot)
                page, offset = owners[page_number(slot)], int(code_offset(slot))
                found[self.memory.base + page * 4096 + offset] = one.count
        return Profile(
            sum(core.slices for core in self.cores),
            sum(core.region_slices for core in self.cores),
            sum(core.side_exits for core in self.cores),
            found,
            fences=tuple(sum(core.fences[i] for core in self.cores) for i in range(4)),
            spaces=sum(core.chosen for core in self.cores),
            fresh=sum(core.claimed for core in self.cores),
            flushed_contexts=sum(core.flushed for core in self.cores),
        )

    def close(self) -> None:
        """End the harts' threads; no native code runs from now on."""
        threads, self.threads = self.threads, None
        if threads:
            threads.close()
        self.code, self._callbacks = _Closed(), ()

    @property
    def elapsed(self) -> int:
        """Instructions retired by all harts, as of their last look."""
        return int(self.shared.elapsed)
