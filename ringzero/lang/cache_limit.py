"""What compiled code takes on disk, and its limit: what was not used for longest goes first.

Images and bare-metal programs (the folder `images`) are not counted: they are the user's to remove.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ringzero.lang import cache
from ringzero.sizes import parse_size

VARIABLE = "RINGZERO_CACHE_LIMIT"
DEFAULT = 512 << 20
OTHERS = "images"
TORN = 3600  # seconds after which a file under a temporary name has lost its writer


@dataclass(frozen=True)
class Kept:
    """One file: what kind of thing it is, and when it was last read or written."""

    used: float
    path: Path
    kind: str
    size: int


def limit() -> int:
    """Bytes that compiled code may take on disk: RINGZERO_CACHE_LIMIT, or 512 MiB."""
    return size_setting(VARIABLE, DEFAULT)


def size_setting(variable: str, default: int) -> int:
    """A number of bytes from the environment, such as 256M."""
    text = os.environ.get(variable)
    return default if text is None else parse_size(text, variable, least=0)


def kept() -> list[Kept]:
    """All compiled code that is kept, what was not used for longest first."""
    found: list[Kept] = []
    for folder in _listed(cache.folder()):
        if folder.is_dir(follow_symlinks=False) and folder.name != OTHERS:
            _collect(Path(folder.path), folder.name, found)
    return sorted(found, key=lambda one: one.used)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []  # there is none, or another process was faster


def _collect(folder: Path, kind: str, found: list[Kept]) -> None:
    for entry in _listed(folder):
        if entry.is_dir(follow_symlinks=False):
            _collect(Path(entry.path), kind, found)
            continue
        with contextlib.suppress(OSError):
            facts = entry.stat(follow_symlinks=False)
            found.append(Kept(facts.st_mtime, Path(entry.path), kind, facts.st_size))


def trim_if_written(most: int) -> None:
    """`trim`, where this process has added something."""
    if cache.written:
        trim(most)


def trim(most: int | None = None) -> int:
    """Remove files until the rest is within the limit, and torn ones; how many were removed.

    A process that has opened a file reads it to its end; one that comes too late makes it anew.
    """
    most, removed = limit() if most is None else most, 0
    present = kept()
    total = sum(one.size for one in present)
    for one in present:
        torn = one.path.name.startswith(cache.TEMPORARY) and one.used < time.time() - TORN
        if total <= most and not torn:
            continue
        try:
            one.path.unlink()
        except OSError:
            continue
        total -= one.size
        removed += 1
    return removed
