"""What earlier runs of a guest used: loaded at the start of the next, before it is needed.

A guest is known by the pages where its firmware and its kernel begin. Its profile names the pages
whose regions it ran, in the order of their first use, and nothing more: one that is damaged or
stale names what is not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ringzero.engine.ports import Memory

if TYPE_CHECKING:
    from ringzero.engine.regions.keep.known import Known
    from ringzero.engine.regions.keep.region import Region
    from ringzero.engine.regions.keep.store import RegionStore

PAGE = 4096
HEADER = 0x20_0000  # where kernels begin in RAM
MOST = 1024  # pages that a profile names
KEEPING = 0.5  # seconds between two looks at whether it has changed


class Preload:
    """The profile of one machine's guest, and what was loaded by it."""

    def __init__(self, memory: Memory, store: RegionStore) -> None:
        places = [at for at in (memory.base, memory.base + HEADER) if memory.contains(at, PAGE)]
        self.store = store
        self.guest = store.name(b"".join(memory.read(at, PAGE) for at in places))
        self.known = store.profile(self.guest)
        self.loaded: dict[str, list[Region]] = {}  # what no page has asked for yet
        self.used: dict[str, None] = {}  # names of pages, in the order of their use
        self._kept = 0
        self._next = time.monotonic() + KEEPING

    def load(self, stored: Callable[[str], list[Region]], enough: Callable[[], bool]) -> None:
        """Load what the profile names, unless there is enough."""
        for name in self.known:
            if enough():
                return
            self.loaded[name] = stored(name)

    def pop(self, page: bytes) -> list[Region] | None:
        """What was loaded for a page with this content; None if nothing was."""
        return self.loaded.pop(self.store.name(page), None)

    def use(self, known: Known | None) -> None:
        """The guest runs regions of a page."""
        if known is not None:
            self.used.setdefault(self.store.name(known.page), None)

    def forget(self, generation: int) -> None:
        """Code of a generation was freed."""
        for name, regions in list(self.loaded.items()):
            if any(region.born == generation for region in regions):
                del self.loaded[name]

    def keep(self, *, now: bool = False) -> None:
        """Note what was used, now and then, for the guest's next run."""
        if not now and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + KEEPING
        if len(self.used) == self._kept:
            return
        names = list(self.used)
        self._kept = len(names)
        others = [name for name in self.store.profile(self.guest) if name not in self.used]
        self.store.save_profile(self.guest, [*names, *others][:MOST])
