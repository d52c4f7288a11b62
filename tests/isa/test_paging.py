"""Address translation and PMP: walks, permissions, A and D, superpages, Svnapot, Svpbmt."""

from __future__ import annotations

from typing import Any

import pytest

from ringzero.engine.reference import ReferenceEngine
from ringzero.isa.hart import Hart, M, S, U, reset
from ringzero.isa.privileged.access import load, store
from ringzero.isa.privileged.paging import Translation, translate, translate_page
from ringzero.isa.privileged.pmp import ALL, SPLIT, pmp_permissions
from ringzero.isa.privileged.trap import (
    FETCH,
    FETCH_PAGE,
    LOAD,
    LOAD_ACCESS,
    LOAD_PAGE,
    STORE,
    STORE_ACCESS,
    STORE_PAGE,
    Trap,
)
from ringzero.lang import u8, u64
from tests.lockstep.subjects import RAM, BareBoard

V, R, W, X, USER, G, A, D = (1 << bit for bit in range(8))
RWX, DONE = V | R | W | X, A | D
SUM, MXR, MPRV = 1 << 18, 1 << 19, 1 << 17
ADUE, PBMTE = 1 << 61, 1 << 62
ROOT, TABLE, LEAF, DATA = (RAM + i * 0x1000 for i in range(1, 5))
PAGE = 0x4000_0000  # the virtual page of these tests


class World:
    """A hart in S-mode with Sv39 on, RAM open to it, and one mapped page."""

    def __init__(self) -> None:
        self.hart: Any = Hart()
        self.board = BareBoard(0x10_0000)
        ReferenceEngine(self.hart, self.board)
        reset(self.hart, 0, RAM)
        self.hart.pmpcfg[0], self.hart.pmpaddr[0] = u64(0x1F), u64((1 << 54) - 1)
        self.hart.mode, self.hart.satp = u64(S), u64(8 << 60 | ROOT >> 12)
        self.put(ROOT + 8, TABLE >> 2 | V)
        self.put(TABLE, LEAF >> 2 | V)
        self.map(RWX | DONE)

    def put(self, address: int, word: int) -> None:
        assert self.board.write(address, 8, word)

    def get(self, address: int) -> int:
        return self.board.read(address, 8) or 0

    def map(self, flags: int, physical: int = DATA) -> None:
        self.put(LEAF, physical >> 2 | flags)

    def go(self, access: int, address: int = PAGE) -> int:
        """The physical address, or minus the cause."""
        try:
            return int(translate(self.hart, u64(address), access))
        except Trap:
            assert self.hart.tval == address
            return -int(self.hart.cause)


@pytest.fixture
def world() -> World:
    return World()


def test_a_page(world: World) -> None:
    assert world.go(LOAD, PAGE + 0x123) == DATA + 0x123


@pytest.mark.parametrize(
    ("flags", "outcomes"),
    [
        (V | R | DONE, (-FETCH_PAGE, DATA, -STORE_PAGE)),
        (V | X | DONE, (DATA, -LOAD_PAGE, -STORE_PAGE)),
        (V | R | W | DONE, (-FETCH_PAGE, DATA, DATA)),
        (R | W | X | DONE, (-FETCH_PAGE, -LOAD_PAGE, -STORE_PAGE)),  # not valid
        (V | W | DONE, (-FETCH_PAGE, -LOAD_PAGE, -STORE_PAGE)),  # reserved
        (V | DONE, (-FETCH_PAGE, -LOAD_PAGE, -STORE_PAGE)),  # a table below the last level
        (RWX | USER | DONE, (-FETCH_PAGE, -LOAD_PAGE, -STORE_PAGE)),
        (RWX | DONE | 1 << 54, (-FETCH_PAGE, -LOAD_PAGE, -STORE_PAGE)),
        (RWX | DONE | 1 << 61, (-FETCH_PAGE, -LOAD_PAGE, -STORE_PAGE)),  # PBMTE is off
        (RWX | D, (-FETCH_PAGE, -LOAD_PAGE, -STORE_PAGE)),  # Svade
        (RWX | A, (DATA, DATA, -STORE_PAGE)),
    ],
)
def test_permissions_of_s(world: World, flags: int, outcomes: tuple[int, int, int]) -> None:
    world.map(flags)
    assert tuple(world.go(access) for access in (FETCH, LOAD, STORE)) == outcomes


def test_user_pages(world: World) -> None:
    world.map(RWX | USER | DONE)
    world.hart.mstatus = world.hart.mstatus | SUM
    assert [world.go(access) for access in (FETCH, LOAD, STORE)] == [-FETCH_PAGE, DATA, DATA]
    world.hart.mode = u64(U)
    assert [world.go(access) for access in (FETCH, LOAD, STORE)] == [DATA] * 3
    world.map(RWX | DONE)
    assert world.go(LOAD) == -LOAD_PAGE


def test_mxr_reads_what_is_executable(world: World) -> None:
    world.map(V | X | DONE)
    world.hart.mstatus = world.hart.mstatus | MXR
    assert world.go(LOAD) == DATA
    assert world.go(STORE) == -STORE_PAGE


