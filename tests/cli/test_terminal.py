"""A real pseudo-terminal is raw while a guest owns it, and as before whatever ends the process."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ringzero.cli.console import terminal
from tests.limits import HUNG

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import os, queue, sys
from ringzero.cli.console import terminal
ended = queue.SimpleQueue()
with terminal.raw(0, ended.put):
    os.write(1, b"raw\\n")
    {body}
"""


@dataclass
class Child:
    """A process on a terminal of its own, as a shell would start it."""

    pid: int
    master: int

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.master)

    @property
    def canonical(self) -> bool:
        return bool(self.settings()[3] & termios.ICANON)

    def wait_for(self, text: bytes, seconds: float = HUNG) -> bytes:
        seen = b""
        end = time.monotonic() + seconds
        while text not in seen:
            assert time.monotonic() < end, f"{text!r} did not come; seen: {seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    seen += os.read(self.master, 4096)
                except OSError:
                    break
        assert text in seen, f"{text!r} did not come before the end; seen: {seen!r}"
        return seen

    def exit_code(self, seconds: float = HUNG) -> int:
        end = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < end, "it did not end"
            time.sleep(0.01)


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def launch(body: str) -> Child:
        pid, master = pty.fork()
        if pid == 0:
            os.chdir(ROOT)
            for number in (signal.SIGINT, signal.SIGQUIT):  # ignored in a shell's background
                signal.signal(number, signal.SIG_DFL)
            os.execv(sys.executable, [sys.executable, "-c", PROGRAM.format(body=body)])
        children.append(Child(pid, master))
        return children[-1]

    yield launch
    for child in children:
        try:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(child.master)


def eventually(condition: Callable[[], bool], seconds: float = HUNG) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_raw_inside_and_restored_after(start: Callable[..., Child]) -> None:
    child = start("os.read(0, 1); os.write(1, b'done\\n')")
    before = child.settings()
    child.wait_for(b"raw")
    assert not child.canonical
    assert child.settings()[3] & (termios.ECHO | termios.ISIG) == 0
    os.write(child.master, b"\x03")  # Ctrl-C is a byte for the guest, not a signal
    child.wait_for(b"done")
    assert child.exit_code() == 0
    assert child.settings()[:6] == before[:6]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT], ids=lambda s: s.name
)
def test_restored_when_a_signal_ends_it(start: Callable[..., Child], number: int) -> None:
    child = start("sys.exit(128 + ended.get())")
    child.wait_for(b"raw")
    assert not child.canonical
    os.kill(child.pid, number)
    assert child.exit_code() == 128 + number
    assert child.canonical


@pytest.mark.parametrize("body", ["1 / 0", "sys.exit(7)"])
def test_restored_when_python_ends_it(start: Callable[..., Child], body: str) -> None:
    child = start(body)
    child.wait_for(b"raw")
    child.exit_code()
    assert child.canonical


def test_restored_while_stopped_and_raw_again_after(start: Callable[..., Child]) -> None:
    child = start("os.read(0, 1)")
    child.wait_for(b"raw")
    os.kill(child.pid, signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
    assert child.canonical
    os.kill(child.pid, signal.SIGCONT)
    assert eventually(lambda: not child.canonical)
    os.write(child.master, b"x")
    assert child.exit_code() == 0
    assert child.canonical


def test_what_is_no_terminal_is_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file, terminal.raw(file.fileno(), print) as raw:
        assert raw.saved is None
    reader, writer = os.pipe()
    assert not terminal.in_foreground(reader)
    os.close(reader)
    os.close(writer)


def test_ignored_signals_stay_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        reader, writer = os.pipe()
        with terminal.raw(reader, print):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        os.close(reader)
        os.close(writer)
    finally:
        signal.signal(signal.SIGHUP, previous)
