"""Regions into their slots, and the oldest out of them: what is done between stretches of native
code, by the thread that runs the harts.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringzero.engine.regions.find.pages import CodePages
    from ringzero.engine.regions.keep.generations import Generation
    from ringzero.engine.regions.keep.region import Region

SLOTS = 2048  # of a page: one for two bytes


class Installer:
    """What waits to be installed in one machine, and what stands where."""

    def __init__(self, code: Any, shared: Any, address: int) -> None:
        self.code, self.shared, self.address = code, shared, address
        self.ready: deque[tuple[int, int, Region]] = deque()  # decoded page, the page it is of
        self.leaving: Generation | None = None  # until no hart is in it
        self.installed = self.evicted = 0
        self._epoch: int | None = None  # of what leaves, when it is out of its slots
        self._standing: dict[int, set[int]] = {}  # decoded pages by generation

    def waits_for(self, decoded: int) -> bool:
        """Whether something is to be installed in a decoded page."""
        return any(one == decoded for one, _, _ in self.ready.copy())

    def retire(self, oldest: Generation) -> None:
        """Take the oldest code away from where harts find it; say when they have left it."""
        if self._epoch is None:
            waiting = [one for one in self.ready if one[2].born != oldest.number]
            self.ready.clear()
            self.ready.extend(waiting)
            decoded_pages = bytearray(int(self.shared.decoded_pages))
            for decoded in self._standing.pop(oldest.number, ()):
                decoded_pages[decoded] = 1
            self._epoch = int(self.code.retire_regions(self.address, bytes(decoded_pages)))
        if self.code.unlink_regions(self.address, self._epoch, oldest.first_link, oldest.links):
            self._epoch = self.leaving = None
            self.evicted += 1

    def install(self, pages: CodePages) -> None:
        """All that is ready, where the page still holds what it was compiled from."""
        while self.ready:
            decoded, owner, region = self.ready.popleft()
            if pages.owner(decoded) != owner or not region.fits(pages.content(owner)):
                continue
            wanted = bytearray(SLOTS)
            for offset in region.offsets:
                wanted[offset // 2] = 1
            changes = self.code.decode_all(self.address, decoded, bytes(wanted))
            if not region.fits(pages.content(owner)):
                continue  # a store before that; one after it counts as a change
            for entry in region.entries:
                self.code.install_region(self.address, decoded, entry // 2, region.address, changes)
            self._standing.setdefault(region.born, set()).add(decoded)
            self.installed += 1
