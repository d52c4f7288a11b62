"""A command on a pseudo-terminal of its own, as a user has it; for tests."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from pathlib import Path

from tests.limits import HUNG

ROOT = Path(__file__).parent.parent.parent


class OnTerminal:
    """The command, and the other end of its terminal."""

    def __init__(self, *command: str, size: tuple[int, int] = (80, 24)) -> None:
        begin, told = os.pipe()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.close(told)
            os.read(begin, 1)  # until the terminal has its size
            os.chdir(ROOT)
            os.execv(command[0], command)
        self.resize(*size)
        os.close(begin)
        os.close(told)
        self.seen = b""

    def resize(self, columns: int, rows: int) -> None:
        """Another window; the processes in the terminal's foreground get SIGWINCH if it is."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def expect(self, text: bytes, seconds: float = HUNG) -> None:
        """Wait for output; what came before is kept too."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not come; seen: {self.seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 4096)

    def type(self, data: bytes) -> None:
        """Keys."""
        os.write(self.master, data)

    @property
    def raw(self) -> bool:
        """Whether keys go through as they are."""
        return not termios.tcgetattr(self.master)[3] & termios.ICANON

    def end(self) -> int:
        """The exit code, once it has ended; what it prints until then is thrown away."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    os.read(self.master, 4096)
                except OSError:  # nobody has the terminal any more
                    time.sleep(0.01)
        assert not self.raw, "the terminal was not restored"
        os.close(self.master)
        return os.waitstatus_to_exitcode(status)
