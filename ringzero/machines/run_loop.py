"""Runs the harts of a RISC-V board: turns, news of devices, the time, and how a run ends.

The loop is made before the board and the harts that it runs, for both call it: the board where the
guest ends the machine or a device has news, the harts where they have served a device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ringzero.board.addresses import TIMEBASE
from ringzero.engine.ports import Harts, Stop, Why
from ringzero.isa.hart import VIRTUAL
from ringzero.machine.clock import Clock
from ringzero.machine.memory import GuestMemory
from ringzero.machine.virt import NEVER, VirtBoard
from ringzero.machines.inspect import MODES, instruction_at
from ringzero.machines.lifecycle import Run
from ringzero.outcome import Ending, Halted, Outcome, Paused, TimedOut

LONGEST_SLEEP = 1.0  # seconds; a waiting machine looks at its clock at least this often


@dataclass(frozen=True)
class Parts:
    """A machine, ready for its first instruction."""

    memory: GuestMemory
    clock: Clock
    board: VirtBoard
    harts: Harts
    feed: Callable[[bytes], None]  # console input
    resize: Callable[[int, int], None]  # the console's terminal: columns, rows
    parallel: bool  # each hart on a thread of its own
    stands_still: bool  # guest time, while the machine does not run


class RunLoop:
    """What runs a machine's harts."""

    def __init__(self) -> None:
        self.ended: Ending | None = None
        self.pausing = False
        self._parts: Parts | None = None
        self._run: Run | None = None
        self._woken = threading.Event()

    # ---- what board and harts call

    def stop(self, ending: Ending) -> None:
        """The guest ends its machine."""
        self.ended = self.ended or ending
        self.wake()

    def wake(self) -> None:
        """Something is to be looked at soon; from any thread."""
        self._woken.set()
        if self._parts is not None:
            self._parts.harts.stop()

    def set_lines(self, hart: int, mask: int, value: int) -> None:
        """The board's interrupt lines reach the harts, once there are any."""
        if self._parts is not None:
            self._parts.harts.set_lines(hart, mask, value)

    @property
    def elapsed(self) -> int:
        """Instructions retired by all harts."""
        return 0 if self._parts is None else self._parts.harts.elapsed

    def set_time(self) -> None:
        """A store may have changed mtime: native code adds the difference by itself."""
        if self._parts is not None:
            self._parts.harts.set_time(self._parts.clock.offset)

    def poll_htif(self, address: int) -> None:
        """A store to the page of `tohost`."""
        if self._parts is not None and self._parts.board.htif is not None:
            self._parts.board.htif.poll()

    def serve(self) -> bool:
        """While harts run on threads of their own: whether they may go on."""
        self._tend(self.parts)
        run = self._run
        over = run is None or run.off or run.left == 0.0
        return self.ended is None and not self.pausing and not over

    # ---- running

    @property
    def parts(self) -> Parts:
        """What it runs."""
        assert self._parts is not None, "the machine is not put together yet"
        return self._parts

    def attach(self, parts: Parts) -> None:
        """Run these from now on."""
        self._parts = parts
        if parts.board.htif is not None:
            parts.harts.watch(parts.board.htif.tohost)
        if parts.stands_still:
            parts.clock.pause()
        self.set_time()

    def detach(self) -> None:
        """The machine is closed: what still calls from other threads reaches nothing."""
        self._parts = None

    def go(self, run: Run) -> Outcome | None:
        """Run until the guest ends, or a limit is reached; None where the run is called off."""
        self._run = run
        self.parts.clock.resume()
        try:
            return self._go(self.parts, run)
        finally:
            self._run = None
            if self.parts.stands_still:
                self.parts.clock.pause()

    def _go(self, parts: Parts, run: Run) -> Outcome | None:
        harts = parts.harts
        end = None if run.instructions is None else harts.elapsed + run.instructions
        while True:
            self._tend(parts)
            remaining = None if end is None else end - harts.elapsed
            if (outcome := self._over(run, remaining)) is not None or run.off:
                return outcome
            stop = harts.run(remaining)
            if stop.why is Why.FAULT and self.ended is None:
                return self._halted("The trap handler itself traps, without end", stop)
            if stop.why is Why.WAITING:
                self._sleep(parts, run)

    def _over(self, run: Run, remaining: int | None) -> Outcome | None:
        """How the run has ended, if it has."""
        if self.ended is not None:
            return self.ended
        if self.pausing:
            self.pausing = False
            return Paused()
        if run.left == 0.0 or (remaining is not None and remaining <= 0):
            return TimedOut()
        return None

    def step(self, hart: int) -> None:
        """One instruction of a hart, or a trap or interrupt taken."""
        self.parts.clock.resume()
        try:
            self._tend(self.parts)
            self.parts.harts.step(hart)
        finally:
            if self.parts.stands_still:
                self.parts.clock.pause()

    def _tend(self, parts: Parts) -> None:
        """Take devices' news, and tell the harts the time."""
        self._woken.clear()
        with parts.board.bus.lock:
            parts.board.tick()
            self.set_time()

    def _sleep(self, parts: Parts, run: Run) -> None:
        """All harts wait: until the next deadline or news."""
        timers = map(parts.harts.timer_due, range(parts.board.cpus))
        due = min(parts.board.deadline(), *timers)
        if due != NEVER and parts.clock.skip_to(due):
            return
        until = LONGEST_SLEEP if due == NEVER else (due - parts.clock.now()) / TIMEBASE
        if run.left is not None:
            until = min(until, run.left)
        self._woken.wait(max(0.0, min(until, LONGEST_SLEEP)))

    def _halted(self, reason: str, stop: Stop) -> Halted:
        hart = self.parts.harts.hart(stop.hart)
        pc, mode = int(hart.pc), MODES[int(hart.mode) + VIRTUAL * int(hart.virtual)]
        word, text = instruction_at(self.parts.memory, pc)
        return Halted(reason, stop.hart, pc, mode, word, text)
