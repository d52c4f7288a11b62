"""The memory that native code shares with Python: one machine's `Shared`, its cores, their tables.

All of it is anonymous memory that costs nothing until it is touched. One table says what there is.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

from ringzero.engine.interpreter.threads import futex_number, system_call_address, yield_address
from ringzero.engine.native.state import (
    CONTEXT_SIZE,
    CONTEXTS,
    EVENTS,
    HOT_COUNTS,
    LINK_COUNT,
    NO_WATCH,
    PAGE_STRIDE,
    SIDE_EXITS,
    SLICE,
    TARGETS,
    WORD_COUNT,
    Core,
    HotCount,
    JumpCount,
    Link,
    Shared,
    TlbContext,
    TlbEntry,
)
from ringzero.engine.native.threads.epochs import COMMON_SIZE, OUT
from ringzero.engine.ports import Memory
from ringzero.lang import u8, u32, u64
from ringzero.lang.host import view

DECODED_PAGES = 3072  # kept at a time

OF_MACHINE: dict[str, tuple[Any, int]] = {
    "owners": (u32, DECODED_PAGES),
    "spare": (u32, DECODED_PAGES),
    "events": (u64, EVENTS),
    "hot_counts": (HotCount, HOT_COUNTS),
    "side_exits": (HotCount, SIDE_EXITS),
    "targets": (JumpCount, TARGETS),
    "links": (Link, LINK_COUNT),
    "words": (u32, WORD_COUNT),
    "common": (u8, COMMON_SIZE),
}
"""Arrays that `Shared` points to: the field, the elements, how many."""

OF_PAGE = {"pages": u32, "releases": u8}
"""Such arrays with an element for each page of RAM."""

OF_HART: dict[str, tuple[Any, int]] = {
    "tables": (TlbEntry, CONTEXTS * CONTEXT_SIZE),
    "contexts": (TlbContext, CONTEXTS),
}
"""Arrays that each `Core` points to."""


class MachineState:
    """One machine's, with the harts at rest."""

    def __init__(self, memory: Memory, harts: int, handlers: int) -> None:
        self._parts: list[mmap.mmap] = []
        self.address = self._array(Shared)
        # A view holds its memory: whoever keeps one never looks at pages that were given back.
        self.shared: Any = view(Shared).from_buffer(self._parts[-1])
        self.cores: list[Any] = []
        for name, (kind, count) in OF_MACHINE.items():
            setattr(self.shared, name, self._array(kind, count))
        for name, kind in OF_PAGE.items():
            setattr(self.shared, name, self._array(kind, memory.size // 4096))
        self._fill_shared(memory, harts, handlers)
        self.shared.cores, self.shared.harts = self._array(Core, harts), harts
        for index in range(harts):
            at = index * ctypes.sizeof(view(Core))
            self.cores.append(view(Core).from_buffer(self._parts[-1], at))
        for index, core in enumerate(self.cores):
            self._fill_core(core, index)

    def _array(self, kind: Any, count: int = 1) -> int:
        size = max(4096, ctypes.sizeof(view(kind)) * count)
        no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
        self._parts.append(mmap.mmap(-1, size, flags=flags))
        return ctypes.addressof(ctypes.c_char.from_buffer(self._parts[-1]))

    def _fill_shared(self, memory: Memory, harts: int, handlers: int) -> None:
        s = self.shared
        s.memory, s.ram_base, s.ram_size = memory.address_of_buffer, memory.base, memory.size
        pages = DECODED_PAGES + harts  # the last are the harts' scratch pages
        room = self._array(u8, (pages + 1) * PAGE_STRIDE)
        s.slots = -(-room // PAGE_STRIDE) * PAGE_STRIDE
        s.decoded_pages, s.handlers = DECODED_PAGES, handlers
        s.yield_thread, s.system_call = yield_address(), system_call_address()
        s.futex, s.watched, s.turn = futex_number(), NO_WATCH, SLICE

    def _fill_core(self, core: Any, index: int) -> None:
        s = self.shared
        core.shared, core.number, core.quiescence = self.address, index, OUT
        core.memory, core.slots, core.handlers = s.memory, s.slots, s.handlers
        for name, (kind, count) in OF_HART.items():
            setattr(core, name, self._array(kind, count))
        core.tlb = core.tables
        core.scratch = s.slots + (DECODED_PAGES + index) * PAGE_STRIDE
