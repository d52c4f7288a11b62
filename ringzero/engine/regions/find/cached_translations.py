"""Cached translations: accesses of a loop that likely stay on the page of their last round.

A region keeps for them, in registers of the host, the page that was looked up last and where it is
in memory, so that the next round compares instead of looking it up in the TLB. That pays where an
address only grows by steps. A pointer that was loaded, or computed otherwise, may lead anywhere,
and is looked up each time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ringzero.engine.regions.find.flow import Block, Group, groups, sources, written
from ringzero.engine.regions.find.loops import Loop, loops
from ringzero.engine.regions.find.operation import PAGE, Operation

MOST = 6  # of a region: each takes up to three registers of the host
NARROW = 32  # bytes: wider groups have one of their own, as they end before the page does
FIXED, STEPPING, ANY = 0, 1, 2  # how a register changes in a loop

Key = tuple[bool, int, bool]  # stores, the register, wide
Classes = dict[int, int]  # by x register; FIXED where nothing stands


@dataclass(frozen=True)
class CachedTranslation:
    """One of a region's cached translations, by its number."""

    number: int
    span: int  # bytes of the widest group that uses it

    @property
    def room(self) -> int:
        """How many first addresses on a page have the widest group on it altogether."""
        return PAGE - self.span + 1


def _change(op: Operation, known: Classes) -> int:
    """How what an operation sets changes from round to round."""
    if op.one.memory:
        return ANY
    most = max((known.get(n, FIXED) for array, n in sources(op) if array == "x"), default=FIXED)
    if most == FIXED or op.one.steps:
        return max(most, STEPPING)
    return ANY


def _through(block: Block, known: Classes, stepping: set[int] | None = None) -> Classes:
    """The classes behind a block; notes the accesses whose address is no more than stepping."""
    for op in block.operations:
        if stepping is not None and op.access and known.get(op.rs1, FIXED) != ANY:
            stepping.add(op.offset)
        target = written(op)
        if target and target[0] == "x":
            known[target[1]] = _change(op, known)
    return known


def stepping(loop: Loop, blocks: dict[int, Block]) -> set[int]:
    """The accesses of a loop, without the loops inside, whose address steps."""
    at_start: dict[int, Classes] = {at: {} for at in loop.members}
    pending = sorted(loop.members)
    while pending:
        at = pending.pop()
        after = _through(blocks[at], dict(at_start[at]))
        for to in blocks[at].successors & loop.members:
            into = at_start[to]
            more = {n: c for n, c in after.items() if c > into.get(n, FIXED)}
            if more:
                into |= more
                pending.append(to)
    found: set[int] = set()
    for at in loop.members - loop.inner:
        _through(blocks[at], dict(at_start[at]), found)
    return found


def span(group: Group) -> int:
    """The bytes from the first to the last that a group touches."""
    first = min(op.imm for op in group.operations)
    return max(op.imm + op.access for op in group.operations) - first


def cached_translations(blocks: dict[int, Block]) -> dict[int, CachedTranslation]:
    """The cached translations of a region, by the offsets of the accesses that use them."""
    users: dict[Key, list[Group]] = {}
    weights: Counter[Key] = Counter()
    for loop in loops(blocks):
        steps = stepping(loop, blocks)
        for at in loop.members - loop.inner:
            for group in {id(g): g for g in groups(blocks[at]).values()}.values():
                first = group.operations[0]
                if first.offset in steps:
                    key = (group.stores, first.rs1, span(group) > NARROW)
                    users.setdefault(key, []).append(group)
                    weights[key] += 8**loop.depth
    found: dict[int, CachedTranslation] = {}
    for number, (key, _) in enumerate(weights.most_common(MOST)):
        cached = CachedTranslation(number, max(span(group) for group in users[key]))
        for group in users[key]:
            found |= {op.offset: cached for op in group.operations}
    return found
