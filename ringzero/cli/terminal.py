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
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ringzero.cli.exits import Interrupted

INPUT, CONTROL, LOCAL, CHARACTERS = 0, 2, 3, 6
"""Places in what `tcgetattr` gives: c_iflag, c_cflag, c_lflag, c_cc."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def in_foreground(descriptor: int) -> bool:
    """Whether `descriptor` is a terminal and this process may read from it."""
    try:
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


class Terminal:
    """One terminal's settings: as they were, and raw."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.saved: list[Any] | None = None

    def make_raw(self) -> None:
        """Every key goes to the guest, Ctrl-C and Ctrl-Z too; output keeps its line ends."""
        if not in_foreground(self.descriptor):
            return
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

    def restore(self) -> None:
        """Back to what it was; again and again without harm."""
        if self.saved is not None and in_foreground(self.descriptor):
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self.saved)


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[Terminal]:
    """A raw terminal inside, and the old one after: also at exit, on signals, and while stopped."""
    terminal = Terminal(descriptor)
    atexit.register(terminal.restore)
    # What is ignored (`nohup`, a shell's background job) stays ignored.
    caught = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, _end) for number in caught}

    def stop(number: int, frame: FrameType | None) -> None:
        terminal.restore()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)

    def resume(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTSTP, stop)
        terminal.make_raw()

    previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, stop)
    previous[signal.SIGCONT] = signal.signal(signal.SIGCONT, resume)
    try:
        terminal.make_raw()
        yield terminal
    finally:
        terminal.restore()
        for number, handler in previous.items():
            signal.signal(number, handler)
        atexit.unregister(terminal.restore)


def _end(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)
