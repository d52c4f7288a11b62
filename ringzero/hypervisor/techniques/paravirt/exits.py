"""Quick exits of a guest whose kernel shares a page with us: system calls, faults, returns, calls.

Between its user and its kernel only what the page says of sstatus and sepc counts, so these go
without `pull` and `push`. Whatever is not answered here is left to `handle_exit`, unchanged.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.board.hypercalls import EXTENSION, FLUSH, SPACE
from ringzero.board.hypercalls import OFFSETS as AT
from ringzero.hypervisor.dispatch import accounting, fast
from ringzero.hypervisor.dispatch.sensitive import AGAIN, DONE, RETURN, SLOW, SRET
from ringzero.hypervisor.shadow import entries, guest_tables, roots
from ringzero.hypervisor.techniques.paravirt import hypercalls, shared_page
from ringzero.hypervisor.vm.state import CALLS, EXCEPTIONS, INSTRUCTIONS, LOG, PAGE, Status, Vm
from ringzero.isa.csrs.supervisor import VISIBLE
from ringzero.isa.hart import S, U
from ringzero.isa.instructions.rv_priv import after_return
from ringzero.isa.privileged.paging import ADUE, PPN, STATUS_MXR, STATUS_SUM
from ringzero.isa.privileged.trap import (
    BREAKPOINT,
    ECALL_FROM_U,
    FETCH,
    FETCH_PAGE,
    ILLEGAL_INSTRUCTION,
    LOAD,
    LOAD_PAGE,
    STATUS_FS,
    STATUS_SIE,
    STATUS_SPP,
    STORE,
    STORE_PAGE,
    Trap,
    handler,
    supervisor_status,
)
from ringzero.lang import load, native, store, typed_range, u64
from ringzero.lang.host import view

FENCE, SPACES = 2, 4  # state.CALL_KINDS
AROUND, AFTER_FAULT = 64, 16  # pages
KERNEL_PAGES = view(Vm).kernel.size // 8
HANDED_ON = view(Status).reflected.offset - view(Status).user.offset


@native
def credit(vm: Vm, mode: int) -> None:
    """exits.credit, in a mode that is known."""
    accounting.count_retired(vm)
    place = vm.accounts + 8 * mode
    store(u64, place, load(u64, place) + vm.hart.retired - vm.counted)
    vm.counted = vm.hart.retired


@native
def change_world(vm: Vm, mode: int, pc: u64) -> None:
    """The real hart becomes the likeness of the virtual one, which has come to another mode."""
    roots.select(vm)
    roots.use(vm)
    csr.scounteren.write(vm.counters[mode])
    csr.senvcfg.write(vm.environment[mode])
    csr.mepc.write(pc)


@native(inline=False)
def deliver(vm: Vm, cause: u64, value: u64) -> u64:
    """A program's trap goes to its kernel, where nothing is delivered before the handler asks."""
    hart, page = vm.hart, vm.page
    credit(vm, U)
    store(u64, page + AT["epc"], csr.mepc.read())
    store(u64, page + AT["cause"], cause)
    store(u64, page + AT["value"], value)
    hart.mstatus = supervisor_status(hart.mstatus | csr.mstatus.read() & STATUS_FS, u64(U))
    hart.mode = S
    shared_page.push_status(vm)
    shared_page.lend(vm)
    hart.mstatus = hart.mstatus & ~u64(STATUS_FS)  # the real hart keeps it
    handed = vm.accounts + (HANDED_ON + (cause << 3))
    store(u64, handed, load(u64, handed) + 1)
    accounting.tell(vm, EXCEPTIONS + cause, 0)
    change_world(vm, S, handler(hart.stvec, cause))
    return u64(AGAIN)


@native(inline=False)
def go_back(vm: Vm) -> u64:
    """sret: sstatus and sepc are the page's."""
    if vm.raised != 0:  # there may be an interrupt to take
        return u64(SLOW)
    hart = vm.hart
    told = load(u64, vm.page + AT["status"]) & ~u64(STATUS_SIE) | vm.forced
    credit(vm, S)
    status = hart.mstatus & ~u64(VISIBLE) | told & VISIBLE
    hart.mode = u64(status & STATUS_SPP != 0)
    hart.mstatus = after_return(status)
    shared_page.push_status(vm)
    hart.mstatus = hart.mstatus & ~u64(STATUS_FS)
    csr.mstatus.clear(STATUS_FS)
    csr.mstatus.set(told & STATUS_FS)
    accounting.tell(vm, u64(INSTRUCTIONS + RETURN), 1)
    pc = load(u64, vm.page + AT["epc"]) & ~u64(1)
    if hart.mode == S:
        change_world(vm, S, pc)
    else:
        change_world(vm, U, pc)
        if vm.faulted != 0:
            mend(vm)
    return u64(AGAIN)


