"""Hotness, as the compiling thread sees it: places by how often events named them.

Counters halve as time goes by, so that what was hot long ago is compiled last.
"""

from __future__ import annotations

import time
from collections import Counter

RARELY = 4  # how much hotter a jump must be to have regions recompiled while others wait
COOLING = 0.5  # seconds after which counters are halved

Place = tuple[int, int]  # decoded page, offset in the page


class Hotness:
    """Places to compile, and indirect jumps that go where no region expects."""

    def __init__(self) -> None:
        self.places: Counter[Place] = Counter()
        self.jumps: Counter[Place] = Counter()
        self.pcs: dict[Place, int] = {}  # where a place was run in virtual memory
        self._next = 0.0

    def __bool__(self) -> bool:
        return bool(self.places or self.jumps)

    def add(self, place: Place, pc: int, much: int = 1) -> None:
        """A place was named."""
        self.places[place] += much
        self.pcs[place] = pc

    def pop_place(self) -> tuple[Place, int, int]:
        """The hottest place, its pc, and how hot it was; it is forgotten."""
        hottest = max(self.places, key=self.places.__getitem__)
        return hottest, self.pcs.pop(hottest), self.places.pop(hottest)

    def pop_jump(self) -> Place | None:
        """The most frequent jump, if it is much hotter than any place; it is forgotten."""
        jump, events = self.jumps.most_common(1)[0] if self.jumps else ((0, 0), 0)
        if events <= RARELY * max(self.places.values(), default=0):
            return None
        del self.jumps[jump]
        return jump

    def cool(self) -> None:
        """What was hot long ago counts less."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + COOLING
        self.jumps = +Counter({place: n // 2 for place, n in self.jumps.items()})
        for place in list(self.places):
            self.places[place] //= 2
            if not self.places[place]:
                del self.places[place], self.pcs[place]
