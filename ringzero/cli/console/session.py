"""A machine and a user: the guest's console on standard output, keys to the guest, until it ends.

The machine runs on the main thread. A second thread reads standard input; what it does to the
machine is to queue bytes and to pause it, and the main thread serves what was asked for.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ringzero.cli import report
from ringzero.cli.console.keys import HELP, Command, KeyFilter
from ringzero.cli.console.panic import Panicked, PanicWatch
from ringzero.cli.console.terminal import STDIN, in_foreground, nothing, window_size
from ringzero.cli.exits import Interrupted
from ringzero.cli.views.statistics import statistics_text
from ringzero.outcome import Outcome, Paused, TimedOut

if TYPE_CHECKING:
    from ringzero.machines.base import BaseMachine

STDOUT = 1
PATIENCE = 0.2  # seconds between looks at whether the machine is to end
MOMENT = 0.002  # seconds that output waits for more
MOST_PENDING = 4096  # pieces of output that may wait


class Output:
    """The guest's console on standard output; a reader that went away is like a signal.

    Guests print byte by byte. What comes within a moment is written at once, by another thread.
    `panicked` is called when the guest's kernel says that it has.
    """

    def __init__(self, end: Callable[[int], None], panicked: Callable[[], None] = nothing) -> None:
        self.end = end
        self.panicked = panicked
        self.watch = PanicWatch()
        self.open = True
        self.pending: deque[bytes] = deque()
        self.news = threading.Event()
        self.lock = threading.Lock()  # who holds it takes what is pending, and writes it
        self.writer: threading.Thread | None = None

    def write(self, data: bytes) -> None:
        """Bytes from the guest. Called from inside the engine, so it must not raise."""
        self.pending.append(data)
        if len(self.pending) > MOST_PENDING:
            self.flush()
        elif not self.news.is_set():
            self.news.set()
            if self.writer is None:
                self.writer = threading.Thread(target=self._work, name="output", daemon=True)
                self.writer.start()

    def flush(self) -> None:
        """Write what is pending, from any thread."""
        with self.lock:
            parts = []
            while self.pending:
                parts.append(self.pending.popleft())
            data = b"".join(parts)
            self._write(data)
            stands_still = self.watch.feed(data)
        if stands_still:
            self.panicked()

    def _work(self) -> None:
        while self.news.wait():
            time.sleep(MOMENT)
            self.news.clear()
            self.flush()

    def _write(self, data: bytes) -> None:
        while data and self.open:
            try:
                # A reader that stands still must not keep a signal from ending the machine.
                if select.select([], [STDOUT], [], PATIENCE)[1]:
                    data = data[os.write(STDOUT, data) :]
            except BlockingIOError:
                continue
            except OSError:
                self.open = False
                self.end(signal.SIGPIPE)


class Session:
    """The user's side of a run; the machine is another one after each reboot.

    `memory` is what the guest was given, for advice where it panics.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.machine: BaseMachine | None = None
        self.typed = bytearray()  # while there was no machine
        # Who holds it looks at `machine`, or exchanges it; a signal's handler may do so in between.
        self.lock = threading.RLock()
        self.output = Output(self.end, self._pause)
        self.requests: deque[Command] = deque()
        self.keys = KeyFilter() if in_foreground(STDIN) else None
        self.reader: threading.Thread | None = None
        self.started = time.monotonic()
        self.signal = 0

    def run(self, machine: BaseMachine, deadline: float | None) -> Outcome | Panicked | None:
        """The machine's outcome, or None where the user ended it."""
        with self.lock:
            self.machine = machine
            machine.send(bytes(self.typed))
            self.typed.clear()
        self.resized()
        self._start_reader()
        try:
            return self._run(machine, deadline)
        finally:
            with self.lock:
                self.machine = None

    def _run(self, machine: BaseMachine, deadline: float | None) -> Outcome | Panicked | None:
        while True:
            if self.signal:
                raise Interrupted(self.signal)
            remaining = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            panic = self.output.watch.stopped()
            if remaining == 0.0 or (panic and self.alone):
                return panic or TimedOut()
            outcome = machine.run(timeout=remaining)
            self.output.flush()
            if self.signal or isinstance(outcome, TimedOut):
                continue
            if not isinstance(outcome, Paused):
                return outcome
            if panic := self.output.watch.stopped():
                report.note(f"{panic.text(self.memory)} Ctrl-A x ends the machine.")
            while self.requests:
                if self._serve(machine, self.requests.popleft()):
                    return None

    @property
    def alone(self) -> bool:
        """Whether nobody sits at a terminal, who could look at a guest that stands still."""
        return self.keys is None

    def resized(self) -> None:
        """From any thread: the guest learns how large the user's terminal is."""
        with self.lock:
            if self.machine is not None and self.keys is not None:
                self.machine.resize(*window_size(STDIN))

    def end(self, number: int) -> None:
        """From any thread: a signal asks for the end of the run."""
        self.signal = number
        self.output.open = False
        self._pause()

    def _pause(self) -> None:
        with self.lock:
            if self.machine is not None:
                self.machine.pause()

    def _serve(self, machine: BaseMachine, command: Command) -> bool:
        """Do what a key asked for; whether that ends the machine."""
        match command:
            case Command.EXIT:
                return True
            case Command.HELP:
                report.text(HELP)
            case Command.STATISTICS:
                elapsed = time.monotonic() - self.started
                report.text(statistics_text(machine.counters(), elapsed))
            case Command.DUMP:
                report.text(machine.describe())
        return False

    def _start_reader(self) -> None:
        # In the background a read from the terminal would stop the process.
        if self.reader is not None or (os.isatty(STDIN) and self.keys is None):
            return
        self.reader = threading.Thread(target=self._read, name="standard input", daemon=True)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(STDIN, 4096)
            except BlockingIOError:  # whoever has the other end of it may have made it so
                select.select([STDIN], [], [])
                continue
            except OSError:
                return
            if not data:
                return  # nothing more to say is no reason for the guest to end
            commands: list[Command] = []
            if self.keys is not None:
                data, commands = self.keys.feed(data)
            with self.lock:
                if self.machine is None:
                    self.typed += data
                elif data:
                    self.machine.send(data)
            if commands:
                self.requests.extend(commands)
                self._pause()
