"""The CSR page, which translated code and hypervisor share at the top of the guest's address space.

Its fields are CSRs of the virtual hart, reached by `ld rd, imm(x0)`; they are the truth while the
guest runs in virtual S, and `vm.hart` is while the hypervisor does. Below it are trampolines.
A store that must not pass unseen faults because the page is not writable then (`permit`).
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.bare.stubs import fence_page as fence_address
from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.dispatch.sensitive import SD, UXL
from ringzero.hypervisor.shadow import guest_tables, roots
from ringzero.hypervisor.vm.state import PAGE, Root, Vm
from ringzero.isa.csrs.supervisor import VISIBLE
from ringzero.isa.hart import S
from ringzero.isa.privileged.paging import (
    BARE,
    PPN,
    STATUS_MXR,
    STATUS_SUM,
    SV39,
    A,
    D,
    R,
    U,
    V,
    W,
    X,
)
from ringzero.isa.privileged.trap import STATUS_FS
from ringzero.lang import load, native, store, typed_range, u64

CODE_PAGES = 10  # then two filters, and a page table of the guest's
PAGES = CODE_PAGES + 1
CSR_PAGE = CODE_PAGES * PAGE  # offsets are from the area's begin
TOP = (1 << 64) - PAGES * PAGE  # where the guest has it
CSR_PAGE_TOP = TOP + CSR_PAGE

PAGE_FILTER = (CODE_PAGES - 2) * PAGE  # a bit for each guest page, by the end of its number
REGION_FILTER = (CODE_PAGES - 3) * PAGE  # a byte for each guest 2 MiB
(STATUS, SCRATCH, EPC, CAUSE, VALUE, SAVED, SAVED_TOO, OLD, EXITS, EXITS_OF_SET, OPEN,
 POKE_PAGE, POKE_PLACE, POKE_ENTRY, POKE_BASE, POKE_LIMIT) = range(
    -2048, -2048 + 16 * 8, 8)  # fmt: skip
STORE_PADS, NEAR = CSR_PAGE + 2048 + 16 * 8, CSR_PAGE + 2048 + 32 * 8
NEAR_END = CSR_PAGE + 3072  # short code before, landing pads behind
TABLE_PAGE = CODE_PAGES - 1
CODE_END = REGION_FILTER
OF_CODE = (*range(CODE_PAGES - 3), CODE_PAGES)
MEMORY_VIEW = (1 << 64) - (1 << 30)  # the guest's memory, up to our pages
NO_POKE = (1 << 64) - 1
MOVES_ROOT = STATUS_SUM | STATUS_MXR  # changes of these need another shadow root
UNITS = STATUS_FS
CODE = V | X | U | A | D
OWN_BITS = VISIBLE & ~STATUS_FS


@native
def read(vm: Vm, field: int) -> u64:
    """A field of the page."""
    return load(u64, vm.translator.area + (CSR_PAGE + PAGE + field))


@native
def write(vm: Vm, field: int, value: u64) -> None:
    """Change a field of the page."""
    store(u64, vm.translator.area + (CSR_PAGE + PAGE + field), value)


@native
def permit(vm: Vm, wanted: u64) -> None:
    """Map the CSR page so."""
    own = vm.translator
    if own.permits != wanted:
        own.permits = wanted
        store(u64, own.leaves + 511 * 8, own.area + CSR_PAGE >> 2 | wanted)
        fence_address(u64(CSR_PAGE_TOP))


@native
def map_table(vm: Vm, leaf: u64) -> None:
    """Let the page for tables be mapped so."""
    store(u64, vm.translator.leaves + (512 - PAGES + TABLE_PAGE) * 8, leaf)
    fence_address(u64(TOP + TABLE_PAGE * PAGE))


@native
def end_poke(vm: Vm) -> None:
    """There is no poke page any more."""
    if vm.translator.poke_space != NO_POKE:
        vm.translator.poke_space = NO_POKE
        write(vm, POKE_PAGE, u64(NO_POKE))
        map_table(vm, u64(0))


@native
def pull(vm: Vm) -> None:
    """The virtual hart as translated code left it, when it comes out of virtual S.

    While FS is Initial or Clean there, the real hart's is Off, so that the word stays true: then
    the real one takes what the word says, as it would be without translation.
    """
    hart = vm.hart
    status = read(vm, STATUS)
    hart.mstatus = hart.mstatus & ~u64(OWN_BITS) | status & OWN_BITS
    if vm.translator.volatile == 0 and csr.mstatus.read() & STATUS_FS == 0:
        csr.mstatus.set(status & STATUS_FS)
    hart.sscratch = read(vm, SCRATCH)
    hart.sepc = read(vm, EPC) & ~u64(1)
    hart.scause = read(vm, CAUSE)
    hart.stval = read(vm, VALUE)
    vm.translator.volatile = 0


@native
def push(vm: Vm) -> None:
    """Let translated code have the virtual hart, which goes on in virtual S."""
    hart, floats = vm.hart, csr.mstatus.read() & STATUS_FS
    status, exits = hart.mstatus & OWN_BITS | floats | UXL, u64(MOVES_ROOT)
    wanted = u64(CODE | R | W)
    if floats == STATUS_FS:
        status, exits = status | SD, u64(MOVES_ROOT | UNITS)
    elif vm.translator.volatile != 0:
        wanted = u64(CODE)
    else:
        csr.mstatus.clear(u64(STATUS_FS))
    if vm.attention != 0:
        wanted = wanted & ~u64(W)
    write(vm, STATUS, status)
    write(vm, EXITS, exits)
    write(vm, SCRATCH, hart.sscratch)
    write(vm, EPC, hart.sepc)
    write(vm, CAUSE, hart.scause)
    write(vm, VALUE, hart.stval)
    if vm.translator.poke_space != hart.satp:
        write(vm, POKE_PAGE, u64(NO_POKE))
    permit(vm, wanted)


@native
def setup(vm: Vm) -> None:
    """Map the pages, and write the fields that never change."""
    own = vm.translator
    for i in OF_CODE:
        store(u64, own.leaves + (512 - PAGES + i) * 8, own.area + i * PAGE >> 2 | CODE)
    for filter in (PAGE_FILTER, REGION_FILTER):
        place = own.leaves + (512 - PAGES) * 8 + filter // PAGE * 8
        store(u64, place, own.area + filter >> 2 | (V | R | U | A | D))
    own.permits = CODE
    own.near, own.pad, own.far, own.store_pad = NEAR, CSR_PAGE + PAGE, 0, STORE_PADS
    own.poke_space = NO_POKE
    write(vm, EXITS_OF_SET, u64(MOVES_ROOT | UNITS))
    write(vm, OPEN, u64(VISIBLE))
    write(vm, POKE_PAGE, u64(NO_POKE))
    write(vm, POKE_BASE, -u64(RAM_BASE))
    show_memory(vm)


@native
def show_memory(vm: Vm) -> None:
    """Map the guest's memory from MEMORY_VIEW on, up to our own pages."""
    own, regions = vm.translator, vm.size >> 21
    if regions > 511:
        regions = u64(511)
    for i in typed_range(regions):
        place = RAM_BASE + (i << 21) + vm.offset
        store(u64, own.gigabyte + i * 8, place >> 2 | (V | U | A | D | R | W))
    store(u64, own.gigabyte + 511 * 8, own.leaves >> 2 | V)
    write(vm, POKE_LIMIT, regions << 21)


