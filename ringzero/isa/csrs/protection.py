"""The CSRs of physical memory protection (privileged spec 3.7): two of configuration, 16 addresses.

Numbers for 48 more entries exist and read as zero.
"""

from __future__ import annotations

from ringzero.isa.csr import Csr, const, rw
from ringzero.isa.hart import MAPPINGS, PMP_ENTRIES, Hart
from ringzero.isa.privileged.pmp import LOCKED, READ, TOR, WRITE, entry_configuration
from ringzero.lang import native, typed_range, u64

ENTRY = 0x9F  # L, A, X, W, R
PMPCFG0, PMPADDR0 = 0x3A0, 0x3B0


@native
def legal_entry(new: u64, old: u64) -> u64:
    """A pmpcfg byte: locked ones stay; writable but not readable is reserved, W is dropped."""
    if old & LOCKED != 0:
        return old
    if new & (READ | WRITE) == WRITE:
        new = new & ~WRITE
    return new & ENTRY


@native
def locked_address(hart: Hart, index: u64) -> bool:
    """An entry's lock covers its address, and the one below it when it is a top of range."""
    if entry_configuration(hart, index) & LOCKED != 0:
        return True
    if index + 1 == PMP_ENTRIES:
        return False
    above = entry_configuration(hart, index + 1)
    return above & LOCKED != 0 and (above >> 3) & 3 == TOR


class pmpcfg0(Csr, at=range(0x3A0, 0x3A3, 2)):
    """Eight entries' permissions, address matching and lock, a byte each."""

    ENTRIES = rw(63, 0)
    changes = MAPPINGS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.pmpcfg[(number - PMPCFG0) >> 1]

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        which = (number - PMPCFG0) >> 1
        old = hart.pmpcfg[which]
        new = u64(0)
        for shift in typed_range(u64(8)):
            bits = shift << 3
            new = new | (legal_entry((value >> bits) & 0xFF, (old >> bits) & 0xFF) << bits)
        hart.pmpcfg[which] = new


class pmpcfg4(Csr, at=range(0x3A4, 0x3B0, 2)):
    """Entries that do not exist."""

    NONE = const(63, 0, 0)


class pmpaddr0(Csr, at=range(0x3B0, 0x3C0)):
    """Bits 55:2 of an entry's address."""

    ADDRESS = rw(53, 0)
    changes = MAPPINGS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.pmpaddr[number - PMPADDR0]

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        index = number - PMPADDR0
        if not locked_address(hart, index):
            hart.pmpaddr[index] = value


class pmpaddr16(Csr, at=range(0x3C0, 0x3F0)):
    """Addresses of entries that do not exist."""

    NONE = const(63, 0, 0)
