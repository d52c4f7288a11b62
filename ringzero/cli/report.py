"""What is told to the user, on standard error, so that standard output is the guest's alone.

Colour only on a terminal and without NO_COLOR; progress bars only on a terminal.
"""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


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
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def draw(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total or None)
            bars.update(tasks[phase], completed=done, total=total or None)

        yield draw


def _named_once() -> Progress:
    named: set[str] = set()

    def name(phase: str, done: int, total: int) -> None:
        if phase not in named:
            named.add(phase)
            detail(f"{phase}…")

    return name