def test_mprv_borrows_the_mode_of_mpp(world: World) -> None:
    world.hart.mode = u64(M)
    assert world.go(LOAD) == PAGE  # M-mode does not translate
    world.hart.mstatus = world.hart.mstatus | MPRV | S << 11
    assert world.go(LOAD) == DATA
    assert world.go(FETCH) == PAGE


def test_svadu_sets_a_and_d(world: World) -> None:
    world.hart.menvcfg = u64(ADUE)
    world.map(RWX)
    assert world.go(LOAD) == DATA
    assert world.get(LEAF) == DATA >> 2 | RWX | A
    assert world.go(STORE) == DATA
    assert world.get(LEAF) == DATA >> 2 | RWX | A | D


def test_svadu_keeps_the_size_bits_of_svnapot(world: World) -> None:
    world.hart.menvcfg = u64(ADUE)
    napot = 1 << 63 | (RAM >> 2 | 8 << 10) | RWX
    world.put(LEAF + 8 * 3, napot)
    assert world.go(STORE, PAGE + 0x3456) == RAM + 0x3456
    assert world.get(LEAF + 8 * 3) == napot | A | D


@pytest.mark.parametrize("low", [0, 4, 9, 15])
def test_other_sizes_of_svnapot_are_reserved(world: World, low: int) -> None:
    world.put(LEAF, 1 << 63 | (RAM >> 2 | low << 10) | RWX | DONE)
    assert world.go(LOAD) == -LOAD_PAGE


def test_svpbmt(world: World) -> None:
    world.hart.menvcfg = u64(PBMTE)
    found = Translation()
    for memory_type in (1, 2):
        world.map(RWX | DONE | memory_type << 61)
        translate_page(world.hart, u64(PAGE), LOAD, found)
        assert found.memory_type == memory_type
    world.map(RWX | DONE | 3 << 61)
    assert world.go(LOAD) == -LOAD_PAGE


def test_superpages_must_be_aligned(world: World) -> None:
    world.put(TABLE + 8, RAM >> 2 | RWX | DONE)
    assert world.go(LOAD, PAGE + 0x20_1234) == RAM + 0x1234
    world.put(TABLE + 8, DATA >> 2 | RWX | DONE)
    assert world.go(LOAD, PAGE + 0x20_1234) == -LOAD_PAGE


@pytest.mark.parametrize("address", [1 << 38, 1 << 39, (1 << 63) - 4096, (1 << 64) - (1 << 40)])
def test_addresses_that_are_not_canonical(world: World, address: int) -> None:
    assert world.go(LOAD, address) == -LOAD_PAGE
    world.put(ROOT + 8 * 256, RAM >> 2 >> 28 << 28 | RWX | DONE)
    assert world.go(LOAD, address) == -LOAD_PAGE


def test_the_upper_half(world: World) -> None:
    world.put(ROOT + 8 * 511, RAM >> 2 | RWX | DONE)
    assert world.go(LOAD, (1 << 64) - (1 << 30) + 0x1234) == RAM + 0x1234


@pytest.mark.parametrize(("mode", "shift"), [(9, 39), (10, 48)])
def test_more_levels(world: World, mode: int, shift: int) -> None:
    upper = RAM + 0x5000
    world.put(upper, ROOT >> 2 | V)
    if mode == 10:
        world.put(upper + 0x1000, upper >> 2 | V)
        upper += 0x1000
    world.hart.satp = u64(mode << 60 | upper >> 12)
    assert world.go(LOAD, PAGE + 8) == DATA + 8
    assert world.go(LOAD, (1 << shift) + PAGE) == -LOAD_PAGE


def test_tables_outside_memory_are_access_faults(world: World) -> None:
    world.put(TABLE, 0x10_0000 >> 2 | V)
    assert world.go(LOAD) == -LOAD_ACCESS
    assert world.go(STORE) == -STORE_ACCESS


def test_tables_under_pmp(world: World) -> None:
    world.hart.pmpcfg[0] = u64(0x1F00 | 0x18)  # entry 0: the leaf table, nothing permitted
    world.hart.pmpaddr[0] = u64(LEAF >> 2 | 0x1FF)
    world.hart.pmpaddr[1] = u64((1 << 54) - 1)
    assert world.go(LOAD) == -LOAD_ACCESS


def test_what_may_be_cached(world: World) -> None:
    found = Translation()
    world.map(V | R | W | A | G)
    translate_page(world.hart, u64(PAGE + 0x10), LOAD, found)
    assert (found.physical, found.size, found.everyone) == (DATA + 0x10, 4096, True)
    assert found.permissions == 1  # W only once D is set
    world.hart.mode = u64(M)
    translate_page(world.hart, u64(PAGE), LOAD, found)
    assert (found.physical, found.permissions) == (PAGE, ALL)


