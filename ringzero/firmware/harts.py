"""What harts ask of one another: software interrupts, remote fences, start, stop and suspend.

A request is a bit in the other hart's mail and its msip; who asks for fences waits until every hart
has done them. SBI 2.0, chapters 7 (IPI), 8 (RFENCE) and 9 (HSM).
"""

from __future__ import annotations

from ringzero.bare.stubs import (
    csr,
    fence_code,
    fence_page,
    fence_space,
    fence_space_page,
    fence_translation,
    wait,
)
from ringzero.board import sbi
from ringzero.board.addresses import CLINT_BASE, FIRMWARE_SIZE, RAM_BASE
from ringzero.board.clint import MSIP
from ringzero.firmware.entry import enter
from ringzero.firmware.layout import (
    HARTS,
    MAIL_FENCE,
    MAIL_SOFTWARE,
    MAIL_START,
    shared,
)
from ringzero.lang import (
    atomic,
    compare_exchange,
    fence,
    native,
    popcount,
    read_once,
    store,
    typed_range,
    u32,
    u64,
)

MSIE, SSIP = 1 << 3, 1 << 1
MPP_S, MPP = 1 << 11, 3 << 11
SIE, SPIE, MPIE = 1 << 1, 1 << 5, 1 << 7
SPINS = 1000  # looks at what another hart is to do before this one sleeps; even
WHOLE_FLUSH = 64 * 4096  # beyond that many bytes one fence of everything costs less


@native
def is_running(hart: u64) -> bool:
    return shared.state[hart] == sbi.STARTED or shared.state[hart] == sbi.SUSPENDED


@native
def select(mask: u64, base: u64) -> tuple[u64, bool]:
    """The harts of an SBI hart mask that run, as bits; false if one of them does not exist."""
    bits = u64(0)
    for hart in typed_range(u64(HARTS)):
        if base == ~u64(0):
            if is_running(hart):
                bits |= u64(1) << hart
        elif base <= hart < base + 64 and mask >> (hart - base) & 1 != 0:
            if shared.present[hart] == 0:
                return bits, False
            if is_running(hart):
                bits |= u64(1) << hart
            mask &= ~(u64(1) << (hart - base))
    return bits, base == ~u64(0) or mask == 0


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
        csr.mip.set(SSIP)
    if why & MAIL_FENCE != 0:
        do_fences(hart)
    return why


@native
def do_fences(hart: u64) -> None:
    """Do the fences that harts ask of this one, and wake those for whom it was the last to."""
    askers = atomic("xchg", u64, shared.asked, hart << 3, 0)
    for asker in typed_range(u64(HARTS)):
        if askers >> asker & 1 != 0:
            do_fence(asker)
            if atomic("add", u64, shared.fence_left, asker << 3, ~u64(0)) == 1:
                bit = u64(1) << asker
                if atomic("and", u64, shared.asleep, 0, ~bit) & bit != 0:
                    store(u32, CLINT_BASE + MSIP + (asker << 2), 1)


@native
def do_fence(asker: u64) -> None:
    """The fence that a hart asks for: of code, or of a range and perhaps an address space."""
    kind = shared.fence_kind[asker]
    if kind == sbi.REMOTE_FENCE_I:
        fence_code()
        return
    start, size, space = (
        shared.fence_start[asker],
        shared.fence_size[asker],
        shared.fence_space[asker],
    )
    if size == 0 or size > WHOLE_FLUSH:
        if kind == sbi.REMOTE_SFENCE_VMA_ASID:
            fence_space(space)
        else:
            fence_translation()
        return
    page = start & ~u64(4095)
    while page < start + size:
        if kind == sbi.REMOTE_SFENCE_VMA_ASID:
            fence_space_page(page, space)
        else:
            fence_page(page)
        page += 4096


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
    bits, ok = select(mask, base)
    if not ok:
        return u64(sbi.INVALID_PARAM)
    for hart in typed_range(u64(HARTS)):
        if bits >> hart & 1 != 0:
            post(hart, MAIL_SOFTWARE)
    return u64(sbi.SUCCESS)


