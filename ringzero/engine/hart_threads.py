"""Harts on threads of their own: each runs native code, without Python's lock, until it waits.

`HartThreads.run` starts them and serves the machine from the calling thread meanwhile: devices'
news, regions to install. When it comes back all harts are at rest, wherever the reason came from.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ringzero.engine.core import FAULT, WAITING
from ringzero.engine.ports import Stop, Why

STCE = 63  # menvcfg, henvcfg
MTIE, STIE, VSTIE = 1 << 7, 1 << 5, 1 << 6  # mie
MASK = (1 << 64) - 1
FREQUENCY = 10_000_000
LONGEST = 1.0  # seconds: a waiting thread looks around at least this often


class Owner(Protocol):
    """The engine whose harts these are."""

    shared: Any
    cores: list[Any]
    failure: BaseException | None
    serve: Callable[[], bool]

    def run_hart(self, index: int) -> None:
        """Native code, until the hart waits or is asked to come back."""

    def between(self) -> None:
        """What the engine has to do from time to time."""


class HartThreads:
    """A thread for each hart; they stand still between two runs."""

    def __init__(self, owner: Owner, count: int) -> None:
        self.owner, self.count = owner, count
        self.news = threading.Event()
        self.bells = [threading.Event() for _ in range(count)]
        self.ended: Stop | None = None
        self.running = False
        self._closed = False
        self._round = self._busy = 0
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    # ---- the thread that runs the machine

    def run(self) -> Stop:
        """Let all harts run until one ends it, or `Owner.serve` says to come back."""
        self.ended = None
        self._start()
        try:
            while self.ended is None and self.owner.failure is None:
                self.news.wait(LONGEST)
                self.news.clear()
                self.owner.between()
                if not self.owner.serve():
                    break
        finally:
            self._halt()
        return self.ended or Stop(Why.STOPPED, 0)

    def _start(self) -> None:
        if not self._threads:
            for index in range(self.count):
                name = f"hart {index}"
                thread = threading.Thread(target=self._live, args=(index,), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self.owner.shared.stop, self.owner.shared.limit = 0, MASK
        self.owner.shared.parallel = 1
        with self._changed:
            self.running, self._busy = True, self.count
            self._round += 1
            self._changed.notify_all()

    def _halt(self) -> None:
        self.owner.shared.stop = 1
        self.running = False
        for bell in self.bells:
            bell.set()
        with self._changed:
            while self._busy:
                self._changed.wait()
        self.owner.shared.parallel = 0
        self.owner.shared.stop = 0

    # ---- from any thread

    def wake(self) -> None:
        """Something is to be served, or to be ended."""
        self.news.set()

    def ring(self, index: int) -> None:
        """A hart's interrupt lines or deadlines changed: it may wait no more."""
        self.bells[index].set()

    def close(self) -> None:
        """End the threads, which stand still."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # ---- the harts' threads

    def _live(self, index: int) -> None:
        seen = 0
        while True:
            with self._changed:
                while self._round == seen and not self._closed:
                    self._changed.wait()
                seen = self._round
                if self._closed:
                    return
            try:
                self._run(index)
            except BaseException as error:
                self.owner.failure = self.owner.failure or error
                self.wake()
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _run(self, index: int) -> None:
        core, bell = self.owner.cores[index], self.bells[index]
        while self.running:
            bell.clear()
            if not self.running:
                return
            self.owner.run_hart(index)
            if core.why == FAULT:
                self.ended = Stop(Why.FAULT, index)
                self.wake()
                return
            if core.why == WAITING and self.running:
                bell.wait(self._until_due(core))

    def _until_due(self, core: Any) -> float:
        """Seconds until a timer of the hart that may interrupt it is due."""
        hart, due = core.hart, []
        if hart.mie & MTIE:
            due.append(core.mtimecmp)
        if hart.menvcfg >> STCE:
            if hart.mie & STIE:
                due.append(hart.stimecmp)
            if hart.henvcfg >> STCE and hart.mie & VSTIE:
                due.append((hart.vstimecmp - hart.htimedelta) & MASK)
        now = (time.monotonic_ns() // 100 + self.owner.shared.clock_offset) & MASK
        left = [(each - now) / FREQUENCY for each in due]
        return max(0.0, min([*left, LONGEST]))


def yield_address() -> int:
    """The host's sched_yield, for native code that waits for another thread."""
    function = ctypes.CDLL(None).sched_yield
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)
