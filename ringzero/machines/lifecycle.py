"""The life of a machine: at rest, running, closed; and which thread and process may do what.

A run takes place on a thread of its own, while the thread that called `run` waits. Python runs
handlers of signals on the main thread only, between two of its bytecodes: were that thread inside
native code, Ctrl-C would wait for the guest, and were it inside a device, the exception would be
lost in native code or tear the device's state. Waiting, it can be interrupted at any time, and it
is the one that knows how long the run may take.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from ringzero.errors import UsageError
from ringzero.machines.console import Console
from ringzero.outcome import Outcome

NAME = "ringzero run"  # of the threads
REST = 0.001  # seconds between two looks at whether a run that is called off has come back
LOOK = 0.02  # seconds between two looks at what ends a run besides the guest
SIGNALS = 0.05
"""Seconds between two looks at signals. The kernel may give one to the process when the thread that
runs handlers is about to wait: then nothing wakes it."""
GRACE = 2.0  # seconds that the end of the process waits for a run to come to rest


class Run:
    """One call of `run`: its limits, and whether it is called off."""

    def __init__(self, timeout: float | None = None, instructions: int | None = None) -> None:
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.instructions = instructions
        self.off = self.begun = False
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    @property
    def left(self) -> float | None:
        """Seconds until the time is up; None where it never is."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


class Lifecycle:
    """At rest, running or closed; `wake` makes what runs the guest look around soon."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.closed = False
        self.failure: BaseException | None = None  # of the user's console, until `run` raises it
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._run: Run | None = None
        self.ending = False  # whoever uses it is to come back for good
        self._held = ""  # what a thread does with the machine at rest, alone
        self._calling: set[int] = set()  # threads that are inside the user's console

    # ---- who may do what

    @property
    def running(self) -> bool:
        """Whether a run is under way here, or something for which there must be none."""
        run = self._run
        busy = bool(self._held) or (run is not None and not run.done.is_set())
        return busy and os.getpid() == self._process

    @property
    def inside(self) -> bool:
        """Whether the calling thread comes from the user's console, for which the guest waits."""
        return threading.get_ident() in self._calling

    def check_usable(self) -> None:
        """Refuse a machine that is closed, or another process's."""
        if self.closed:
            raise UsageError("The machine is closed: build another one.")
        if os.getpid() != self._process:
            raise UsageError(
                "This process was forked from the one that built the machine, whose threads and "
                "memory are not here: build another machine, or fork before that."
            )

    def check_at_rest(self, doing: str) -> None:
        """Refuse what cannot be done while the guest runs."""
        self.check_usable()
        if self.running:
            raise UsageError(
                f"The machine is running{self._held and f' ({self._held})'}: `{doing}` is for one "
                "at rest, so `pause` it and wait until `run` has come back."
            )

    @contextmanager
    def hold(self, doing: str) -> Iterator[None]:
        """The machine at rest, for the calling thread alone: no run begins meanwhile."""
        self.check_usable()
        with self._lock:
            self.check_at_rest(doing)
            self._held = f"{doing} on another thread, or around the console's write"
        try:
            yield
        finally:
            self._held = ""

    def check_still(self, doing: str) -> None:
        """The same, but the guest also stands still while it waits for the user's console."""
        if not self.inside:
            self.check_at_rest(doing)
        else:
            self.check_usable()

    # ---- running

    def run(
        self,
        run: Run,
        work: Callable[[Run], Outcome | None],
        until: Callable[[], bool] | None = None,
    ) -> Outcome | None:
        """Do `work` on another thread until it comes back; None where `until` called it off."""
        try:
            self._begin(run, work)
            self._supervise(run, until)
        except BaseException:
            self._call_off(run)  # a handler of a signal has raised something
            raise
        self.raise_failure()
        error, run.error = run.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # or its traceback would hold itself, and with it the machine
        return run.outcome

    def _begin(self, run: Run, work: Callable[[Run], Outcome | None]) -> None:
        self.check_usable()  # first: in a forked process somebody may hold the lock for ever
        with self._lock:
            self.check_usable()
            if self.ending:
                raise UsageError("The machine is being closed: build another one.")
            if self.running:
                raise UsageError(
                    "The machine is running already: `pause` that run and wait until it has come "
                    "back, or build a second machine."
                )
            self._run, self.failure = run, None
            run.thread = threading.Thread(target=_do, args=(run, work), name=NAME, daemon=True)
            run.thread.start()

    def _supervise(self, run: Run, until: Callable[[], bool] | None) -> None:
        while not run.done.wait(self._patience(run, until)):
            if until is not None and until():
                run.off = True
            if run.off or run.left == 0.0:
                self.wake()
        if run.thread is not None:
            run.thread.join()

    def _patience(self, run: Run, until: Callable[[], bool] | None) -> float:
        left = run.left
        look = LOOK if run.off or left == 0.0 or until is not None else SIGNALS
        return look if not left else min(look, left)

    def _call_off(self, run: Run) -> None:
        """Wait until the guest stands still. Who interrupts that too will not wait any longer."""
        run.off = True
        if not run.begun:
            run.done.set()  # its thread will see that it is off
        while not run.done.wait(LOOK):
            self.wake()

    # ---- the user's console

    def relay(self, console: Console) -> Callable[[bytes], None]:
        """What devices write to: the console, whose exceptions end the run and pass no device."""

        def write(data: bytes) -> None:
            thread = threading.get_ident()
            self._calling.add(thread)
            try:
                console.write(data)
            except BaseException as error:
                self.fail(error)
            finally:
                self._calling.discard(thread)
                if os.getpid() != self._process:
                    _leave()

        return write

    def fail(self, error: BaseException) -> None:
        """Let `run` come back and raise this."""
        self.failure = self.failure or error
        if self._run is not None:
            self._run.off = True
        self.wake()

    def raise_failure(self) -> None:
        """What the console raised meanwhile."""
        failure, self.failure = self.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    # ---- the end

    def rest(self, patience: float | None = None) -> bool:
        """Call a run off for good, and wait for that; whether the machine is at rest."""
        self.ending = True  # or a thread that runs it again and again would never let go
        end = None if patience is None else time.monotonic() + patience
        while self.running and (end is None or time.monotonic() < end):
            if self._run is not None:
                self._run.off = True
            self.wake()
            time.sleep(REST)
        return not self.running

    def close(self, doing: str) -> bool:
        """Let nobody use it any more; whether somebody could. Refused while it runs."""
        if os.getpid() != self._process:
            before, self.closed = self.closed, True
            return not before
        with self._lock:
            if not self.closed:
                self.check_at_rest(doing)
            before, self.closed = self.closed, True
        return not before


