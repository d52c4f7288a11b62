"""A walk told step by step, in one stage and in two."""

from __future__ import annotations

import pytest

from ringzero.errors import UsageError
from ringzero.isa.hart import Hart, add_hypervisor, reset
from ringzero.isa.privileged.trap import LOAD_GUEST_PAGE, LOAD_PAGE, STORE_PAGE
from ringzero.lang import u64
from ringzero.trace.walk import Walk, walk

RAM = 0x8000_0000
GUEST_ROOT, ROOT, MIDDLE, LAST, DATA = (RAM + n for n in (0, 0x10000, 0x11000, 0x12000, 0x20000))
V, R, W, X, U, A, D = (1 << bit for bit in (0, 1, 2, 3, 4, 6, 7))
PAGE = V | R | W | U | A
EVERYTHING = 1 << 54


class World:
    """A hart with Sv39 tables for a guest that has Sv39x4 below it, all of RAM where it is."""

    def __init__(self) -> None:
        self.words = {
            GUEST_ROOT + 2 * 8: RAM >> 2 | PAGE | X | D,
            ROOT + 8: MIDDLE >> 2 | V,
            MIDDLE: LAST >> 2 | V,
            LAST: DATA >> 2 | PAGE,
        }
        self.hart = Hart()
        reset(self.hart, u64(0), u64(RAM))
        add_hypervisor(self.hart)
        self.hart.mode = u64(0)
        self.hart.satp = self.hart.vsatp = u64(8 << 60 | ROOT >> 12)
        self.hart.hgatp = u64(8 << 60 | GUEST_ROOT >> 12)
        self.hart.pmpaddr[0], self.hart.pmpcfg[0] = u64(EVERYTHING - 1), u64(0x1F)

    def read(self, address: int, size: int) -> int | None:
        return self.words.get(address, 0) if address >= RAM else None

    def walk(self, address: int, access: str = "load", mode: str = "VU") -> Walk:
        return walk(self.hart, self.read, address, access, mode)


def test_one_stage_reads_an_entry_per_level() -> None:
    seen = World().walk(0x4000_0123, mode="U")
    assert [(e.stage, e.level, e.address) for e in seen.entries] == [
        ("S", 2, ROOT + 8), ("S", 1, MIDDLE), ("S", 0, LAST),
    ]  # fmt: skip
    assert (seen.physical, seen.fault, seen.formats) == (DATA + 0x123, None, ("Sv39",))


def test_two_stages_reach_each_entry_through_the_second() -> None:
    seen = World().walk(0x4000_0123)
    assert [(e.stage, e.level, e.target) for e in seen.entries] == [
        ("G", 2, ROOT + 8), ("VS", 2, 0x4000_0123),
        ("G", 2, MIDDLE), ("VS", 1, 0x4000_0123),
        ("G", 2, LAST), ("VS", 0, 0x4000_0123),
        ("G", 2, DATA + 0x123),
    ]  # fmt: skip
    assert seen.physical == DATA + 0x123
    assert seen.permissions == "r--"  # stores have to set D first
    assert seen.formats == ("Sv39", "Sv39x4")
    assert "Sv39 over Sv39x4" in str(seen)
    assert str(seen).count("\n") == len(seen.entries) + 1


def test_a_guest_page_fault_tells_the_guest_physical_address() -> None:
    world = World()
    world.words[MIDDLE] = 0x4000_0000 >> 2 | V  # a table where the G-stage has nothing
    seen = world.walk(0x4000_0123)
    assert seen.fault is not None
    assert (seen.fault.cause, seen.fault.tval) == (LOAD_GUEST_PAGE, 0x4000_0123)
    assert seen.fault.guest_physical == 0x4000_0000
    assert seen.entries[-1].stage == "G"
    assert "load guest-page fault" in str(seen)


def test_faults_of_the_first_stage_are_the_guests_own() -> None:
    world = World()
    seen = world.walk(0x4000_0123, "store")  # D is clear and Svadu is off
    assert seen.fault is not None
    assert (seen.fault.cause, seen.fault.guest_physical) == (STORE_PAGE, None)
    assert world.walk(0x4000_0123, mode="VS").fault.cause == LOAD_PAGE  # type: ignore[union-attr]


def test_nothing_is_written_while_looking() -> None:
    world = World()
    world.hart.menvcfg = world.hart.henvcfg = u64(1 << 61)
    before = dict(world.words)
    seen = world.walk(0x4000_0123, "store")
    assert seen.physical == DATA + 0x123
    assert seen.entries[-2].target == LAST  # the G-stage once more, to set D
    assert world.words == before


def test_machine_mode_translates_nothing() -> None:
    seen = World().walk(RAM, mode="M")
    assert (seen.entries, seen.physical) == ((), RAM)


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="VS"):
        World().walk(RAM, mode="X")
