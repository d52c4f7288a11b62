"""The user's terminal while a guest owns it: raw, and always given back as it was.

Raw only where standard input is a terminal and this process is in its foreground; in the background
a write to the terminal's settings would stop the process, and input is somebody else's.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any

STDIN = 0
INPUT, CONTROL, LOCAL, CHARACTERS = 0, 2, 3, 6
"""Places in what `tcgetattr` gives: c_iflag, c_cflag, c_lflag, c_cc."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
WATCHED = (*ENDING, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)


def nothing() -> None:
    """Who does not care for the window's size."""


def in_foreground(descriptor: int) -> bool:
    """Whether `descriptor` is a terminal and this process may read from it."""
    try:
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


def window_size(descriptor: int) -> tuple[int, int]:
    """Columns and rows of a terminal; zeroes where they are unknown."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
        return columns, rows
    except OSError:
        return 0, 0


class Terminal:
    """One terminal's settings: as they were, and raw."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.saved: list[Any] | None = None
        self.closed = False
        self.lock = threading.Lock()

    def make_raw(self) -> None:
        """Every key goes to the guest, Ctrl-C and Ctrl-Z too; output keeps its line ends."""
        with self.lock:
            if not self.closed and in_foreground(self.descriptor):
                self._make_raw()

    def _make_raw(self) -> None:
        settings = termios.tcgetattr(self.descriptor)
        if self.saved is None:
            self.saved = [*settings[:CHARACTERS], list(settings[CHARACTERS])]
        settings[INPUT] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        settings[LOCAL] &= ~(
            termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
        )
        settings[CONTROL] = settings[CONTROL] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        settings[CHARACTERS][termios.VMIN] = 1
        settings[CHARACTERS][termios.VTIME] = 0
        termios.tcsetattr(self.descriptor, termios.TCSANOW, settings)

    def close(self) -> None:
        """Back to what it was for good, whatever another thread is about to do."""
        with self.lock:
            self.closed = True
            self.restore()

    def restore(self) -> None:
        """Back to what it was; again and again without harm."""
        if self.saved is not None and in_foreground(self.descriptor):
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self.saved)


@contextlib.contextmanager
def raw(
    descriptor: int, ended: Callable[[int], None], resized: Callable[[], None] = nothing
) -> Iterator[Terminal]:
    """A raw terminal inside, and the old one after: at any exit, on signals, and while stopped.

    `ended` is called, on another thread, with the number of a signal that asks this process to end,
    and `resized` when the window has another size. The main thread may be in native code for long,
    where no Python handler would run.
    """
    terminal = Terminal(descriptor)
    atexit.register(terminal.close)

    def arrived(number: int) -> None:
        if number == signal.SIGTSTP:
            terminal.restore()
            os.kill(os.getpid(), signal.SIGSTOP)  # the shell sees a stopped job; SIGCONT follows
        elif number == signal.SIGCONT:
            terminal.make_raw()
            resized()  # it may have happened while the process was stopped
        elif number == signal.SIGWINCH:
            resized()
        else:
            ended(number)

    try:
        with _signals(arrived):
            terminal.make_raw()
            yield terminal
    finally:
        terminal.close()
        atexit.unregister(terminal.close)


@contextlib.contextmanager
def _signals(arrived: Callable[[int], None]) -> Iterator[None]:
    """Call `arrived` on a thread of its own for each signal that came."""
    # What is ignored (`nohup`, a shell's background job) stays ignored.
    caught = [number for number in WATCHED if signal.getsignal(number) is not signal.SIG_IGN]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    thread = threading.Thread(target=_watch, args=(reader, arrived), name="signals", daemon=True)
    thread.start()
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    # The handler itself has nothing to do: the interpreter has written the number to the pipe.
    previous = {number: signal.signal(number, lambda *_: None) for number in caught}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(writer)
        thread.join(timeout=1)
        os.close(reader)


def _watch(reader: int, arrived: Callable[[int], None]) -> None:
    while numbers := os.read(reader, 16):
        for number in numbers:
            arrived(number)
