"""Random page tables: orderly ones for code, and a window where every kind of entry is tried."""

from __future__ import annotations

import random
import struct

from tests.lockstep.layout import DATA, PAGE, RAM, TABLE_COUNT, TABLES, WINDOW_PAGES

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
NAPOT = 1 << 63
ROOT39, ROOT48, ROOT57, L1_CODE, L0_CODE, L1_USER, L0_USER, L1_WINDOW, L0_WINDOW = range(9)
SPARE = 9

SV39, SV48, SV57 = 8, 9, 10
ROOTS = {SV39: ROOT39, SV48: ROOT48, SV57: ROOT57}


def root(mode: int) -> int:
    """The satp of one mode, without an address space number."""
    return mode << 60 | page(ROOTS[mode]) >> 12


def page(index: int) -> int:
    """The physical address of a table."""
    return TABLES + index * PAGE


def entry(physical: int, flags: int) -> int:
    """A page table entry."""
    return physical >> 12 << 10 | flags


class Tables:
    """The tables of one program."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.words = [[0] * 512 for _ in range(TABLE_COUNT)]
        self._code(ROOT39, 2, L1_CODE, L0_CODE, 0)
        self._code(ROOT39, 1, L1_USER, L0_USER, U)
        self._window()
        self.words[ROOT48][0] = entry(page(ROOT39), V)
        self.words[ROOT57][0] = entry(page(ROOT48), V)

    def _code(self, top: int, index: int, middle: int, bottom: int, user: int) -> None:
        self.words[top][index] = entry(page(middle), V)
        self.words[middle][0] = entry(page(bottom), V)
        for number in range(0x20):  # the tables themselves stay out of reach
            writable = W | D if number >= 0x10 else 0
            flags = V | R | X | A | writable | user | self.chance.choice((0, G))
            self.words[bottom][number] = entry(RAM + number * PAGE, flags)

    def _window(self) -> None:
        self.words[ROOT39][3] = entry(page(L1_WINDOW), V)
        self.words[L1_WINDOW][0] = entry(page(L0_WINDOW), V)
        for number in range(WINDOW_PAGES):
            self.words[L0_WINDOW][number] = self.random_entry(self._page())
        for number in range(1, 9):  # 2 MiB pages, tables among them
            self.words[L1_WINDOW][number] = self.random_entry(self._large(21))
        for number in range(4, 8):
            self.words[ROOT39][number] = self.random_entry(self._large(30))
        for number in range(1, 4):
            self.words[ROOT48][number] = self.random_entry(self._large(39))

    def _page(self) -> int:
        if self.chance.random() < 0.9:
            return DATA + self.chance.randrange(16) * PAGE
        return self.chance.choice((RAM - PAGE, RAM + 0x1000_0000, 0x3000_0000, 1 << 55, 3 << 50))

    def _large(self, shift: int) -> int:
        aligned = RAM >> shift << shift
        if self.chance.random() < 0.2:
            return DATA  # misaligned
        return aligned

    def random_entry(self, physical: int) -> int:
        """A leaf that mostly works, or anything else."""
        chance = self.chance
        kind = chance.random()
        if kind < 0.06:
            return chance.getrandbits(64) & ~(chance.getrandbits(1) * (0x3FF << 54))
        flags = V | chance.choice((R, R | W, R | W, R | W | X, R | X, X, W, W | X))
        for bit, likely in ((U, 0.5), (G, 0.3), (A, 0.7), (D, 0.6)):
            if chance.random() < likely:
                flags |= bit
        word = entry(physical, flags)
        if kind < 0.18:  # Svnapot: 64 KiB, told by 1000 in the low bits of the page number
            word = word & ~(15 << 10) | NAPOT | (8 if kind < 0.16 else chance.randrange(16)) << 10
        if kind > 0.9:
            word |= chance.randrange(1, 4) << 61  # Svpbmt
        if kind > 0.98:
            word |= 1 << chance.randrange(54, 61)
        if 0.85 < kind < 0.88:
            word &= ~V
        if 0.88 < kind < 0.9:
            word = entry(page(SPARE), V | chance.choice((0, A, D, U, G)))  # a table
        return word

    def image(self) -> bytes:
        """The bytes at TABLES."""
        return b"".join(struct.pack("<512Q", *words) for words in self.words)