def _do(run: Run, work: Callable[[Run], Outcome | None]) -> None:
    """A run's thread."""
    run.begun = True
    try:
        if not run.off:
            run.outcome = work(run)
    except BaseException as error:
        run.error = error
    finally:
        del work  # or this frame would keep the machine until the thread has gone
        run.done.set()


def _leave() -> None:
    """End a process that was forked in the console's `write`, and that came back from there.

    Its parent's guest waits in native code below this frame, with code and locks that both share:
    there is no way back into it.
    """
    error = sys.exc_info()[1]
    sys.stderr.write(
        "A process that was forked inside the console's `write` has returned from it, where only "
        "its parent's guest goes on: end it with os._exit, or fork elsewhere.\n"
    )
    sys.stderr.flush()
    os._exit(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 125)


class Resources:
    """What a machine has to give back: each once, the last that came first.

    In a process that was forked the machine's threads are not there, and locks that they held are
    held for ever: what would end them is left out.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._host, self._files = ExitStack(), ExitStack()

    def file(self, close: Callable[[], object]) -> None:
        """A file, which is given back even where the process ends at once."""
        self._files.callback(close)

    def memory(self, close: Callable[[], object]) -> None:
        """Memory, which the host takes back by itself at a process's end."""
        self._host.callback(close)

    def threads(self, close: Callable[[], object]) -> None:
        """Threads, which are those of the process that built the machine."""
        self._host.callback(lambda: close() if self.ours else None)

    @property
    def ours(self) -> bool:
        """Whether this is the process that built the machine."""
        return os.getpid() == self._process

    def close(self) -> None:
        """Close what was opened and end the threads, in the order of these lists."""
        with self._files:
            self._host.close()

    def close_files(self) -> None:
        """Close the files and end no thread: these are another process's."""
        self._files.close()
