"""Regions on disk, by the content of the code page that they were compiled from.

One file per page holds everything compiled from it: a later run of the same guest loads them all
when the page is first seen running. The folder's name tells definitions, LLVM and host CPU, so a
stale entry is never found; damaged ones read as absent. `lang.cache_limit` bounds the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ringzero.lang import cache

FOLDER, PROFILES = "regions", "profiles"


@dataclass(frozen=True)
class Stored:
    """One compiled region: its object, and what must be known to install it."""

    head: int
    entries: tuple[int, ...]
    operations: tuple[tuple[int, int], ...]  # (offset, size)
    helpers: tuple[str, ...]  # functions that the object imports
    links: tuple[tuple[int, tuple[int, ...]], ...]  # other pages' distances, and `Graph.words`
    code: bytes
    apart: tuple[int, ...] = ()  # segments whose accesses are checked one by one
    targets: tuple[
        tuple[int, int], ...
    ] = ()  # indirect jumps, and targets that they are compared with
    pieces: tuple[tuple[int, int], ...] = ()  # of its own page, and what they hold
    digest: str = ""

    @property
    def symbol(self) -> str:
        """The name of its function."""
        return symbol(self.head, self.digest)


def symbol(head: int, digest: str) -> str:
    """The name of a region's function."""
    return f"region_{head}_{digest}"


def pack(regions: list[Stored]) -> bytes:
    """Regions as bytes: a line of JSON, then the objects one after the other."""
    head = [
        [
            *(r.head, r.entries, r.operations, r.helpers, r.links, r.apart, r.targets),
            *(r.pieces, r.digest, len(r.code)),
        ]
        for r in regions
    ]
    return json.dumps(head).encode() + b"\n" + b"".join(r.code for r in regions)


def unpack(data: bytes) -> list[Stored]:
    """The regions in what `pack` made."""
    line, _, rest = data.partition(b"\n")
    regions, at = [], 0
    for head, entries, operations, helpers, links, apart, targets, *rest_of_it in json.loads(line):
        pieces, digest, size = rest_of_it
        pairs, targets, parts = (
            tuple((int(a), int(b)) for a, b in two) for two in (operations, targets, pieces)
        )
        pages = tuple((int(distance), tuple(words)) for distance, words in links)
        code = rest[at : at + size]
        first = (head, tuple(entries), pairs, tuple(helpers), pages, code)
        regions.append(Stored(*first, tuple(apart), targets, parts, str(digest)))
        at += size
    return regions


class RegionStore:
    """The regions of one version of everything."""

    def __init__(self, key: str) -> None:
        self.kind = f"{FOLDER}/{key}"
        self.profiles = f"{PROFILES}/{key}"

    @staticmethod
    def name(page: bytes) -> str:
        """The file of a page's content."""
        return cache.digest(page)

    @cached_property
    def names(self) -> set[str]:
        """Pages of which there is something, as of the first look; what others add comes later."""
        try:
            return set(os.listdir(cache.folder() / self.kind))
        except OSError:
            return set()

    def load(self, name: str) -> list[Stored]:
        """Everything compiled from a page of this name."""
        data = cache.read(self.kind, name)
        try:
            return unpack(data) if data else []
        except (ValueError, TypeError, AttributeError):  # whole, but nothing that `pack` made
            return []

    def save(self, page: bytes, regions: list[Stored]) -> None:
        """Add to what is there; another process may have added too."""
        name = self.name(page)
        both = [*self.load(name), *regions]
        present = {(region.head, region.pieces, region.digest): region for region in both}
        cache.write(self.kind, name, pack(list(present.values())))
        self.names.add(name)

    def profile(self, guest: str) -> list[str]:
        """The names of pages whose regions a guest used, in the order of their use."""
        data = cache.read(self.profiles, guest) or b""
        return [name for name in data.decode("ascii", "replace").split() if name.isalnum()]

    def save_profile(self, guest: str, names: Iterable[str]) -> None:
        """Note them for the guest's next run."""
        cache.write(self.profiles, guest, "\n".join(names).encode())
