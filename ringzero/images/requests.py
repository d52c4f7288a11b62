"""What a request for an image was answered with, written down beside the images.

Asking again then costs no network, no apt and no unpacking. Paths are noted relative to the cache,
so that one which was moved or copied to another place or user still answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from ringzero.images.cache import cache_root, published

Answer = dict[str, str]
"""Names and what they stand for; what begins with `/` is a path."""
HERE = "./"


def answered(key: str, build: Callable[[], Answer], refresh: bool) -> Answer:
    """What was built for a request before, where all of it is still there, or is built now."""
    note = _folder() / f"{key}.json"
    if note.exists() and not refresh and is_whole(answer := _read(note)):
        return answer
    answer = build()
    note.unlink(missing_ok=True)
    published(note, lambda place: _write(place, answer))
    return answer


def notes() -> Iterator[tuple[Path, Answer]]:
    """All requests that were answered, each with its note."""
    for note in sorted(_folder().glob("*.json")):
        yield note, _read(note)


def paths(answer: Answer) -> list[Path]:
    """The files and folders of an answer."""
    return [Path(text) for text in answer.values() if text.startswith("/")]


def is_whole(answer: Answer) -> bool:
    """Is all that was built still there?"""
    return all(path.exists() for path in paths(answer))


def _folder() -> Path:
    return cache_root() / "requests"


def _read(note: Path) -> Answer:
    saved: Answer = json.loads(note.read_text())
    return {
        name: str(cache_root() / text) if text.startswith(HERE) else text
        for name, text in saved.items()
    }


def _write(place: Path, answer: Answer) -> None:
    root = f"{cache_root()}/"
    saved = {
        name: HERE + text.removeprefix(root) if text.startswith(root) else text
        for name, text in answer.items()
    }
    place.write_text(json.dumps(saved, indent=1, sort_keys=True))
