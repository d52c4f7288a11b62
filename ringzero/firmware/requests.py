"""What harts ask of one another: software interrupts and remote fences.

A request is a bit in the other hart's mail and its msip; who asks for fences waits until every hart
has done them. SBI 2.0, chapters 7 (IPI) and 8 (RFENCE).
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, wait
from ringzero.board import sbi
from ringzero.board.addresses import CLINT_BASE
from ringzero.board.clint import MSIP
from ringzero.board.sbi.arguments import pages_of, select_harts
from ringzero.firmware.fences import do_fence, do_fences
from ringzero.firmware.layout import MAIL_FENCE, MAIL_SOFTWARE, shared
from ringzero.isa.privileged.trap import SSI
from ringzero.lang import atomic, ctz, fence, native, popcount, read_once, store, u32, u64

SPINS = 1000  # looks at what another hart is to do before this one sleeps; even


@native
def running(harts: u64) -> u64:
    """Those of a set of harts that run; the others fence everything when they start."""
    bits, left = u64(0), harts
    while left != 0:
        hart = ctz(left)
        left &= left - 1
        state = read_once(u64, shared.state, hart << 3)
        if state == sbi.STARTED or state == sbi.SUSPENDED:
            bits |= u64(1) << hart
    return bits


@native
def post(hart: u64, why: u64) -> None:
    """Put `why` into a hart's mail and interrupt it, unless whoever put the first there does."""
    if atomic("or", u64, shared.mail, hart << 3, why) == 0:
        fence()
        store(u32, CLINT_BASE + MSIP + (hart << 2), 1)


@native
def read_mail() -> u64:
    """Do what other harts have asked of this one, and say what it was."""
    hart = csr.mhartid.read()
    store(u32, CLINT_BASE + MSIP + (hart << 2), 0)
    fence()
    why = atomic("xchg", u64, shared.mail, hart << 3, 0)
    if why & MAIL_SOFTWARE != 0:
        csr.mip.set(u64(1 << SSI))
    if why & MAIL_FENCE != 0:
        do_fences(hart)
    return why


@native
def wait_for_others(tries: u64) -> None:
    """Between two looks at what other harts are to do: spin a little, then sleep until one rings.

    They may wait for this hart, so it does what they ask. Before it sleeps it says so and looks
    once more; no device is asked in vain.
    """
    hart = csr.mhartid.read()
    if tries < SPINS:
        if read_once(u64, shared.mail, hart << 3) != 0:
            read_mail()
    elif tries & 1 == 0:
        atomic("or", u64, shared.asleep, 0, u64(1) << hart)
    else:
        wait()
        read_mail()


@native
def send(mask: u64, base: u64) -> u64:
    """IPI: make a supervisor software interrupt pending."""
    harts, good = select_harts(mask, base, shared.present[0])
    if not good:
        return u64(sbi.INVALID_PARAM)
    left = running(harts)
    while left != 0:
        post(ctz(left), u64(MAIL_SOFTWARE))
        left &= left - 1
    return u64(sbi.SUCCESS)


@native
def remote_fence(function: u64, mask: u64, base: u64, start: u64, size: u64, space: u64) -> u64:
    """RFENCE: a fence on other harts, done when this returns.

    Each hart has a place for its own, so that several are under way at a time, and a hart that is
    interrupted does all that were asked of it.
    """
    if function > sbi.REMOTE_HFENCE_VVMA:
        return u64(sbi.NOT_SUPPORTED)
    of_guests = function >= sbi.REMOTE_HFENCE_GVMA_VMID
    if of_guests and not shared.has_guests:
        return u64(sbi.NOT_SUPPORTED)
    harts, good = select_harts(mask, base, shared.present[0])
    if not good:
        return u64(sbi.INVALID_PARAM)
    hart = csr.mhartid.read()
    shared.fence_kind[hart] = function
    shared.fence_page[hart], shared.fence_count[hart] = pages_of(start, size)
    shared.fence_space[hart] = space
    if of_guests:
        shared.fence_guest[hart] = csr.hgatp.read()
    fence()  # the supervisor's tables are written before a hart is found not to run yet
    ask(hart, running(harts))
    return u64(sbi.SUCCESS)


@native
def ask(hart: u64, harts: u64) -> None:
    """Have a set of harts, this one perhaps among them, do this hart's fence."""
    own = u64(1) << hart
    left = harts & ~own
    atomic("xchg", u64, shared.fence_left, hart << 3, u64(popcount(left)))
    while left != 0:
        other = ctz(left)
        left &= left - 1
        if atomic("or", u64, shared.asked, other << 3, own) == 0:
            post(other, u64(MAIL_FENCE))
    if harts & own != 0:
        do_fence(hart)
    tries = u64(0)
    while read_once(u64, shared.fence_left, hart << 3) != 0:
        wait_for_others(tries)
        tries += 1
    fence()
