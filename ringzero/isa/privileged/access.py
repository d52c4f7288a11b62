"""How instructions reach memory: virtual loads, stores, atomics and fetches, on any hart.

Misaligned loads and stores work (Zicclsm): they are split at page boundaries, and the parts are
accesses of their own. Atomics must be aligned.
Engines replace these by versions with a translation cache; this text is what they must mean.
"""

from __future__ import annotations

from ringzero.isa.hart import NO_RESERVATION, Hart
from ringzero.isa.ports import (
    physical_amo,
    physical_compare_exchange,
    physical_read,
    physical_write,
)
from ringzero.isa.privileged.paging import NEEDED, PAGE, effective_mode, translate_span
from ringzero.isa.privileged.pmp import pmp_permissions
from ringzero.isa.privileged.trap import (
    FETCH,
    LOAD,
    LOAD_ACCESS,
    STORE,
    STORE_ACCESS,
    Trap,
    access_fault,
    exception,
)
from ringzero.lang import Fixed, native, typed_range, u8, u16, u32, u64

BLOCK = 64  # bytes of a cache block, for Zicbom and Zicboz
CLEAN, FLUSH, INVALIDATE = 1, 2, 0  # cbo operations


@native
def load(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """The zero-extended `kind` at a virtual address."""
    size = kind.bits // 8
    if address & (size - 1) != 0:
        return load_bytes(hart, size, address)
    value, answered = physical_read(hart, kind, translate_span(hart, address, LOAD, size))
    if not answered:
        raise access_fault(hart, address, LOAD)
    return value


@native
def first_part(address: u64, size: u64) -> u64:
    """How many bytes of a misaligned access lie in its first page."""
    room = PAGE - (address & (PAGE - 1))
    return room if room < size else size


@native(cold=True)
def load_bytes(hart: Hart, size: u64, address: u64) -> u64:
    """A misaligned load: one part per page, each an access of its own to PMP."""
    first = first_part(address, size)
    value = load_part(hart, address, first)
    if first < size:
        value = value | (load_part(hart, address + first, size - first) << (first << 3))
    return value


@native
def load_part(hart: Hart, address: u64, size: u64) -> u64:
    """Some bytes within a page."""
    physical = translate_span(hart, address, LOAD, size)
    value = u64(0)
    for i in typed_range(size):
        byte, answered = physical_read(hart, u8, physical + i)
        if not answered:
            raise access_fault(hart, address, LOAD)
        value = value | (byte << (i << 3))
    return value


@native
def store(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """Store the low bits of `value` at a virtual address."""
    size = kind.bits // 8
    if address & (size - 1) != 0:
        store_bytes(hart, size, address, value)
    elif not physical_write(hart, kind, translate_span(hart, address, STORE, size), value):
        raise access_fault(hart, address, STORE)


@native(cold=True)
def store_bytes(hart: Hart, size: u64, address: u64, value: u64) -> None:
    """A misaligned store: a part per page; the first stays done if the second faults."""
    first = first_part(address, size)
    store_part(hart, address, first, value)
    if first < size:
        store_part(hart, address + first, size - first, value >> (first << 3))


@native
def store_part(hart: Hart, address: u64, size: u64, value: u64) -> None:
    """Some bytes within a page."""
    physical = translate_span(hart, address, STORE, size)
    for i in typed_range(size):
        if not physical_write(hart, u8, physical + i, (value >> (i << 3)) & 0xFF):
            raise access_fault(hart, address, STORE)


@native
def amo(hart: Hart, operation: str, kind: type[Fixed], address: u64, operand: u64) -> u64:
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
def load_reserved(hart: Hart, kind: type[Fixed], address: u64) -> u64:
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
def store_conditional(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> u64:
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
        _, there = physical_read(hart, kind, physical)
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
def translate_block(hart: Hart, address: u64, access: int) -> u64:
    """The physical address of the cache block around an address, all of which is accessed.

    "The relevant *tval CSR is written with the faulting effective address (i.e. the value of rs1)"
    ("CMO", page fault, guest-page fault and access fault exceptions), also where it is another byte
    of the block that PMP forbids.
    """
    block = translate_span(hart, address, access, 1) & ~(BLOCK - 1)
    needed = NEEDED[access]
    if pmp_permissions(hart, block, BLOCK, effective_mode(hart, access)) & needed == 0:
        raise access_fault(hart, address, access)
    return block


@native
def zero_block(hart: Hart, address: u64) -> None:
    """cbo.zero: the cache block that holds `address` becomes zero."""
    block = translate_block(hart, address, STORE)
    for word in typed_range(u64(BLOCK // 8)):
        if not physical_write(hart, u64, block + (word << 3), 0):
            raise access_fault(hart, address, STORE)


@native
def cache_block(hart: Hart, address: u64, op: int) -> None:
    """cbo.clean, flush, inval: memory here is coherent, so only the permission check is left.

    Reading is what has to be permitted, but the faults are those of stores ("CMO", as above).
    """
    try:
        _, answered = physical_read(hart, u64, translate_block(hart, address, LOAD))
        if not answered:
            raise access_fault(hart, address, LOAD)
    except Trap:
        cause = hart.cause + (STORE_ACCESS - LOAD_ACCESS)
        raise exception(hart, cause, hart.tval)  # noqa: B904 (the payload is in the hart)
