"""Harts on threads of their own: each runs, and waits, in native code without Python's lock.

`HartThreads.run` starts them and serves the machine from the calling thread meanwhile: devices'
work, regions to install. When it comes back, all harts are at rest, whatever the reason was.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from typing import Any, Protocol

from ringzero.engine.ports import Hooks, Stop, Why

MASK = (1 << 64) - 1
LONGEST = 1.0  # seconds: the serving thread looks around at least this often
FUTEX = {"x86_64": 202}  # the system call's number; other architectures of Linux agree on theirs
COMMON_FUTEX = 98


class Owner(Protocol):
    """The engine whose harts these are."""

    shared: Any
    cores: list[Any]
    failure: BaseException | None
    hooks: Hooks

    def run_hart(self, index: int) -> None:
        """Native code, until the hart is asked to come back, or cannot go on."""

    def kick_all(self) -> None:
        """Harts that wait look around."""

    def between(self) -> None:
        """What the engine has to do from time to time."""


class HartThreads:
    """A thread for each hart; they stand still between two runs."""

    def __init__(self, owner: Owner, count: int) -> None:
        self.owner, self.count = owner, count
        self.attention = threading.Event()
        self.ended: Stop | None = None
        self.running = False
        self._closed = False
        self._round = self._busy = 0
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    # ---- the thread that runs the machine

    def run(self) -> Stop:
        """Let all harts run until one ends it, or `Hooks.serve` says to come back."""
        self.ended = None
        self._start()
        try:
            while self.ended is None and self.owner.failure is None:
                self.attention.wait(LONGEST)
                self.attention.clear()
                self.owner.between()
                if not self.owner.hooks.serve():
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
        self.owner.kick_all()
        with self._changed:
            while self._busy:
                self._changed.wait()
        self.owner.shared.parallel = 0
        self.owner.shared.stop = 0

    # ---- from any thread

    def wake(self) -> None:
        """Something is to be served, or to be ended."""
        self.attention.set()

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
        core = self.owner.cores[index]
        while self.running:
            self.owner.run_hart(index)
            if core.why == Why.FAULT:
                self.ended = Stop(Why.FAULT, index)
                self.wake()
                return


def yield_address() -> int:
    """The host's sched_yield, for native code that waits for another thread."""
    return _address("sched_yield")


def system_call_address() -> int:
    """The host's syscall, for native code that sleeps and wakes."""
    return _address("syscall")


def futex_number() -> int:
    """futex(2)'s number on this host."""
    return FUTEX.get(platform.machine(), COMMON_FUTEX)


def _address(name: str) -> int:
    return int(ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0)
