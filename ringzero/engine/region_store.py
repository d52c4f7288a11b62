"""Regions on disk, by the content of the code page that they were compiled from.

One file per page holds everything compiled from it: a later run of the same guest loads them all
when the page is first seen running. The folder's name tells definitions, LLVM and host CPU, so a
stale entry is never found; damaged ones read as absent. Oldest files go when the folder is full.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ringzero.lang import cache

FOLDER = "regions"
LIMIT = 256 << 20  # bytes kept on disk, over all versions


@dataclass(frozen=True)
class Stored:
    """One compiled region: its object, and what must be known to install it."""

    head: int
    entries: tuple[int, ...]
    operations: tuple[tuple[int, int], ...]  # (offset, size)
    helpers: tuple[str, ...]  # functions that the object imports
    links: tuple[tuple[int, tuple[int, ...]], ...]  # other pages' distances, and `Graph.words`
    code: bytes

    @property
    def symbol(self) -> str:
        """The name of its function."""
        return f"region_{self.head}"


def pack(regions: list[Stored]) -> bytes:
    """Regions as bytes: a line of JSON, then the objects one after the other."""
    head = [[r.head, r.entries, r.operations, r.helpers, r.links, len(r.code)] for r in regions]
    return json.dumps(head).encode() + b"\n" + b"".join(r.code for r in regions)


def unpack(data: bytes) -> list[Stored]:
    """The regions in what `pack` made."""
    line, _, rest = data.partition(b"\n")
    regions, at = [], 0
    for head, entries, operations, helpers, links, size in json.loads(line):
        pairs = tuple((int(a), int(b)) for a, b in operations)
        pages = tuple((int(distance), tuple(words)) for distance, words in links)
        code = rest[at : at + size]
        regions.append(Stored(head, tuple(entries), pairs, tuple(helpers), pages, code))
        at += size
    return regions


class RegionStore:
    """The regions of one version of everything."""

    def __init__(self, key: str) -> None:
        self.kind = f"{FOLDER}/{key}"

    @staticmethod
    def name(page: bytes) -> str:
        """The file of a page's content."""
        return cache.digest(page)

    def load(self, page: bytes) -> list[Stored]:
        """Everything compiled from a page with this content."""
        data = cache.read(self.kind, self.name(page))
        return unpack(data) if data else []

    def save(self, page: bytes, regions: list[Stored]) -> None:
        """Add to what is there; another process may have added too."""
        present = {r.head: r for r in self.load(page)} | {r.head: r for r in regions}
        cache.write(self.kind, self.name(page), pack(list(present.values())))


def trim(limit: int = LIMIT) -> None:
    """Remove the files used longest ago until the folder is within its limit."""
    folder = cache.folder() / FOLDER
    found: list[tuple[float, int, Path]] = []
    for path in folder.glob("*/*") if folder.exists() else ():
        try:
            facts = path.stat()
        except OSError:
            continue  # another process was faster
        found.append((facts.st_mtime, facts.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        try:
            os.unlink(path)
        except OSError:
            continue
        total -= size
