"""A machine and a user: the guest's console on standard output, keys to the guest, until it ends.

The machine runs on the main thread. A second thread reads standard input; what it does to the
machine is to queue bytes and to pause it, and the main thread serves what was asked for.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from typing import Protocol

from ringzero.api import Machine, Outcome, Paused, TimedOut
from ringzero.cli import report
from ringzero.cli.exits import Interrupted
from ringzero.cli.keys import HELP, Command, KeyFilter
from ringzero.cli.statistics import registers_text, statistics_text
from ringzero.cli.terminal import in_foreground

STDIN, STDOUT = 0, 1


class Pausable(Protocol):
    """What the output needs of a machine: to be stopped soon."""

    def pause(self) -> None: ...


class Output:
    """The guest's console on standard output; a reader that went away ends the machine."""

    def __init__(self) -> None:
        self.machine: Pausable | None = None
        self.broken = False

    def write(self, data: bytes) -> None:
        """Bytes from the guest. Called from inside the engine, so it must not raise."""
        while data and not self.broken:
            try:
                data = data[os.write(STDOUT, data) :]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:
                self.broken = True
                if self.machine is not None:
                    self.machine.pause()


class Session:
    """Runs a machine with the user's terminal until the machine ends or the user ends it."""

    def __init__(self, machine: Machine, output: Output) -> None:
        self.machine = machine
        self.output = output
        self.requests: deque[Command] = deque()
        self.keys = KeyFilter() if in_foreground(STDIN) else None
        self.started = time.monotonic()
        output.machine = machine

    def run(self, deadline: float | None) -> Outcome | None:
        """The machine's outcome, or None where the user ended it."""
        self._start_reader()
        while True:
            remaining = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if remaining == 0.0:
                return TimedOut()
            outcome = self.machine.run(timeout=remaining)
            if self.output.broken:
                raise Interrupted(signal.SIGPIPE)
            if not isinstance(outcome, Paused):
                return outcome
            while self.requests:
                if self._serve(self.requests.popleft()):
                    return None

    def _serve(self, command: Command) -> bool:
        """Do what a key asked for; whether that ends the machine."""
        match command:
            case Command.EXIT:
                return True
            case Command.HELP:
                report.text(HELP)
            case Command.STATISTICS:
                elapsed = time.monotonic() - self.started
                report.text(statistics_text(self.machine.counters(), elapsed))
            case Command.DUMP:
                report.text(registers_text(self.machine))
        return False

    def _start_reader(self) -> None:
        # In the background a read from the terminal would stop the process.
        if os.isatty(STDIN) and self.keys is None:
            return
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(STDIN, 4096)
            except OSError:
                return
            if not data:
                return  # nothing more to say is no reason for the guest to end
            commands: list[Command] = []
            if self.keys is not None:
                data, commands = self.keys.feed(data)
            if data:
                self.machine.send(data)
            if commands:
                self.requests.extend(commands)
                self.machine.pause()
