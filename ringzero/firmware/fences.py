"""The fences that SBI's RFENCE asks of a hart, done on that hart (SBI 2.0, chapter 8)."""

from __future__ import annotations

from ringzero.bare import stubs
from ringzero.bare.stubs import csr
from ringzero.board import sbi
from ringzero.board.addresses import CLINT_BASE
from ringzero.board.clint import MSIP
from ringzero.firmware.layout import shared
from ringzero.lang import atomic, ctz, native, store, u32, u64

MOST_PAGES = 64  # beyond that many, one fence of everything costs less
PAGE = 4096


@native
def do_fences(hart: u64) -> None:
    """Do the fences that harts ask of this one, and wake those for whom it was the last to."""
    askers = atomic("xchg", u64, shared.asked, hart << 3, 0)
    while askers != 0:
        asker = ctz(askers)
        askers &= askers - 1
        do_fence(asker)
        if atomic("add", u64, shared.fence_left, asker << 3, ~u64(0)) == 1:
            bit = u64(1) << asker
            if atomic("and", u64, shared.asleep, 0, ~bit) & bit != 0:
                store(u32, CLINT_BASE + MSIP + (asker << 2), 1)


@native
def do_fence(asker: u64) -> None:
    """The fence that a hart asks for."""
    kind, space = shared.fence_kind[asker], shared.fence_space[asker]
    page, count = shared.fence_page[asker], shared.fence_count[asker]
    if kind == sbi.REMOTE_FENCE_I:
        stubs.fence_code()
    elif kind <= sbi.REMOTE_SFENCE_VMA_ASID:
        fence_own(kind == sbi.REMOTE_SFENCE_VMA_ASID, page, count, space)
    elif kind <= sbi.REMOTE_HFENCE_GVMA:
        fence_guests(kind == sbi.REMOTE_HFENCE_GVMA_VMID, page, count, space)
    else:  # VVMA concerns the guest whose VMID the asking hart has in hgatp
        own = csr.hgatp.swap(shared.fence_guest[asker])
        fence_inside(kind == sbi.REMOTE_HFENCE_VVMA_ASID, page, count, space)
        csr.hgatp.write(own)


@native
def fence_own(one_space: bool, page: u64, count: u64, space: u64) -> None:
    """SFENCE.VMA of pages, in all address spaces or in one."""
    if count > MOST_PAGES:
        if one_space:
            stubs.fence_space(space)
        else:
            stubs.fence_translation()
        return
    for _ in range(count):
        if one_space:
            stubs.fence_space_page(page, space)
        else:
            stubs.fence_page(page)
        page += PAGE


@native
def fence_guests(one_guest: bool, page: u64, count: u64, guest: u64) -> None:
    """HFENCE.GVMA of a guest's physical pages, of all guests or of one."""
    if count > MOST_PAGES:
        if one_guest:
            stubs.fence_vmid(guest)
        else:
            stubs.fence_guest()
        return
    for _ in range(count):
        if one_guest:
            stubs.fence_vmid_page(page >> 2, guest)
        else:
            stubs.fence_guest_page(page >> 2)
        page += PAGE


@native
def fence_inside(one_space: bool, page: u64, count: u64, space: u64) -> None:
    """HFENCE.VVMA of a guest's virtual pages, in all of its address spaces or in one."""
    if count > MOST_PAGES:
        if one_space:
            stubs.fence_virtual_space(space)
        else:
            stubs.fence_virtual()
        return
    for _ in range(count):
        if one_space:
            stubs.fence_virtual_space_page(page, space)
        else:
            stubs.fence_virtual_page(page)
        page += PAGE
