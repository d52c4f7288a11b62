"""What a program adds where the hart has H: a G-stage of tables, and the CSRs of guests.

Guest physical memory is machine memory, mostly: the pages of code and of VS's own tables rarely
miss a permission, those of data often do.
"""

from __future__ import annotations

import random
import struct

from tests.lockstep.layout import DATA, GUEST_TABLE_COUNT, GUEST_TABLES, PAGE, RAM
from tests.lockstep.tables import SV39, SV48, SV57, A, D, R, Tables, U, V, W, X, entry

ROOT39, ROOT48, ROOT57, L1, L0 = 0, 4, 8, 12, 13
ROOTS = {SV39: ROOT39, SV48: ROOT48, SV57: ROOT57}
EVERYTHING = V | R | W | X | U | A | D
CODE, DATA_PAGES, TABLE_PAGES = range(0x10), range(0x10, 0x20), range(0x20, 0x2A)
BEYOND = 3 << 39  # guest physical addresses that only a widened root of Sv39x4 translates

FIRST_CSRS = ("vstimecmp",)  # while STCE is off: Spike takes a later write for stimecmp's in part
START_CSRS = ("vstvec", "hstateen0", "hcounteren", "htimedelta", "vsscratch", "hvip")
CHUNK_CSRS = (
    "hstatus", "hgatp", "vsatp", "vsstatus", "hedeleg", "hideleg", "henvcfg", "vscause",
)  # fmt: skip
MPV = 1 << 39
SPV, SPVP = 1 << 7, 1 << 8
TRAPPED = ((1 << 9, 0.5), (1 << 20, 0.1), (1 << 21, 0.2), (1 << 22, 0.1))  # HU, VTVM, VTW, VTSR
GUEST_CAUSES = (1 << 20, 1 << 21, 1 << 22, 1 << 23)  # medeleg


def page(index: int) -> int:
    """The physical address of a table of the G-stage."""
    return GUEST_TABLES + index * PAGE


def root(mode: int) -> int:
    """The hgatp of one mode, without a VMID."""
    return mode << 60 | page(ROOTS[mode]) >> 12


class GuestTables:
    """The G-stage's tables of one program."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.words = [[0] * 512 for _ in range(GUEST_TABLE_COUNT)]
        self.random_entry = Tables(random.Random(chance.getrandbits(32))).random_entry
        self.words[ROOT39][2] = entry(page(L1), V)
        self.words[L1][0] = entry(page(L0), V)
        self.words[ROOT48][0] = entry(page(ROOT39), V)
        self.words[ROOT57][0] = entry(page(ROOT48), V)
        self._pages()
        self._large()

    def _pages(self) -> None:
        for number in (*CODE, *TABLE_PAGES):
            flags = EVERYTHING
            if self.chance.random() < (0.01 if number in CODE else 0.08):
                flags &= ~self.chance.choice((A, D, W | D, R | W, U, X))
            self.words[L0][number] = entry(RAM + number * PAGE, flags)
        for number in DATA_PAGES:
            if self.chance.random() < 0.4:
                self.words[L0][number] = entry(RAM + number * PAGE, EVERYTHING)
            else:
                self.words[L0][number] = self._leaf(DATA + self.chance.randrange(16) * PAGE)

    def _large(self) -> None:
        for number in range(1, 9):
            self.words[L1][number] = self._leaf(RAM >> 21 << 21)
        for number in (0, 1, 3, 4, 5, 6, 7):
            self.words[ROOT39][number] = self._leaf(RAM >> 30 << 30)
        first, index = divmod((BEYOND + RAM) >> 30, 512)
        self.words[ROOT39 + first][index] = self._leaf(RAM >> 30 << 30)

    def _leaf(self, physical: int) -> int:
        word = self.random_entry(physical)
        return word | U if self.chance.random() < 0.8 and word & (R | W | X) else word

    def image(self) -> bytes:
        """The bytes at GUEST_TABLES."""
        return b"".join(struct.pack("<512Q", *words) for words in self.words)
