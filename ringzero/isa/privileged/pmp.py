"""Physical memory protection: what the sixteen PMP entries permit (privileged spec 3.7)."""

from __future__ import annotations

from ringzero.isa.hart import PMP_ENTRIES, Hart, M
from ringzero.lang import native, typed_range, u64

READ, WRITE, EXECUTE = 1, 2, 4
SPLIT = 8  # an entry covers only part of the range: the access as a whole is refused
ALL = READ | WRITE | EXECUTE

LOCKED = 0x80
OFF, TOR, NA4, NAPOT = 0, 1, 2, 3


@native
def entry_configuration(hart: Hart, index: u64) -> u64:
    """The pmpcfg byte of one entry."""
    return (hart.pmpcfg[index >> 3] >> ((index & 7) << 3)) & 0xFF


@native
def entry_range(hart: Hart, index: u64, matching: u64) -> tuple[u64, u64]:
    """First byte and end of the region that an active entry covers, which may be empty."""
    address = hart.pmpaddr[index]
    if matching == TOR:  # an end that is not above the start makes an empty range (3.7.1.1)
        below = u64(0)
        if index > 0:
            below = hart.pmpaddr[index - 1] << 2
        return below, address << 2
    if matching == NA4:
        return address << 2, (address + 1) << 2
    ones = address ^ (address + 1)
    return (address & ~ones) << 2, ((address | ones) + 1) << 2


@native
def pmp_permissions(hart: Hart, address: u64, size: u64, mode: u64) -> u64:
    """READ, WRITE, EXECUTE bits of the lowest-numbered entry that covers the range; or SPLIT."""
    for half in typed_range(u64(PMP_ENTRIES // 8)):
        rest = hart.pmpcfg[half]
        index = half << 3
        while rest != 0:
            matching = (rest >> 3) & 3
            if matching != OFF:
                start, end = entry_range(hart, index, matching)
                if start < end and address < end and address + size > start:
                    if address < start or address + size > end:
                        return SPLIT
                    if mode == M and rest & LOCKED == 0:
                        return ALL
                    return rest & ALL
            rest = rest >> 8
            index = index + 1
    if mode == M:
        return ALL
    return 0
