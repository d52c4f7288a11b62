"""What the compiling thread sees of code pages: a racy look into memory that native code writes.

A wrong answer costs time, never correctness: what is installed is compared with the page first.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ringzero.engine.native.code.address import first_slot, page_number
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.state import (
    CONTEXT_SIZE,
    CONTEXTS,
    EXECUTES,
    NO_PAGE,
    PAGE_STRIDE,
    TLB_SIZE,
    DecodedPage,
    TlbEntry,
)
from ringzero.engine.ports import Memory
from ringzero.engine.regions.find.graph import Code
from ringzero.engine.regions.find.operation import PAGE
from ringzero.engine.regions.profile.targets import JumpTargets
from ringzero.lang import u64
from ringzero.lang.host import view

ENTRY = ctypes.sizeof(view(TlbEntry))
KERNEL = 1 << 63
OFTEN = 256  # stores to the page that touch no code; patches are fewer
PIECE = 64  # bytes of a page that are compared at once


def _u64(address: int) -> int:
    return int(ctypes.c_uint64.from_address(address).value)


def decoded_page(shared: Any, number: int) -> Any:
    """A decoded page of a machine, as native code has it."""
    return view(DecodedPage).from_address(shared.slots + number * PAGE_STRIDE)


class CodePages:
    """The decoded pages of one machine."""

    def __init__(
        self, shared: Any, cores: list[Any], memory: Memory, targets: JumpTargets | None = None
    ) -> None:
        self.targets = targets or JumpTargets()
        self.shared, self.cores, self.memory = shared, cores, memory
        self.undecoded = _u64(shared.handlers + 8 * Special.DECODE)

    def owner(self, decoded: int) -> int | None:
        """The page that a decoded page decodes; None if it is no longer in use."""
        if decoded >= self.shared.decoded_used:
            return None
        owner = int(ctypes.c_uint32.from_address(self.shared.owners + 4 * decoded).value)
        return owner if self.decoded(owner) == decoded else None

    def decoded(self, owner: int) -> int | None:
        """The decoded page of a page."""
        if not 0 <= owner < self.memory.size // PAGE:
            return None
        present = int(ctypes.c_uint32.from_address(self.shared.pages + 4 * owner).value)
        return None if present == NO_PAGE else present - 1

    def content(self, owner: int) -> bytes:
        """What a page holds."""
        return self.memory.read(self.memory.base + owner * PAGE, PAGE)

    def holds_region(self, decoded: int, offset: int) -> bool:
        """Whether a region may be entered at an offset."""
        return bool(decoded_page(self.shared, decoded).originals[offset // 2])

    def holds_regions(self, decoded: int) -> bool:
        """Whether a page has any."""
        return bool(decoded_page(self.shared, decoded).regions)

    def ran(self, decoded: int, offset: int) -> bool:
        """Whether an offset was ever executed."""
        slot = decoded_page(self.shared, decoded).slots[offset // 2]
        return bool(slot.handler != self.undecoded)

    def often_stored_to(self, decoded: int) -> bool:
        """Whether stores often go to this page, where nothing was executed."""
        return bool(decoded_page(self.shared, decoded).data_stores >= OFTEN)

    def code_changed(self, decoded: int, before: bytes, now: bytes) -> bool:
        """Whether two contents of a page differ in something that was executed."""
        for first in range(0, PAGE, PIECE):
            if before[first : first + PIECE] != now[first : first + PIECE]:
                for at in range(first, first + PIECE, 2):
                    if before[at : at + 2] != now[at : at + 2] and (
                        self.ran(decoded, at) or (at >= 2 and self.ran(decoded, at - 2))
                    ):
                        return True
        return False

    def around(self, decoded: int, page: bytes, pc: int) -> Code:
        """The code around a page that was run at an address."""
        base, decoded_pages = pc & -PAGE, {0: decoded}
        context = self._context(base, decoded)

        def bytes_at(distance: int) -> bytes | None:
            if distance == 0:
                return page
            there = self._decoded_at(context, base, distance, decoded)
            owner = None if there is None else self.owner(there)
            if there is None or owner is None:
                return None
            decoded_pages[distance] = there
            return self.content(owner)

        def ran(offset: int) -> bool:
            there = decoded_pages.get(offset // PAGE)
            return there is not None and self.ran(there, offset % PAGE)

        def taken(offset: int) -> bool:
            there = decoded_pages.get(offset // PAGE)
            return there is not None and self.holds_region(there, offset % PAGE)

        def targets(offset: int) -> tuple[int, ...]:
            there = decoded_pages.get(offset // PAGE)
            known = () if there is None else self.targets.of((there, offset % PAGE))
            return tuple(offset + distance for distance in known)

        return Code(bytes_at, ran, taken, targets)

    def _context(self, base: int, decoded: int) -> int | None:
        """The execute table that leads from a virtual page to a decoded page."""
        for core in self.cores:
            for index in range(CONTEXTS):
                if core.digests[index] == 0:
                    continue  # its memory was never touched
                table = core.tables + (index * CONTEXT_SIZE + EXECUTES) * ENTRY
                if self._entry(table, base) == int(first_slot(u64(decoded))):
                    return int(table)
        return None

    def _entry(self, table: int, base: int) -> int | None:
        at = table + (base // PAGE % TLB_SIZE) * ENTRY
        return _u64(at + 8) if _u64(at) == base else None

    def _decoded_at(
        self, context: int | None, base: int, distance: int, decoded: int
    ) -> int | None:
        wanted = (base + distance * PAGE) & (2 * KERNEL - 1)
        offset = None if context is None else self._entry(context, wanted)
        if offset is not None:
            return int(page_number(u64(offset)))
        owner = self.owner(decoded)
        if owner is None:
            return None
        if base & KERNEL or base == self.memory.base + owner * PAGE:
            return self.decoded(owner + distance)  # mapped as a whole, or not at all
        return None
