"""Code copies: private copies of the guest's pages of code, which virtual S executes instead.

Where a page has one, leaves that let virtual S execute it map the copy, for execution only; other
leaves map the original, never writable. So loads read the original code, and a store is seen: the
copy is dropped. A guest page of 2 MiB stays one unit: its leaves stand in a table that all address
spaces share (`entries.SHARED`).
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, fence_code, fence_translation
from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.dispatch import emulate
from ringzero.hypervisor.shadow import entries, roots
from ringzero.hypervisor.shadow.entries import SHARED
from ringzero.hypervisor.shadow.guest_tables import LEAF, found
from ringzero.hypervisor.techniques.translate import csr_page
from ringzero.hypervisor.vm.state import LOG, PAGE, ROOTS, SUPERPAGE, Vm, status
from ringzero.isa.compressed import expand
from ringzero.isa.hart import S
from ringzero.isa.privileged.paging import PPN, A, D, U, V, W, X
from ringzero.isa.privileged.pmp import EXECUTE, READ, WRITE
from ringzero.isa.privileged.trap import LOAD, STORE, Trap
from ringzero.isa.registry import BY_NAME
from ringzero.lang import load, native, store, typed_range, u8, u32, u64

# What is known of a page: the copy's number plus one, how often it was dropped, loads seen from it.
COPY, DROPS, READS = 0xFFFF, 0xFF << 16, 0xF << 28
ONE_DROP, ONE_READ = 1 << 16, 1 << 28
FINE = 1 << 24  # leaves of 4 KiB may map the original for execution or writable
FINE_COPY = 1 << 25  # leaves of 4 KiB may map the copy
USED = 8  # of a region's 16 words of `tables`: it has, or had, a copy
LARGE, ALL = 1, 2  # in an address that `remember` keeps: the guest's page is of 2 MiB, or larger
LOAD_OPCODE = BY_NAME["ld"].match & 0x7F


@native
def known(vm: Vm, physical: u64) -> u64:
    """Where it stands what is known of a guest-physical page."""
    return vm.translator.pages + ((physical - RAM_BASE >> 12) << 2)


@native
def region_tables(vm: Vm, physical: u64) -> u64:
    """Where the table of shared tables of a guest-physical 2 MiB stands."""
    return vm.translator.tables + ((physical - RAM_BASE >> 21) << 7)


@native
def copy_of(vm: Vm, about: u64) -> u64:
    """The copy that a word of `pages` names."""
    return vm.translator.area + ((about & COPY) - 1 << 12)


@native(inline=False)
def new_page(vm: Vm) -> u64:
    """A page of the area, or 0 when there is none."""
    own = vm.translator
    page = own.free
    if page != 0:
        own.free = load(u64, page)
        return page
    page = own.next
    if page >= own.end:
        return u64(0)
    own.next = page + PAGE
    return page


@native
def leaf(vm: Vm, physical: u64, about: u64, permissions: u64, kernel: bool) -> u64:
    """The shadow's entry for a page of the guest's memory."""
    if about & COPY == 0:
        return physical + vm.offset >> 2 | V | U | A | D | permissions << 1
    if kernel and permissions & EXECUTE != 0:
        return copy_of(vm, about) >> 2 | V | U | A | D | X
    return physical + vm.offset >> 2 | V | U | A | D | permissions << 1 & ~u64(W)


@native(inline=False)
def update(vm: Vm, physical: u64) -> None:
    """Bring the shared tables up to date with what is known of a page."""
    place, about = region_tables(vm, physical), u64(load(u32, known(vm, physical)))
    for i in range(16):
        table = load(u64, place + i * 8)
        if table > PAGE:
            entry = leaf(vm, physical & ~u64(PAGE - 1), about, u64(i & 7), i >= 8)
            store(u64, table + ((physical >> 12 & 511) << 3), entry)


@native(inline=False)
def shared_table(vm: Vm, physical: u64, permissions: u64, kernel: bool) -> u64:
    """The table for a guest page of 2 MiB; 0 if there is no room for it."""
    place = region_tables(vm, physical) + (permissions | u64(kernel) << 3) * 8
    table = load(u64, place)
    if table <= PAGE:
        table = new_page(vm)
        if table == 0:
            return table
        store(u64, place, table)
        page = physical & ~u64(SUPERPAGE - 1)
        for i in typed_range(u64(512)):
            about = u64(load(u32, known(vm, page)))
            store(u64, table + i * 8, leaf(vm, page, about, permissions, kernel))
            page += PAGE
    return table


@native(inline=False)
def void(vm: Vm, first: u64, count: u64) -> None:
    """Void the leaves of all roots that map any of `count` pages of the machine's memory."""
    for index in typed_range(u64(ROOTS)):
        if vm.filled >> index & 1 != 0:
            root = vm.roots[index]
            for i in typed_range(root.count):
                entry = load(u64, root.log[i])
                if entry & LEAF != 0 and ((entry & PPN) >> 10) - (first >> 12) < count:
                    store(u64, root.log[i], 0)


