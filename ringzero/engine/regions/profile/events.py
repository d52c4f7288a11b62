"""Events: what native code's profile has for Python to hear of (`native.profile.samples`).

They stand in a ring in memory, two numbers each: the offset of a slot with a flag, and a pc or a
distance. A reader that is slow misses the oldest; what is still so happens once more.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ringzero.engine.native import state
from ringzero.engine.native.code.address import code_offset, page_number
from ringzero.lang import u64


class Kind(Enum):
    """What happened, by the flag on the first number."""

    HOT = 0  # slices often end at a place
    NEW_PAGE = state.NEW_PAGE  # a page was decoded
    FIRST_SLICE = state.FIRST_SLICE  # the first slice ended in a decoded page
    HOT_EXIT = state.HOT_EXIT  # regions often leave at a place
    JUMP_TARGET = state.JUMP_TARGET  # an indirect jump often goes somewhere


FLAGS = sum(kind.value for kind in Kind)


@dataclass(frozen=True)
class Event:
    """One event: of which decoded page, at which offset in its page of code."""

    kind: Kind
    decoded: int
    offset: int
    more: int  # the pc; of a jump, how far it goes, modulo 2**64


def event(where: int, more: int) -> Event:
    """The event of two numbers."""
    slot = u64(where & ~FLAGS)
    kind = Kind(where & FLAGS)
    return Event(kind, int(page_number(slot)), int(code_offset(slot)), more)


class Events:
    """The ring of one machine, and how far it was read."""

    def __init__(self, shared: Any) -> None:
        self.shared = shared
        self._read = 0

    def read(self) -> Iterator[Event]:
        """What is new since the last time."""
        total = int(self.shared.event_count)
        ring = (ctypes.c_uint64 * state.EVENTS).from_address(self.shared.events)
        for index in range(max(self._read, total - state.EVENTS), total, 2):
            yield event(ring[index % state.EVENTS], ring[(index + 1) % state.EVENTS])
        self._read = total
