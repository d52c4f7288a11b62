"""Which regions are known of a page, and which of them its bytes admit.

A page may hold data among its code, or be patched where nothing ran yet: what is known of it then
stays known. A region says of which bytes it was made, and stands only where these are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ringzero.engine.regions.find.graph import Graph
from ringzero.engine.regions.find.operation import PAGE
from ringzero.engine.regions.keep.region import Pieces, Region


def pieces_of(graph: Graph) -> Pieces:
    """The bytes of the hot page that a region is made of."""
    touched = sorted({at for op in graph.operations.values() for at in range(op.offset, op.next)})
    found: list[tuple[int, int]] = []
    for at in touched:
        if not 0 <= at < PAGE:
            continue
        if found and found[-1][1] == at:
            found[-1] = found[-1][0], at + 1
        else:
            found.append((at, at + 1))
    return tuple(found)


@dataclass(eq=False)
class Known:
    """The regions of a page, and the content that they are kept under for later runs."""

    page: bytes
    regions: dict[int, list[Region]] = field(default_factory=dict)  # by their heads
    hopeless: set[tuple[int, bytes]] = field(default_factory=set)  # heads where none can be made

    def with_all(self, regions: Iterable[Region]) -> Known:
        """Itself, with all of these."""
        for one in regions:
            self.add(one)
        return self

    def add(self, region: Region) -> None:
        """In the place of one that was made of the same bytes."""
        others = self.regions.setdefault(region.head, [])
        others[:] = [o for o in others if (o.pieces, o.digest) != (region.pieces, region.digest)]
        others.append(region)

    def at(self, head: int, page: bytes) -> Region | None:
        """The newest with that head that a page admits."""
        found = (one for one in reversed(self.regions.get(head, [])) if one.fits(page))
        return next(found, None)

    def fitting(self, page: bytes) -> list[Region]:
        """The newest of each head that a page admits."""
        found = (self.at(head, page) for head in list(self.regions))
        return [one for one in found if one is not None]

    def holds(self, generation: int) -> bool:
        """Whether one of them was made in a generation."""
        return any(one.born == generation for one in self.all())

    def all(self) -> Iterable[Region]:
        """All regions that are known."""
        return [one for several in list(self.regions.values()) for one in several]