@native(inline=False)
def make(vm: Vm, physical: u64) -> u64:
    """A copy of the page at a guest-physical address; 0 if no memory is left."""
    own, page = vm.translator, new_page(vm)
    if page == 0:
        return page
    original, at = (physical & ~u64(PAGE - 1)) + vm.offset, u64(0)
    while at < PAGE:
        for i in range(0, 64, 8):
            store(u64, page + at + i, load(u64, original + at + i))
        at += 64
    place, tables = known(vm, physical), region_tables(vm, physical)
    about = u64(load(u32, place))
    if load(u64, tables + USED * 8) == 0:
        store(u64, tables + USED * 8, 1)
        void(vm, (physical & ~u64(SUPERPAGE - 1)) + vm.offset, u64(512))
        divide(vm, physical)
    elif about & FINE != 0:
        void(vm, original, u64(1))
    about = about & ~u64(COPY | FINE | FINE_COPY | READS) | (page - own.area >> 12) + 1
    store(u32, place, u32(about))
    update(vm, physical)
    fence_translation()
    status[vm.index].translation.pages += 1
    return page


@native
def divide(vm: Vm, physical: u64) -> None:
    """The view of memory that trampolines have must not let them write where copies are."""
    region, entry = physical - RAM_BASE >> 21, u64(0)
    if region < 511:
        entry = shared_table(vm, physical, u64(READ | WRITE), False) >> 2
        store(u64, vm.translator.gigabyte + region * 8, entry | u64(entry != 0))


@native(inline=False)
def drop(vm: Vm, physical: u64) -> None:
    """The page's original is what is executed from now on."""
    place = known(vm, physical)
    about = u64(load(u32, place))
    if about & COPY == 0:
        return
    page = copy_of(vm, about)
    if about & FINE_COPY != 0:
        void(vm, page, u64(1))
    about = about & ~u64(COPY | FINE_COPY | READS)
    if about & DROPS != DROPS:
        about += ONE_DROP
    store(u32, place, u32(about))
    update(vm, physical)
    store(u64, page, vm.translator.free)
    vm.translator.free = page
    fence_translation()
    fence_code()
    status[vm.index].translation.dropped += 1


@native
def forget(vm: Vm, address: u64, size: u64) -> None:
    """Code may have changed in guest-physical memory: no copy of it is executed any more."""
    page = address & ~u64(PAGE - 1)
    while page < address + size:
        drop(vm, page)
        page += PAGE


@native
def remember(vm: Vm, address: u64, large: u64) -> None:
    """The last entry of the active root's log is for this address; the filter knows it now."""
    own, root = vm.translator, vm.roots[vm.active]
    place = (vm.active * LOG + root.count - 1) * 8
    store(u64, own.addresses + place, address & ~u64(LARGE | ALL) | large)
    mark(own.area, address, large)


@native
def mark(area: u64, address: u64, large: u64) -> None:
    """Let the filter say that a shadow may know an address."""
    if large == ALL:
        for i in typed_range(u64(PAGE)):
            store(u8, area + csr_page.REGION_FILTER + i, u8(1))
    elif large != 0:
        store(
            u8, area + csr_page.REGION_FILTER + ((address >> 21 ^ address >> 52) & PAGE - 1), u8(1)
        )
    else:
        place = area + csr_page.PAGE_FILTER + (address >> 15 & PAGE - 1)
        store(u8, place, load(u8, place) | u8(u64(1) << (address >> 12 & 7)))


