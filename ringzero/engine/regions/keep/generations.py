"""Compiled code by age: the oldest generation goes first, with the links that its regions use."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ringzero.engine.limits import EIGHTHS
from ringzero.engine.native.code.decoded_pages import INVALID
from ringzero.engine.native.state import LINK_COUNT, WORD_COUNT, Link
from ringzero.engine.regions.write.exits import LINK_SIZE
from ringzero.lang.host import view

LINKS, WORDS = LINK_COUNT // EIGHTHS, WORD_COUNT // EIGHTHS  # of one generation


@dataclass
class Generation:
    """What was compiled or loaded one after the other."""

    number: int
    libraries: list[Any] = field(default_factory=list)
    bytes: int = 0
    links: int = 0
    words: int = 0

    @property
    def first_link(self) -> int:
        """Its links among the machine's: no two generations that live have the same."""
        return self.number % EIGHTHS * LINKS

    def full(self, most: int) -> bool:
        """Whether it has its share of `most` bytes, or hardly room for more links."""
        crowded = 8 * self.links > 7 * LINKS or 8 * self.words > 7 * WORDS
        return crowded or self.bytes * EIGHTHS > most

    def make_links(self, shared: Any, pages: Sequence[Sequence[int]]) -> int:
        """Links to pages that hold these words; the address of the first, 0 if there is no room."""
        count = sum(len(words) for words in pages)
        if self.links + len(pages) > LINKS or self.words + count > WORDS:
            return 0
        address = shared.links + (self.first_link + self.links) * LINK_SIZE
        for index, words in enumerate(pages):
            first = self.number % EIGHTHS * WORDS + self.words
            link = view(Link).from_address(address + index * LINK_SIZE)
            link.first, link.count, link.bound, link.refused = first, len(words), INVALID, 0
            place = (ctypes.c_uint32 * len(words)).from_address(shared.words + 4 * first)
            place[:] = list(words)
            self.links += 1
            self.words += len(words)
        return int(address)


class Generations:
    """All compiled code of a machine, within its limit."""

    def __init__(self) -> None:
        self.living = [Generation(0)]

    @property
    def newest(self) -> Generation:
        """Where compiled code goes."""
        return self.living[-1]

    @property
    def bytes(self) -> int:
        """What compiled code takes."""
        return sum(one.bytes for one in self.living)

    def surplus(self, most: int) -> Generation | None:
        """The generation that is to go before more is compiled, if the limit is reached."""
        if self.newest.full(most) and len(self.living) < EIGHTHS:
            self.living.append(Generation(self.newest.number + 1))
        if self.bytes > most or self.newest.full(most):
            return self.living[0]
        return None

    def free(self, one: Generation) -> None:
        """Give its code back: no hart runs any of it, nor will."""
        self.living.remove(one)
        one.libraries.clear()
        if not self.living:
            self.living.append(Generation(one.number + 1))
