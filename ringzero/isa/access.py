"""How instructions reach memory: virtual loads, stores, atomics and fetches, on any hart.

Misaligned loads and stores work (Zicclsm): they are split into bytes, and a store checks every
byte before it changes one, so a fault leaves memory as it was. Atomics must be aligned.
Engines replace these by versions with a translation cache; this text is what they must mean.
"""

from __future__ import annotations

from ringzero.isa.hart import NO_RESERVATION, Hart
from ringzero.isa.paging import translate_span
from ringzero.isa.ports import (
    physical_amo,
    physical_compare_exchange,
    physical_read,
    physical_write,
)
from ringzero.isa.trap import (
    FETCH,
    LOAD,
    LOAD_ACCESS,
    STORE,
    STORE_ACCESS,
    Trap,
    access_fault,
    exception,
)
from ringzero.lang import native, typed_range, u8, u16, u32, u64

BLOCK = 64  # bytes of a cache block, for Zicbom and Zicboz
CLEAN, FLUSH, INVALIDATE = 1, 2, 0  # cbo operations


@native
def load(hart: Hart, kind: type, address: u64) -> u64:
    """The zero-extended `kind` at a virtual address."""
    size = kind.bits // 8
    if address & (size - 1) != 0:
        return load_bytes(hart, size, address)
    value, answered = physical_read(hart, kind, translate_span(hart, address, LOAD, size))
    if not answered:
        raise access_fault(hart, address, LOAD)
    return value


@native
def load_bytes(hart: Hart, size: int, address: u64) -> u64:
    """A misaligned load, byte by byte; the fault is the one of the first byte that has one."""
    value = u64(0)
    for i in range(size):
        value = value | (load(hart, u8, address + i) << (8 * i))
    return value


@native
def store(hart: Hart, kind: type, address: u64, value: u64) -> None:
    """Store the low bits of `value` at a virtual address."""
    size = kind.bits // 8
    if address & (size - 1) != 0:
        store_bytes(hart, size, address, value)
    elif not physical_write(hart, kind, translate_span(hart, address, STORE, size), value):
        raise access_fault(hart, address, STORE)


@native
def store_bytes(hart: Hart, size: int, address: u64, value: u64) -> None:
    """A misaligned store: all bytes are translated before the first is written."""
    for i in range(size):
        translate_span(hart, address + i, STORE, 1)
    for i in range(size):
        store(hart, u8, address + i, value >> (8 * i))


@native
def amo(hart: Hart, operation: str, kind: type, address: u64, operand: u64) -> u64:
    """Atomic read-modify-write; the old value, zero-extended. `operation` is LLVM's name."""
    size = kind.bits // 8
    if address & (size - 1) != 0:
        raise access_fault(hart, address, STORE)
    old, answered = physical_amo(
        hart, operation, kind, translate_span(hart, address, STORE, size), operand
    )
    if not answered:
        raise access_fault(hart, address, STORE)
    return old


@native
def load_reserved(hart: Hart, kind: type, address: u64) -> u64:
    """lr: load, and remember where and what for `store_conditional`."""
    size = kind.bits // 8
    if address & (size - 1) != 0:
        raise access_fault(hart, address, LOAD)
    physical = translate_span(hart, address, LOAD, size)
    value, answered = physical_read(hart, kind, physical)
    if not answered:
        raise access_fault(hart, address, LOAD)
    hart.reservation = physical
    hart.reservation_value = value
    return value


@native
def store_conditional(hart: Hart, kind: type, address: u64, value: u64) -> u64:
    """sc: 0 when the reserved place still holds what lr read and now holds `value`, else 1.

    Comparing the value instead of watching all stores admits ABA, which sc's users tolerate by
    construction (they recompute `value` from what lr read), and needs no global monitor.
    """
    size = kind.bits // 8
    if address & (size - 1) != 0:
        raise access_fault(hart, address, STORE)
    physical = translate_span(hart, address, STORE, size)
    reserved = hart.reservation == physical
    hart.reservation = NO_RESERVATION
    if not reserved:
        ignored, there = physical_read(hart, kind, physical)
        if not there:  # what can hold no reservation faults even so, as a store would
            raise access_fault(hart, address, STORE)
        return 1
    expected = u64(kind(hart.reservation_value))
    swapped, answered = physical_compare_exchange(hart, kind, physical, expected, value)
    if not answered:
        raise access_fault(hart, address, STORE)
    return u64(not swapped)


@native
def fetch(hart: Hart, address: u64) -> u32:
    """The instruction at an even address: 16 bits zero-extended if compressed, else 32 bits."""
    low = fetch_parcel(hart, address)
    if low & 3 != 3:
        return low
    return low | (fetch_parcel(hart, address + 2) << 16)


@native
def fetch_parcel(hart: Hart, address: u64) -> u32:
    """One 16-bit parcel, which never straddles a page."""
    value, answered = physical_read(hart, u16, translate_span(hart, address, FETCH, 2))
    if not answered:
        raise access_fault(hart, address, FETCH)
    return u32(value)


@native
def zero_block(hart: Hart, address: u64) -> None:
    """cbo.zero: the cache block that holds `address` becomes zero, PMP's grain at a time."""
    block = address & ~(BLOCK - 1)
    for word in typed_range(u64(BLOCK // 4)):
        store(hart, u32, block + (word << 2), 0)


@native
def cache_block(hart: Hart, address: u64, op: int) -> None:
    """cbo.clean, flush, inval: memory here is coherent, so only the permission check is left.

    Reading is what has to be permitted, but the faults are those of stores ("CMO" 19.4.2).
    """
    try:
        block = translate_span(hart, address, LOAD, 1) & ~(BLOCK - 1)
        value, answered = physical_read(hart, u64, block)
        if not answered:
            raise access_fault(hart, address, LOAD)
    except Trap:
        raise exception(hart, hart.cause + (STORE_ACCESS - LOAD_ACCESS), hart.tval)