@pytest.mark.parametrize(
    ("matching", "entry", "inside", "outside"),
    [
        (2, 0x2000_0400, 0x8000_1000, 0x8000_1004),  # NA4
        (3, 0x2000_0401, 0x8000_100C, 0x8000_1010),  # NAPOT, 16 bytes
        (3, 0x2000_05FF, 0x8000_1FFF, 0x8000_2000),  # NAPOT, 4 KiB
        (1, 0x2000_0400, 0x8000_0FFF, 0x8000_1000),  # TOR from zero
    ],
)
def test_pmp_ranges(world: World, matching: int, entry: int, inside: int, outside: int) -> None:
    hart = world.hart
    hart.pmpcfg[0], hart.pmpaddr[0] = u64(matching << 3 | 5), u64(entry)
    assert pmp_permissions(hart, u64(inside), 1, S) == 5
    assert pmp_permissions(hart, u64(outside), 1, S) == 0
    assert pmp_permissions(hart, u64(inside), 1, M) == ALL  # not locked
    hart.pmpcfg[0] = hart.pmpcfg[0] | 0x80
    assert pmp_permissions(hart, u64(inside), 1, M) == 5


def test_pmp_refuses_what_an_entry_covers_in_part(world: World) -> None:
    hart = world.hart
    hart.pmpcfg[0], hart.pmpaddr[0] = u64(0x17), u64(0x8000_1000 >> 2)  # NA4, everything
    hart.pmpcfg[0] = hart.pmpcfg[0] | 0x1F00
    hart.pmpaddr[1] = u64((1 << 54) - 1)
    assert pmp_permissions(hart, u64(0x8000_1000), 4, S) == ALL
    assert pmp_permissions(hart, u64(0x8000_1000), 8, S) == SPLIT
    assert pmp_permissions(hart, u64(0x8000_1004), 8, S) == ALL


def test_pmp_without_entries_is_for_m_only(world: World) -> None:
    world.hart.pmpcfg[0] = u64(0)
    assert pmp_permissions(world.hart, u64(RAM), 8, S) == 0
    assert pmp_permissions(world.hart, u64(RAM), 8, M) == ALL


def test_misaligned_accesses_cross_pages_in_parts(world: World) -> None:
    world.put(LEAF + 8, (DATA + 0x2000) >> 2 | RWX | DONE)
    store(world.hart, u64, u64(PAGE + 0xFFD), u64(0x1122_3344_5566_7788))
    assert world.board.read(DATA + 0xFFD, 2) == 0x7788
    assert world.board.read(DATA + 0x2000, 4) == 0x2233_4455
    assert load(world.hart, u64, u64(PAGE + 0xFFD)) == 0x1122_3344_5566_7788
    world.put(LEAF + 8, 0)
    with pytest.raises(Trap):
        store(world.hart, u64, u64(PAGE + 0xFFD), u64(0))
    assert (world.hart.cause, world.hart.tval) == (STORE_PAGE, PAGE + 0x1000)
    assert load(world.hart, u8, u64(PAGE + 0xFFD)) == 0  # the part before it was written


TOR, RWX_TOR, LOCKED_TOR = 0x08, 0x0F, 0x88  # no permissions, all, none even for M


@pytest.mark.parametrize("bottom", [0x1004, 0x1008, 0x1FFC, 0x2000])
@pytest.mark.parametrize("mode", [M, S])
@pytest.mark.parametrize("permissions", [TOR, LOCKED_TOR])
def test_a_top_of_range_that_is_not_above_its_bottom_matches_nothing(
    world: World, bottom: int, mode: int, permissions: int
) -> None:
    """Privileged spec 3.7.1.1: "If pmpaddr[i-1] >= pmpaddr[i] ..., PMP entry i matches no
    addresses", also not the part of an access, a page or a page table entry around its bounds.
    """
    hart = world.hart
    top = RAM + 0x1004
    hart.pmpaddr[0], hart.pmpaddr[1] = u64((RAM + bottom) >> 2), u64(top >> 2)
    hart.pmpaddr[2] = u64((1 << 54) - 1)
    hart.pmpcfg[0] = u64(0x1F << 16 | permissions << 8)
    for address in (RAM + 0x1000, RAM + 0x1004, RAM + bottom - 4, RAM + bottom):
        for size in (1, 2, 4, 8, 4096):
            assert pmp_permissions(hart, u64(address), u64(size), u64(mode)) == ALL


def test_an_empty_range_of_pmp_does_not_hinder_page_table_walks(world: World) -> None:
    hart = world.hart
    hart.pmpaddr[0] = hart.pmpaddr[1] = u64((ROOT + 12) >> 2)  # in the entry that the walk reads
    hart.pmpaddr[2] = u64((1 << 54) - 1)
    hart.pmpcfg[0] = u64(0x1F << 16 | TOR << 8)
    assert [world.go(access) for access in (LOAD, STORE, FETCH)] == [DATA] * 3


@pytest.mark.parametrize("entry", [0, 1])
def test_the_first_entry_of_pmp_begins_at_zero(world: World, entry: int) -> None:
    hart = world.hart
    hart.pmpcfg[0], hart.pmpaddr[0] = u64(RWX_TOR << 8 * entry), u64(0)
    hart.pmpaddr[1] = u64(0x1000)
    allowed = pmp_permissions(hart, u64(0), u64(8), u64(S))
    assert allowed == (ALL if entry else 0)
