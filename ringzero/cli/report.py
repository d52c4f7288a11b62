"""What is told to the user, on standard error, so that standard output is the guest's alone.

Colour only on a terminal and without NO_COLOR; progress bars only on a terminal.
"""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Verbosity(enum.IntEnum):
    """How much is said beside errors: -q, nothing given, -v."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


class Progress(Protocol):
    """Told of a phase, what is done and what is to be done in all (0 where not known)."""

    def __call__(self, phase: str, done: int, total: int, /) -> None: ...


verbosity = Verbosity.NORMAL


def set_verbosity(level: Verbosity) -> None:
    """Say more or less from now on."""
    global verbosity
    verbosity = level


def coloured() -> bool:
    """Whether standard error takes colour."""
    return (
        sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def style(text: str, code: str) -> str:
    """`text` in an ANSI style, where colour is wanted."""
    return f"\033[{code}m{text}\033[0m" if coloured() else text


def error(text: str) -> None:
    """A mistake or a failure: always said."""
    _line(f"{style('ringzero:', '1;31')} {text}")


def note(text: str) -> None:
    """What a user wants to know, but not with -q."""
    if verbosity >= Verbosity.NORMAL:
        _line(f"{style('ringzero:', '1')} {text}")


def detail(text: str) -> None:
    """What a user asked for with -v."""
    if verbosity >= Verbosity.VERBOSE:
        _line(f"{style('ringzero:', '2')} {text}")


def text(lines: str) -> None:
    """A block that was asked for, as it is."""
    _line(lines.rstrip("\n"))


def _line(line: str) -> None:
    try:
        sys.stdout.flush()
        print(line, file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody listens; the exit code still tells


@contextmanager
def progress() -> Iterator[Progress]:
    """A callback that draws bars on a terminal, and names each phase once elsewhere."""
    if not sys.stderr.isatty() or verbosity == Verbosity.QUIET:
        yield _named_once()
        return
    bars = _Bars()
    try:
        yield bars
    finally:
        bars.close()


class _Bars:
    """Progress bars, one for each phase; nothing is drawn, or imported, before the first."""

    def __init__(self) -> None:
        self.bars: Any = None
        self.tasks: dict[str, Any] = {}

    def __call__(self, phase: str, done: int, total: int, /) -> None:
        if self.bars is None:
            self.bars = _bars()
            self.bars.start()
        if phase not in self.tasks:
            self.tasks[phase] = self.bars.add_task(phase, total=total or None)
        self.bars.update(self.tasks[phase], completed=done, total=total or None)

    def close(self) -> None:
        """Take the bars away again."""
        if self.bars is not None:
            self.bars.stop()


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _named_once() -> Progress:
    named: set[str] = set()

    def name(phase: str, done: int, total: int) -> None:
        if phase not in named:
            named.add(phase)
            detail(f"{phase}…")

    return name
