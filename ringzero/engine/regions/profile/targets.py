"""Target profiles of indirect jumps, for inline caches: the targets that samples found.

A jump is known by its place, decoded page and offset; targets by their distance, so that they hold
wherever the code is mapped. A wrong or missing one costs time: compiled code compares.
"""

from __future__ import annotations

from collections import Counter

MOST = 4  # targets that a region compares with at one jump
LEAST = 8  # a target with less than this part of a jump's events is left out
COVERED = 0.6  # of a jump's events; one that goes to many places (megamorphic) is quicker looked up
KNOWN = 4  # events of a jump before anything is concluded
NEARLY = 1 << 24  # bytes: farther away is another library, which lies elsewhere in each run


class JumpTargets:
    """Target profiles by place: how often each target was in an event."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], Counter[int]] = {}

    def learn(self, place: tuple[int, int], distance: int) -> bool:
        """Count a distance (modulo 2**64); whether it is one to compare with."""
        signed = (distance ^ 1 << 63) - (1 << 63)
        if not -NEARLY < signed < NEARLY:
            return False
        self.seen.setdefault(place, Counter())[signed] += 1
        return signed in self.of(place)

    def of(self, place: tuple[int, int]) -> tuple[int, ...]:
        """The distances that a jump often goes."""
        seen = self.seen.get(place)
        total = seen.total() if seen else 0
        if seen is None or total < KNOWN:
            return ()
        found = [(target, n) for target, n in seen.most_common(MOST) if n * LEAST >= total]
        if sum(n for _, n in found) < COVERED * total:
            return ()
        return tuple(target for target, _ in found)
