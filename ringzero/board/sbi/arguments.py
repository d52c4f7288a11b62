"""Checks of what a supervisor passes in SBI calls: harts, memory, ranges, types, features.

Firmware and hypervisor compile this same text, so that a guest gets the same errors from both.
None of the checks touches memory. Errors are returned as `sbi` has them.
"""

from __future__ import annotations

from ringzero.board import sbi
from ringzero.lang import native, u64

EVERY = 0xFFFF_FFFF_FFFF_FFFF  # of hart_mask_base: every hart; of a count of pages: all there are
MOST_HARTS = 64  # harts are bits of one word
PAGE_SHIFT = 12

# What one call of DBCN takes at most. The console may accept a part only (12.1), and callers go
# on with the rest; a longer call would keep the hart from answering others.
MOST_CONSOLE_BYTES = 4096

EXTENSIONS = (
    sbi.BASE, sbi.TIME, sbi.IPI, sbi.RFENCE, sbi.HSM, sbi.SRST, sbi.DBCN, sbi.FWFT,
    sbi.LEGACY_SET_TIMER, sbi.LEGACY_CONSOLE_PUTCHAR, sbi.LEGACY_CONSOLE_GETCHAR,
    sbi.LEGACY_SHUTDOWN,
)  # fmt: skip


@native
def describe(function: u64, extension: u64) -> tuple[u64, u64]:
    """The functions of BASE that ask about the implementation itself (chapter 4)."""
    value = u64(0)
    if function == sbi.GET_SPEC_VERSION:
        value = u64(sbi.SPECIFICATION)
    elif function == sbi.GET_IMPL_ID:
        value = u64(sbi.IMPLEMENTATION)
    elif function == sbi.GET_IMPL_VERSION:
        value = u64(sbi.IMPLEMENTATION_VERSION)
    elif function == sbi.PROBE_EXTENSION:
        for known in EXTENSIONS:
            if extension == known:
                value = u64(1)
    else:
        return u64(sbi.NOT_SUPPORTED), u64(0)
    return u64(sbi.SUCCESS), value


@native
def exists(hart: u64, present: u64) -> bool:
    """Whether there is such a hart; `present` has a bit for each that there is."""
    return hart < MOST_HARTS and present >> hart & 1 != 0


@native
def select_harts(mask: u64, base: u64, present: u64) -> tuple[u64, bool]:
    """The harts that a hart mask names, as bits; false if one of them does not exist (3.1).

    An empty mask names nobody, whatever its base.
    """
    if base == EVERY:
        return present, True
    if mask == 0:
        return u64(0), True
    if base >= MOST_HARTS:
        return u64(0), False
    named = mask << base
    return named, named >> base == mask and named & ~present == 0


@native
def is_within(low: u64, high: u64, size: u64, start: u64, end: u64) -> bool:
    """Whether `size` bytes at the physical address high:low are all in [start, end) (3.2)."""
    if high != 0:
        return False
    return size == 0 or (low >= start and low < end and size <= end - low)


@native
def is_entry(address: u64, start: u64, end: u64) -> bool:
    """Whether a hart can begin at `address`: an instruction's place in [start, end)."""
    return address & 1 == 0 and address >= start and address < end


@native
def pages_of(start: u64, size: u64) -> tuple[u64, u64]:
    """The first page of [start, start + size), and how many: EVERY for a flush of all (8).

    All is flushed for start = size = 0 and for size = 2^XLEN - 1. A range that ends behind the last
    address is no range; all is then flushed too, which covers it.
    """
    last = start + size - 1
    if size == EVERY or (start == 0 and size == 0) or (size != 0 and last < start):
        return u64(0), u64(EVERY)
    if size == 0:
        return start, u64(0)
    first = start >> PAGE_SHIFT
    return first << PAGE_SHIFT, (last >> PAGE_SHIFT) - first + 1


@native
def suspend_error(kind: u64) -> u64:
    """HSM: reserved types, and those that a platform may define and this one does not (9.4)."""
    if kind == sbi.RETENTIVE or kind == sbi.NON_RETENTIVE:
        return u64(sbi.SUCCESS)
    return u64(sbi.INVALID_PARAM)


@native
def reset_error(kind: u64, reason: u64) -> u64:
    """SRST: what is reserved, or a vendor's, of types and reasons (10.1)."""
    if kind != sbi.SHUTDOWN and kind != sbi.COLD_REBOOT and kind != sbi.WARM_REBOOT:
        return u64(sbi.INVALID_PARAM)
    if reason == sbi.NO_REASON or reason == sbi.SYSTEM_FAILURE:
        return u64(sbi.SUCCESS)
    if reason & ~u64(0xFF) == sbi.EXIT_CODE_REASON:
        return u64(sbi.SUCCESS)
    return u64(sbi.INVALID_PARAM)


@native
def feature_error(function: u64, feature: u64) -> u64:
    """FWFT: which features there are; a reserved number is denied (SBI 3.0, 18.1 and 18.2)."""
    if function != sbi.FWFT_SET and function != sbi.FWFT_GET:
        return u64(sbi.NOT_SUPPORTED)
    if feature == sbi.MISALIGNED_EXC_DELEG or feature == sbi.PTE_AD_HW_UPDATING:
        return u64(sbi.SUCCESS)
    if feature <= sbi.POINTER_MASKING_PMLEN:
        return u64(sbi.NOT_SUPPORTED)
    return u64(sbi.DENIED)


@native
def feature_value_error(feature: u64, value: u64, flags: u64, locked: u64) -> u64:
    """FWFT: what a feature may be set to; `locked` has a bit for each that is closed for good."""
    if value > 1 or flags & ~u64(sbi.FWFT_LOCK) != 0:
        return u64(sbi.INVALID_PARAM)
    if locked >> feature & 1 != 0:
        return u64(sbi.DENIED_LOCKED)
    if feature == sbi.MISALIGNED_EXC_DELEG and value == 0:  # harts do misaligned accesses
        return u64(sbi.DENIED)
    return u64(sbi.SUCCESS)
