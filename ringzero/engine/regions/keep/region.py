"""A compiled region in memory: where its code is, and of which bytes it was made."""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass

from ringzero.engine.native.code.address import first_slot
from ringzero.engine.regions.find.operation import PAGE
from ringzero.lang import u64

Pieces = tuple[tuple[int, int], ...]  # of a page: from, to


def digest_of(page: bytes, pieces: Pieces) -> str:
    """What those bytes are, in short."""
    joined = b"".join(page[first:end] for first, end in pieces)
    return hashlib.blake2b(joined, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Region:
    """Compiled code, and the page offsets whose slots it may stand at."""

    address: int
    head: int
    entries: tuple[int, ...]
    operations: tuple[tuple[int, int], ...]  # (offset, size), of all its pages
    links: tuple[tuple[int, int], ...]  # (distance, address) of other pages
    apart: frozenset[int] = frozenset()  # segments whose accesses are checked one by one
    targets: frozenset[tuple[int, int]] = frozenset()  # indirect jumps, and known targets
    born: int = 0  # the number of its generation
    pieces: Pieces = ()  # of its own page
    digest: str = ""  # of what they hold

    def fits(self, page: bytes) -> bool:
        """Whether a page holds what it was made of."""
        return digest_of(page, self.pieces) == self.digest

    @property
    def offsets(self) -> list[int]:
        """Where its instructions begin on its own page."""
        return [offset for offset, _ in self.operations if 0 <= offset < PAGE]

    def place_of(self, home: int, decoded: int, offset: int) -> int | None:
        """Where it has an instruction of some decoded page, if it stands in that of `home`."""
        distances = [0] if home == decoded else []
        for distance, link in self.links:
            if ctypes.c_uint64.from_address(link).value == int(first_slot(u64(decoded))):
                distances.append(distance)
        for distance in distances:
            if any(at == distance * PAGE + offset for at, _ in self.operations):
                return distance * PAGE + offset
        return None