@native(inline=False)
def make_filter(vm: Vm) -> None:
    """Make the filter anew from what the shadows hold."""
    own = vm.translator
    for i in typed_range(u64(PAGE // 8)):
        store(u64, own.area + csr_page.PAGE_FILTER + i * 8, 0)
        store(u64, own.area + csr_page.REGION_FILTER + i * 8, 0)
    for index in typed_range(u64(ROOTS)):
        if vm.filled >> index & 1 != 0:
            root, list = vm.roots[index], own.addresses + index * LOG * 8
            for i in typed_range(root.count):
                if load(u64, root.log[i]) != 0:
                    address = load(u64, list + i * 8)
                    mark(own.area, address, address & (LARGE | ALL))
    own.misses = 0


@native
def fill(vm: Vm, address: u64, access: int) -> bool:
    """Add the page of `guest_tables.found` to the active root, so that it permits the access.

    No if that must be emulated: a load from a page that is mapped for execution only.
    """
    physical, kernel = found.physical, vm.hart.mode == S
    place = known(vm, physical)
    about = u64(load(u32, place))
    if about & COPY != 0:
        if access == STORE:
            drop(vm, physical)
        elif access == LOAD and kernel and found.permissions & EXECUTE != 0:
            if about & READS != READS and is_integer_load(vm):
                store(u32, place, u32(about + ONE_READ))
                return False
            drop(vm, physical)
            return True  # `found` is another page's by now: let the guest fault again
    put(vm, address, kernel)
    return True


@native
def is_integer_load(vm: Vm) -> bool:
    """Whether the instruction that made this exit is one that `emulate.execute_load` knows."""
    try:
        vm.hart.pc = csr.mepc.read()
        word = emulate.instruction_at(vm.hart)
    except Trap:
        return False
    if word & 3 != 3:
        word = u64(expand(u32(word)))
    return word & 0x7F == LOAD_OPCODE


@native(inline=False)
def put(vm: Vm, address: u64, kernel: bool) -> None:
    """Add the page of `guest_tables.found` to the active root, as what is known of it demands."""
    physical, size, large = found.physical, found.size, u64(0)
    if size > SUPERPAGE:
        large = u64(ALL)
    elif size > PAGE:
        large = u64(LARGE)
    if load(u64, region_tables(vm, physical) + USED * 8) == 0:
        entries.fill(vm, address, found)
        remember(vm, address, large)
        return
    place, root = physical + vm.offset, vm.roots[vm.active]
    whole = size >= SUPERPAGE and place & (SUPERPAGE - 1) == address & (SUPERPAGE - 1)
    if size > PAGE and (not whole or size > SUPERPAGE):
        entries.remember_split(root, address & ~(size - 1), size)
    if root.count == LOG:
        roots.empty(vm, vm.active)
    pte, level = entries.descend(vm, root, address, u64(whole))
    if pte == 0:
        roots.begin_again(vm)  # the guest faults again, and finds room
        return
    if level == 0:
        put_page(vm, pte, address, kernel)
    elif not put_shared(vm, pte, address, kernel):
        return
    entries.log(vm, vm.roots[vm.active], address, pte)
    remember(vm, address, large)


@native
def put_page(vm: Vm, pte: u64, address: u64, kernel: bool) -> None:
    """An entry of 4 KiB."""
    place, old = known(vm, found.physical), load(u64, pte)
    about = u64(load(u32, place))
    entry = leaf(vm, found.physical & ~u64(PAGE - 1), about, found.permissions, kernel)
    if about & COPY == 0:
        store(u32, place, u32(about | FINE))
    elif entry & LEAF == X:
        store(u32, place, u32(about | FINE_COPY))
    store(u64, pte, entry)
    if old & V != 0:
        entries.fence_here(vm, address)


@native
def put_shared(vm: Vm, pte: u64, address: u64, kernel: bool) -> bool:
    """The table for a guest page of 2 MiB, if there is room."""
    root, old = vm.roots[vm.active], load(u64, pte)
    table = shared_table(vm, found.physical, found.permissions, kernel)
    if table == 0:
        vm.translator.clash = 1  # no room: `stop` follows
        return False
    store(u64, pte, table >> 2 | V | SHARED)
    if root.region == address >> 21:
        root.leaves = 0
    if old & V != 0:
        fence_translation()
    return True


@native(inline=False)
def stop(vm: Vm) -> None:
    """Translate no more; from now on everything traps."""
    physical = u64(RAM_BASE)
    while physical - RAM_BASE < vm.size:
        drop(vm, physical)
        store(u64, region_tables(vm, physical) + USED * 8, 0)
        physical += PAGE
    vm.translator.on = 0
    roots.begin_again(vm)