@native
def remote_fence(function: u64, mask: u64, base: u64, start: u64, size: u64, space: u64) -> u64:
    """RFENCE: a fence on other harts, done when this returns.

    Each hart has a place for its own, so that several are under way at a time, and a hart that is
    interrupted does all that were asked of it.
    """
    if function > sbi.REMOTE_SFENCE_VMA_ASID:
        return u64(sbi.NOT_SUPPORTED)
    bits, ok = select(mask, base)
    if not ok:
        return u64(sbi.INVALID_PARAM)
    hart = csr.mhartid.read()
    own = u64(1) << hart
    shared.fence_kind[hart] = function
    shared.fence_start[hart] = start
    shared.fence_size[hart] = 0 if start == 0 and size == ~u64(0) else size
    shared.fence_space[hart] = space
    atomic("xchg", u64, shared.fence_left, hart << 3, u64(popcount(bits & ~own)))
    for other in typed_range(u64(HARTS)):
        if (bits & ~own) >> other & 1 != 0:
            if atomic("or", u64, shared.asked, other << 3, own) == 0:
                post(other, u64(MAIL_FENCE))
    if bits & own != 0:
        do_fence(hart)
    tries = u64(0)
    while read_once(u64, shared.fence_left, hart << 3) != 0:
        wait_for_others(tries)
        tries += 1
    fence()
    return u64(sbi.SUCCESS)


@native
def is_ours(address: u64, size: u64) -> bool:
    """Whether any byte of a range lies in the firmware's memory, or the range wraps."""
    return address + size < address or (
        address < RAM_BASE + FIRMWARE_SIZE and address + size > RAM_BASE
    )


@native
def start_hart(hart: u64, address: u64, argument: u64) -> u64:
    """HSM: let a stopped hart go on in S-mode at `address`."""
    if hart >= HARTS or shared.present[hart] == 0:
        return u64(sbi.INVALID_PARAM)
    if address & 1 != 0 or is_ours(address, u64(4)):
        return u64(sbi.INVALID_ADDRESS)
    if not compare_exchange(u64, shared.state, hart << 3, sbi.STOPPED, sbi.START_PENDING):
        return u64(sbi.ALREADY_AVAILABLE)
    shared.start_address[hart] = address
    shared.start_argument[hart] = argument
    post(hart, MAIL_START)
    return u64(sbi.SUCCESS)


@native
def stop_this() -> None:
    """HSM: stop, and wait to be started again. Does not return."""
    hart = csr.mhartid.read()
    csr.mie.write(u64(MSIE))
    read_mail()
    atomic("xchg", u64, shared.state, hart << 3, sbi.STOPPED)
    wait_for_start(hart)


@native
def wait_for_start(hart: u64) -> None:
    """Sleep until another hart starts this one, then go there. Does not return."""
    csr.mie.write(u64(MSIE))
    while read_mail() & MAIL_START == 0:
        wait()
    csr.mip.clear(SSIP)
    go(hart, shared.start_address[hart], shared.start_argument[hart], u64(MPP_S))


@native
def go(hart: u64, address: u64, argument: u64, mode: u64) -> None:
    """Leave for the supervisor: translation off, interrupts off (SBI 2.0, table 18)."""
    atomic("xchg", u64, shared.state, hart << 3, sbi.STARTED)
    csr.satp.write(u64(0))
    csr.mie.write(u64(MSIE))
    enter(address, hart, argument, mode | MPIE, u64(MPP | SIE | SPIE))


@native
def suspend(kind: u64, address: u64, argument: u64) -> u64:
    """HSM: sleep until an interrupt; a non-retentive sleep goes on at `address`."""
    if kind != sbi.RETENTIVE and kind != sbi.NON_RETENTIVE:
        return u64(sbi.INVALID_PARAM)
    if kind == sbi.NON_RETENTIVE and (address & 1 != 0 or is_ours(address, u64(4))):
        return u64(sbi.INVALID_ADDRESS)
    hart = csr.mhartid.read()
    atomic("xchg", u64, shared.state, hart << 3, sbi.SUSPENDED)
    while True:
        if csr.mip.read() & MSIE != 0:
            read_mail()
        if csr.mip.read() & csr.mie.read() != 0:
            break
        wait()
    if kind == sbi.NON_RETENTIVE:
        go(hart, address, argument, u64(MPP_S))
    atomic("xchg", u64, shared.state, hart << 3, sbi.STARTED)
    return u64(sbi.SUCCESS)


@native
def manage(function: u64, a0: u64, a1: u64, a2: u64) -> tuple[u64, u64]:
    """The HSM extension."""
    if function == sbi.HART_START:
        return start_hart(a0, a1, a2), u64(0)
    if function == sbi.HART_STOP:
        stop_this()
    if function == sbi.HART_GET_STATUS:
        if a0 >= HARTS or shared.present[a0] == 0:
            return u64(sbi.INVALID_PARAM), u64(0)
        return u64(sbi.SUCCESS), shared.state[a0]
    if function == sbi.HART_SUSPEND:
        return suspend(u64(u32(a0)), a1, a2), u64(0)
    return u64(sbi.NOT_SUPPORTED), u64(0)
