"""Events of native code's profile, as Python reads them out of the ring."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

from ringzero.engine.native import state
from ringzero.engine.regions.profile.events import Event, Events, Kind


def ring() -> tuple[SimpleNamespace, ctypes.Array[ctypes.c_uint64]]:
    numbers = (ctypes.c_uint64 * state.EVENTS)()
    return SimpleNamespace(events=ctypes.addressof(numbers), event_count=0), numbers


def test_an_event_tells_its_kind_its_page_and_its_place() -> None:
    shared, numbers = ring()
    slot = 3 * state.PAGE_STRIDE + 8 * 0x124
    for number, flag in enumerate((0, state.HOT_EXIT, state.JUMP_TARGET, state.FIRST_SLICE)):
        numbers[2 * number], numbers[2 * number + 1] = slot | flag, 2**64 - 4
    shared.event_count = 8
    events = Events(shared)
    found = list(events.read())
    kinds = [Kind.HOT, Kind.HOT_EXIT, Kind.JUMP_TARGET, Kind.FIRST_SLICE]
    assert found == [Event(kind, 3, 0x124, 2**64 - 4) for kind in kinds]
    assert not list(events.read())


def test_a_slow_reader_misses_the_oldest() -> None:
    shared, numbers = ring()
    for number in range(state.EVENTS):
        numbers[number] = 0
    numbers[0], numbers[1] = state.PAGE_STRIDE | state.NEW_PAGE, 7  # written over number 0
    shared.event_count = state.EVENTS + 2
    found = list(Events(shared).read())
    assert len(found) == state.EVENTS // 2
    assert found[-1] == Event(Kind.NEW_PAGE, 1, 0, 7)