@native(inline=False)
def attach(vm: Vm, root: Root) -> None:
    """Map what translated code needs at the top of virtual S's address space, not of U's."""
    if vm.translator.on == 0:
        return
    level, table = (root.space >> 60) - SV39 + 2, root.table
    if guest_has_top(vm):
        vm.translator.clash = 1
    pte = table + 511 * 8
    while level > 2:
        entry = load(u64, pte)
        table = entry >> 10 << 12
        if entry & V == 0:
            table = roots.new_table(vm)
            store(u64, pte, table >> 2 | V)
        pte = table + 511 * 8
        level -= 1
    if root.rights & 1 == S:
        store(u64, pte, vm.translator.gigabyte >> 2 | V)
    elif load(u64, pte) == vm.translator.gigabyte >> 2 | V:
        store(u64, pte, 0)


@native(inline=False)
def guest_has_top(vm: Vm) -> bool:
    """Whether the guest's tables have anything for the last GiB of the address space."""
    satp = vm.hart.satp
    if satp >> 60 == BARE:
        return False
    level, table = (satp >> 60) - SV39 + 2, (satp & ((1 << 44) - 1)) << 12
    while level > 1:
        where = table + 511 * 8
        if not guest_tables.is_open(vm, where):
            return False
        entry = load(u64, where + vm.offset)
        if entry & V == 0:
            return False
        if entry & (R | W | X) != 0:
            return True
        table = (entry & PPN) << 2
        level -= 1
    return True
