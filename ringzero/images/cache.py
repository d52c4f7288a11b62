"""The image cache: files and folders named by what they were made from.

Everything is made under a temporary name beside its place and renamed when complete, so that a
reader sees all of it or nothing, and several processes may build the same thing at once: the first
to finish wins. Nothing in the cache is changed after that, so nothing is fetched or built twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from ringzero.images.errors import ImageError

Progress = Callable[[str, int, int], None]
"""Told of a phase, the bytes done and the bytes in all (0 where not known)."""


def silent(phase: str, done: int, total: int) -> None:
    """The progress callback of those who do not want to know."""


def cache_root() -> Path:
    """`RINGZERO_CACHE`, or the user's cache folder for this program."""
    named = os.environ.get("RINGZERO_CACHE")
    root = (
        Path(named).expanduser().absolute() if named else platformdirs.user_cache_path("ringzero")
    )
    images = root / "images"
    try:
        images.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"The image cache {images} cannot be made ({error.strerror}); "
            "name a folder you can write to in RINGZERO_CACHE."
        ) from error
    return images


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(*parts: object) -> str:
    """A short name for anything that JSON can say: the key of what is made from it."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def published(place: Path, build: Callable[[Path], None]) -> Path:
    """`place`, after `build` has filled it (a file or a folder) under a temporary name."""
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with scratch(place.parent) as folder:
        made = folder / place.name
        try:
            build(made)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ImageError(
                f"There is no room for {place} ({error.strerror}); make some, with `ringzero image "
                "remove` for instance, or name another folder in RINGZERO_CACHE."
            ) from error
        try:
            os.rename(made, place)
        except OSError:
            # Another process was first: a folder is not renamed over one that has something in it.
            if not place.exists():
                raise
    return place


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder beside the cache's own, on the same file system, that goes away afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".making-", dir=parent))
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    # Packages may hold folders without write permission; they are ours, so make them writable.
    for path, folders, _files in os.walk(folder):
        for name in folders:
            inner = os.path.join(path, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`: one process at a time runs apt in a root."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
