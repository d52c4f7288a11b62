"""What harts ask of one another: software interrupts, remote fences, start, stop and suspend.

A request is a bit in the other hart's mail and its msip; fences wait until every hart has done
them. SBI 2.0, chapters 7 (IPI), 8 (RFENCE) and 9 (HSM).
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
from ringzero.firmware import sbi
from ringzero.firmware.entry import enter
from ringzero.firmware.layout import (
    BASE,
    CLINT_MSIP,
    HARTS,
    MAIL_FENCE_CODE,
    MAIL_FENCE_MEMORY,
    MAIL_SOFTWARE,
    MAIL_START,
    SIZE,
    START_PENDING,
    STARTED,
    STOPPED,
    SUSPENDED,
    shared,
)
from ringzero.lang import (
    atomic,
    compare_exchange,
    fence,
    native,
    read_once,
    store,
    typed_range,
    u32,
    u64,
)

MSIE, SSIP = 1 << 3, 1 << 1
MPP_S, MPP = 1 << 11, 3 << 11
SIE, SPIE, MPIE = 1 << 1, 1 << 5, 1 << 7
SPINS = 2000  # looks at what another hart is to do before this one sleeps; even
SEND_IPI = 0
FENCE_I, SFENCE_VMA, SFENCE_VMA_ASID = 0, 1, 2
HART_START, HART_STOP, HART_STATUS, HART_SUSPEND = 0, 1, 2, 3
RETENTIVE, NON_RETENTIVE = 0, 0x8000_0000
WHOLE_FLUSH = 64 * 4096  # beyond that many bytes one fence of everything costs less


@native
def is_running(hart: u64) -> bool:
    return shared.state[hart] == STARTED or shared.state[hart] == SUSPENDED


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
    """Put `why` into a hart's mail and interrupt it."""
    atomic("or", u64, shared.mail, hart << 3, why)
    fence()
    store(u32, CLINT_MSIP + (hart << 2), 1)


@native
def read_mail() -> u64:
    """Do what other harts have asked of this one, and say what it was."""
    hart = csr.mhartid.read()
    store(u32, CLINT_MSIP + (hart << 2), 0)
    fence()
    why = atomic("xchg", u64, shared.mail, hart << 3, 0)
    if why & MAIL_SOFTWARE != 0:
        csr.mip.set(SSIP)
    if why & MAIL_FENCE_CODE != 0:
        fence_code()
    if why & MAIL_FENCE_MEMORY != 0:
        fence_memory()
    if why & (MAIL_FENCE_CODE | MAIL_FENCE_MEMORY) != 0:
        if atomic("add", u64, shared.fence_left, 0, ~u64(0)) == 1:
            wake_others()
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
def wake_others() -> None:
    """What harts may be sleeping for has happened."""
    bits = atomic("xchg", u64, shared.asleep, 0, 0)
    for hart in typed_range(u64(HARTS)):
        if bits >> hart & 1 != 0:
            store(u32, CLINT_MSIP + (hart << 2), 1)


@native
def fence_memory() -> None:
    """sfence.vma of the range and address space that the fence in progress names."""
    start, size, space = shared.fence_start, shared.fence_size, shared.fence_space
    if size == 0 or size > WHOLE_FLUSH:
        if shared.fence_by_space:
            fence_space(space)
        else:
            fence_translation()
        return
    page = start & ~u64(4095)
    while page < start + size:
        if shared.fence_by_space:
            fence_space_page(page, space)
        else:
            fence_page(page)
        page += 4096


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
    """RFENCE: a fence on other harts, done when this returns."""
    if function > SFENCE_VMA_ASID:
        return u64(sbi.NOT_SUPPORTED)
    bits, ok = select(mask, base)
    if not ok:
        return u64(sbi.INVALID_PARAM)
    tries = u64(0)
    while not compare_exchange(u64, shared.fence_lock, 0, 0, 1):
        wait_for_others(tries)
        tries += 1
    shared.fence_start = start
    shared.fence_size = 0 if start == 0 and size == ~u64(0) else size
    shared.fence_space = space
    shared.fence_by_space = function == SFENCE_VMA_ASID
    why = u64(MAIL_FENCE_CODE) if function == FENCE_I else u64(MAIL_FENCE_MEMORY)
    count = u64(0)
    for hart in typed_range(u64(HARTS)):
        count += bits >> hart & 1
    atomic("xchg", u64, shared.fence_left, 0, count)
    for hart in typed_range(u64(HARTS)):
        if bits >> hart & 1 != 0:
            post(hart, why)
    tries = u64(0)
    while read_once(u64, shared.fence_left, 0) != 0:
        wait_for_others(tries)
        tries += 1
    fence()
    atomic("xchg", u64, shared.fence_lock, 0, 0)
    wake_others()
    return u64(sbi.SUCCESS)


@native
def is_ours(address: u64, size: u64) -> bool:
    """Whether any byte of a range lies in the firmware's memory, or the range wraps."""
    return address + size < address or (address < BASE + SIZE and address + size > BASE)


@native
def start_hart(hart: u64, address: u64, argument: u64) -> u64:
    """HSM: let a stopped hart go on in S-mode at `address`."""
    if hart >= HARTS or shared.present[hart] == 0:
        return u64(sbi.INVALID_PARAM)
    if address & 1 != 0 or is_ours(address, u64(4)):
        return u64(sbi.INVALID_ADDRESS)
    if not compare_exchange(u64, shared.state, hart << 3, STOPPED, START_PENDING):
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
    atomic("xchg", u64, shared.state, hart << 3, STOPPED)
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
    atomic("xchg", u64, shared.state, hart << 3, STARTED)
    store(u32, CLINT_MSIP + (hart << 2), 0)
    csr.satp.write(u64(0))
    csr.mie.write(u64(MSIE))
    enter(address, hart, argument, mode | MPIE, u64(MPP | SIE | SPIE))


@native
def suspend(kind: u64, address: u64, argument: u64) -> u64:
    """HSM: sleep until an interrupt; a non-retentive sleep goes on at `address`."""
    if kind != RETENTIVE and kind != NON_RETENTIVE:
        return u64(sbi.INVALID_PARAM)
    if kind == NON_RETENTIVE and (address & 1 != 0 or is_ours(address, u64(4))):
        return u64(sbi.INVALID_ADDRESS)
    hart = csr.mhartid.read()
    atomic("xchg", u64, shared.state, hart << 3, SUSPENDED)
    while True:
        if csr.mip.read() & MSIE != 0:
            read_mail()
        if csr.mip.read() & csr.mie.read() != 0:
            break
        wait()
    if kind == NON_RETENTIVE:
        go(hart, address, argument, u64(MPP_S))
    atomic("xchg", u64, shared.state, hart << 3, STARTED)
    return u64(sbi.SUCCESS)


@native
def manage(function: u64, a0: u64, a1: u64, a2: u64) -> tuple[u64, u64]:
    """The HSM extension."""
    if function == HART_START:
        return start_hart(a0, a1, a2), u64(0)
    if function == HART_STOP:
        stop_this()
    if function == HART_STATUS:
        if a0 >= HARTS or shared.present[a0] == 0:
            return u64(sbi.INVALID_PARAM), u64(0)
        return u64(sbi.SUCCESS), shared.state[a0]
    if function == HART_SUSPEND:
        return suspend(u64(u32(a0)), a1, a2), u64(0)
    return u64(sbi.NOT_SUPPORTED), u64(0)
