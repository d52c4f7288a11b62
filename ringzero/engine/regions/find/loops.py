"""The loops of a region, and how deep inside each other they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ringzero.engine.regions.find.flow import Block


@dataclass
class Loop:
    """Blocks that reach each other, and how deep inside other loops they are."""

    members: set[int]
    depth: int
    inner: set[int] = field(default_factory=set)  # members of loops inside


def components(members: set[int], edges: dict[int, set[int]]) -> list[set[int]]:
    """The strongly connected components that hold a cycle, by two searches (Kosaraju)."""
    order: list[int] = []
    _walk(sorted(members), edges, members, order)
    back: dict[int, set[int]] = {at: set() for at in members}
    for at in members:
        for to in edges[at] & members:
            back[to].add(at)
    left, found = set(members), []
    for at in reversed(order):
        if at in left:
            one: list[int] = []
            _walk([at], back, left, one)
            left -= set(one)
            if len(one) > 1 or at in edges[at]:
                found.append(set(one))
    return found


def _walk(
    starts: Iterable[int], edges: dict[int, set[int]], allowed: set[int], order: list[int]
) -> None:
    """Note all that the starts reach, each after what it reaches."""
    seen: set[int] = set()
    for start in starts:
        pending = [(start, False)]
        while pending:
            at, done = pending.pop()
            if done:
                order.append(at)
            elif at not in seen:
                seen.add(at)
                pending.append((at, True))
                pending += [(to, False) for to in edges[at] & allowed if to not in seen]


def loops(blocks: dict[int, Block]) -> list[Loop]:
    """All loops; those inside are found once the ways back to their outer loop's head are cut."""
    found: list[Loop] = []
    edges = {at: set(block.successors) for at, block in blocks.items()}
    pending = [(set(blocks), edges, 1)]
    while pending:
        members, edges, depth = pending.pop()
        for one in components(members, edges):
            entered = {to for at in edges if at not in one for to in edges[at] & one}
            head = min(entered or one)
            cut = {at: edges[at] - {head} for at in one}
            loop = Loop(one, depth)
            for inside in components(one, cut):
                loop.inner |= inside
            found.append(loop)
            pending.append((one, cut, depth + 1))
    return found