@native(inline=False)
def mend(vm: Vm) -> None:
    """The kernel returns from a page fault: most likely it has mapped what was missing."""
    cause, address = vm.faulted, vm.fault
    vm.faulted = 0
    try:
        if cause == FETCH_PAGE:
            guest_tables.translate_page(vm, address, FETCH)
        elif cause == STORE_PAGE and vm.hart.menvcfg & ADUE == 0:
            guest_tables.translate_page(vm, address, STORE)
        else:  # nothing is dirtied that is not written yet
            guest_tables.translate_page(vm, address, LOAD)
    except Trap:
        return
    if guest_tables.is_open(vm, guest_tables.found.physical):
        entries.fill(vm, address, guest_tables.found)
        if guest_tables.found.size == PAGE and vm.hart.menvcfg & ADUE == 0:
            fill_around(vm, address, AFTER_FAULT)


@native(inline=False)
def fill_kernel(vm: Vm, address: u64) -> None:
    """A kernel uses the same large pages in each address space: a new one begins with them all."""
    fresh = vm.roots[vm.active].count == 1
    known = False
    for i in typed_range(u64(KERNEL_PAGES)):
        one = vm.kernel[i]
        if one == address >> 21:
            known = True
        elif fresh and one != 0:
            fast.expect(vm, one << 21)
    if not known:
        vm.kernel[vm.kernel_next] = address >> 21
        vm.kernel_next = (vm.kernel_next + 1) & (KERNEL_PAGES - 1)


@native(inline=False)
def fill_around(vm: Vm, address: u64, pages: int) -> None:
    """Pages beside one that was just filled are likely to be next: a hart may prefetch entries.

    An entry that differs in its page number only means the same as the one that was walked to, so
    what `found` permits is right for it too. Pages not touched yet differ: they are left alone.
    """
    root = vm.roots[vm.active]
    table, region = root.guest_leaves, address >> 21
    if table == 0 or root.leaves == 0 or root.guest_region != region or root.region != region:
        return
    table = table + vm.offset  # the walk has read it: it is the guest's memory
    like = load(u64, table + ((address >> 12 & 511) << 3))
    near = address & ~u64(pages * PAGE - 1)
    for _ in typed_range(u64(pages)):
        index = (near >> 12 & 511) << 3
        entry = load(u64, table + index)
        if (entry ^ like) & ~u64(PPN) == 0 and load(u64, root.leaves + index) == 0:
            place = (entry & PPN) << 2
            if guest_tables.is_open(vm, place) and root.count != LOG:
                entries.put_leaf(vm, root, near, root.leaves + index, place + vm.offset)
        near += PAGE


@native(inline=False)
def page_fault(vm: Vm, cause: u64, address: u64) -> u64:
    """A shadow entry is missing; or the guest's tables do not permit the access."""
    hart = vm.hart
    if hart.mode == S:  # SUM and MXR may have been stored since the last exit
        told = load(u64, vm.page + AT["status"]) | vm.forced
        changed = (hart.mstatus ^ told) & (STATUS_SUM | STATUS_MXR)
        if changed != 0:
            hart.mstatus = hart.mstatus ^ changed
            roots.select(vm)
            roots.use(vm)
    if fast.page_fault(vm, cause, address) == u64(AGAIN):
        if hart.menvcfg & ADUE == 0:  # else a walk ahead of an access would leave its mark
            if guest_tables.found.size == PAGE:
                fill_around(vm, address, AROUND)
            elif hart.mode == S:
                fill_kernel(vm, address)
        return u64(AGAIN)
    if vm.beside == 0 and hart.mode == U:
        vm.faulted, vm.fault = cause, address
        return deliver(vm, hart.cause, hart.tval)
    return u64(SLOW)


@native(inline=False)
def call(vm: Vm) -> u64:
    """The calls that are made often."""
    x = vm.hart.x
    if x[17] != EXTENSION:
        return u64(SLOW)
    if x[16] == SPACE:
        x[10] = hypercalls.set_space(vm, x[10])
        roots.select(vm)
        roots.use(vm)
        accounting.tell(vm, u64(CALLS + SPACES), 0)
    elif x[16] == FLUSH:
        hypercalls.flush(vm, x[10], x[11], x[12])
        x[10] = 0
        accounting.tell(vm, u64(CALLS + FENCE), 0)
    else:
        return u64(SLOW)
    x[11] = 0
    return u64(DONE)


@native
def shared_exit(vm: Vm, entered: u64, cause: u64, value: u64) -> u64:
    """Like fast.quick_exit, for a VM that has a page; it is never told of a register."""
    accounting.account(vm, entered)
    if cause == ECALL_FROM_U:
        if vm.hart.mode == U:
            return deliver(vm, cause, u64(0))
        return call(vm)
    if cause == ILLEGAL_INSTRUCTION:
        if value == SRET and vm.hart.mode == S:
            return go_back(vm)
        return u64(SLOW)
    if cause == LOAD_PAGE or cause == STORE_PAGE or cause == FETCH_PAGE:
        return page_fault(vm, cause, value)
    if cause == BREAKPOINT and vm.hart.mode == U:
        return deliver(vm, cause, value)
    return u64(SLOW)
