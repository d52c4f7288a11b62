"""The kernel's memory: a pool of pages, and Sv39 tables (privileged spec 12.4).

Every address space maps the kernel as it is in physical memory, its text not writable,
the rest writable, and devices at DEVICES; user pages are below USER_END.
"""

from __future__ import annotations

from ringzero.board.addresses import KERNEL_BASE, UART_BASE
from ringzero.guests.entry import IMAGE_SIZE
from ringzero.guests.kernel import privileged
from ringzero.isa.privileged.paging import A, D, G, R, V, W, X
from ringzero.lang import Struct, load, native, store, u64

DEVICES = 0xC000_0000
USER_END = 0x4000_0000
PAGE, BLOCK = 1 << 12, 1 << 21
SHARED = KERNEL_BASE + IMAGE_SIZE - PAGE  # what a paravirtual flavour shares with its hypervisor


class Pool(Struct):
    """Free pages: those never used, and a list through those given back."""

    fresh: u64
    free: u64
    taken: u64
    kernel_tables: u64  # the level-1 table that all address spaces share
    devices: u64
    root: u64  # the kernel's own address space


pool = Pool()


@native
def setup(end: u64) -> None:
    """All memory from `end` to the shared page is the pool."""
    pool.fresh = end + PAGE - 1 & ~u64(PAGE - 1)


@native(inline=False)
def allocate() -> u64:
    """A page of zeros, or 0 when there is none left."""
    page = pool.free
    if page != 0:
        pool.free = load(u64, page)
    else:
        page = pool.fresh
        if page >= SHARED:
            return u64(0)
        pool.fresh = page + PAGE
    at = page
    while at < page + PAGE:
        store(u64, at, 0)
        at += 8
    pool.taken += 1
    return page


@native
def release(page: u64) -> None:
    """Give a page back."""
    store(u64, page, pool.free)
    pool.free = page
    pool.taken -= 1


@native
def pointer(table: u64) -> u64:
    """The entry that leads to a table."""
    return table >> 2 | V


@native
def leaf(address: u64, flags: u64) -> u64:
    """The entry that maps a page; A and D are set, so that no hart has to."""
    return address >> 12 << 10 | flags | V | A | D


@native(inline=False)
def entry_of(root: u64, address: u64) -> u64:
    """Where the level-0 entry of `address` stands; tables on the way are made. 0: no memory."""
    table = root
    for level in (2, 1):
        at = table + (address >> (12 + 9 * level) & 511) * 8
        entry = load(u64, at)
        if entry & V == 0:
            made = allocate()
            if made == 0:
                return u64(0)
            entry = pointer(made)
            store(u64, at, entry)
        table = entry >> 10 << 12
    return table + (address >> 12 & 511) * 8


@native
def map_page(root: u64, address: u64, page: u64, flags: u64) -> bool:
    """Map one page; the caller flushes."""
    at = entry_of(root, address)
    if at == 0:
        return False
    store(u64, at, leaf(page, flags))
    return True


@native
def make_kernel_tables(text_end: u64) -> None:
    """The shared tables: text without W in small pages, all else in blocks of 2 MB."""
    blocks, pages = allocate(), allocate()
    for i in range(512):
        page = u64(KERNEL_BASE & ~(BLOCK - 1)) + i * PAGE
        flags = u64(R | X | G) if page < text_end else u64(R | W | G)
        store(u64, pages + i * 8, leaf(page, flags))
    index = u64(KERNEL_BASE >> 21 & 511)
    store(u64, blocks + index * 8, pointer(pages))
    base = u64(KERNEL_BASE + BLOCK)
    while base < KERNEL_BASE + IMAGE_SIZE:
        store(u64, blocks + (base >> 21 & 511) * 8, leaf(base, u64(R | W | G)))
        base += BLOCK
    pool.kernel_tables = blocks
    pool.devices = allocate()
    store(u64, pool.devices, leaf(u64(UART_BASE), u64(R | W | G)))


@native
def make_space() -> u64:
    """The root of a new address space, with the kernel in it; 0 without memory."""
    root = allocate()
    if root != 0:
        store(u64, root + (KERNEL_BASE >> 30) * 8, pointer(pool.kernel_tables))
        store(u64, root + (DEVICES >> 30) * 8, pointer(pool.devices))
    return root


@native
def release_space(root: u64) -> None:
    """Give back the tables and pages of the user's part."""
    middle = load(u64, root)
    if middle & V != 0:
        release_tables(middle >> 10 << 12)
    release(root)


@native
def release_tables(middle: u64) -> None:
    """Give back a level-1 table and all below it."""
    i = u64(0)
    while i < 512:
        entry = load(u64, middle + i * 8)
        if entry & V != 0:
            table = entry >> 10 << 12
            j = u64(0)
            while j < 512:
                page = load(u64, table + j * 8)
                if page & V != 0:
                    release(page >> 10 << 12)
                j += 1
            release(table)
        i += 1
    release(middle)


@native
def use(root: u64) -> None:
    """Switch to an address space whose entries may have changed."""
    privileged.set_space(root, u64(0))
    privileged.flush_all()
