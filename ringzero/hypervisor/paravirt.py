"""Quick exits of a guest whose kernel shares a page with us: system calls, faults, returns, calls.

Between its user and its kernel only what the page says of sstatus and sepc counts, so these go
without `pull` and `push`. Whatever is not answered here is left to `handle_exit`, unchanged.
"""

from __future__ import annotations

from ringzero.bare.hypercalls import EXTENSION, FLUSH, SPACE
from ringzero.bare.hypercalls import OFFSETS as AT
from ringzero.bare.stubs import csr
from ringzero.hypervisor import exits, hypercalls, quick, shadow, shared
from ringzero.hypervisor.layout import CALLS, EXCEPTIONS, INSTRUCTIONS, Vm, status
from ringzero.isa import rv_priv
from ringzero.isa.counters import TIME
from ringzero.isa.hart import S, U
from ringzero.isa.paging import ADUE, STATUS_MXR, STATUS_SUM
from ringzero.isa.trap import (
    BREAKPOINT,
    ECALL_FROM_U,
    FETCH,
    FETCH_PAGE,
    ILLEGAL_INSTRUCTION,
    LOAD,
    LOAD_PAGE,
    STATUS_FS,
    STATUS_SIE,
    STORE,
    STORE_PAGE,
    Trap,
    trap_to_supervisor,
)
from ringzero.lang import load, native, store, u64

FENCE, SPACES = 2, 4  # layout.CALL_KINDS


@native
def change_world(vm: Vm) -> None:
    """The real hart becomes the likeness of a virtual one that has just changed its mode."""
    hart = vm.hart
    shadow.select(vm)
    shadow.use(vm)
    counters, environment = hart.mcounteren & TIME, hart.menvcfg & exits.ENVIRONMENT
    if hart.mode == U:
        counters = counters & hart.scounteren
        environment = environment & hart.senvcfg
    csr.scounteren.write(counters)
    csr.senvcfg.write(environment)
    csr.mepc.write(hart.pc)


@native(inline=False)
def deliver(vm: Vm, cause: u64, value: u64) -> u64:
    """A program's trap goes to its kernel, where nothing is delivered before the handler asks."""
    hart, page = vm.hart, vm.page
    exits.credit(vm)
    hart.mstatus = hart.mstatus | csr.mstatus.read() & STATUS_FS
    pc = csr.mepc.read()
    trap_to_supervisor(hart, cause, value, pc)
    store(u64, page + AT["epc"], pc)
    store(u64, page + AT["cause"], cause)
    store(u64, page + AT["value"], value)
    shared.push_status(vm)
    shared.lend(vm)
    hart.mstatus = hart.mstatus & ~u64(STATUS_FS)  # the real hart keeps it
    status[vm.index].reflected[cause] += 1
    quick.tell(vm, EXCEPTIONS + cause, 0)
    change_world(vm)
    return u64(quick.AGAIN)


@native(inline=False)
def go_back(vm: Vm) -> u64:
    """sret: sstatus and sepc are the page's."""
    if vm.raised != 0:  # there may be an interrupt to take
        return u64(quick.SLOW)
    hart, page = vm.hart, vm.page
    told = load(u64, page + AT["status"])
    exits.credit(vm)
    told = told & ~u64(STATUS_SIE) | vm.forced
    hart.mstatus = hart.mstatus & ~u64(shared.VISIBLE) | told & shared.VISIBLE
    hart.sepc = load(u64, page + AT["epc"]) & ~u64(1)
    try:
        rv_priv.sret.function(hart)
    except Trap:
        return u64(quick.SLOW)
    shared.push_status(vm)
    hart.mstatus = hart.mstatus & ~u64(STATUS_FS)
    csr.mstatus.clear(STATUS_FS)
    csr.mstatus.set(told & STATUS_FS)
    quick.tell(vm, u64(INSTRUCTIONS + quick.RETURN), 1)
    change_world(vm)
    if vm.faulted != 0:
        mend(vm)
    return u64(quick.AGAIN)


@native(inline=False)
def mend(vm: Vm) -> None:
    """The kernel returns from a page fault: most likely it has mapped what was missing."""
    cause, address = vm.faulted, vm.fault
    vm.faulted = 0
    try:
        if cause == FETCH_PAGE:
            shadow.translate_page(vm, address, FETCH)
        elif cause == STORE_PAGE and vm.hart.menvcfg & ADUE == 0:
            shadow.translate_page(vm, address, STORE)
        else:  # nothing is dirtied that is not written yet
            shadow.translate_page(vm, address, LOAD)
    except Trap:
        return
    if shadow.is_open(vm, shadow.found.physical):
        shadow.fill(vm, address, shadow.found)


@native(inline=False)
def page_fault(vm: Vm, cause: u64, address: u64) -> u64:
    """A shadow entry is missing; or the guest's tables do not permit the access."""
    hart = vm.hart
    if hart.mode == S:  # SUM and MXR may have been stored since the last exit
        told = load(u64, vm.page + AT["status"]) | vm.forced
        changed = (hart.mstatus ^ told) & (STATUS_SUM | STATUS_MXR)
        if changed != 0:
            hart.mstatus = hart.mstatus ^ changed
            shadow.select(vm)
            shadow.use(vm)
    answer = quick.page_fault(vm, cause, address)
    if answer == u64(quick.SLOW) and vm.beside == 0 and hart.mode == U:
        vm.faulted, vm.fault = cause, address
        return deliver(vm, hart.cause, hart.tval)
    return answer


@native(inline=False)
def call(vm: Vm) -> u64:
    """The calls that are made often."""
    x = vm.hart.x
    if x[17] != EXTENSION:
        return u64(quick.SLOW)
    if x[16] == SPACE:
        x[10] = hypercalls.set_space(vm, x[10])
        shadow.select(vm)
        shadow.use(vm)
        quick.tell(vm, u64(CALLS + SPACES), 0)
    elif x[16] == FLUSH:
        hypercalls.flush(vm, x[10], x[11], x[12])
        x[10] = 0
        quick.tell(vm, u64(CALLS + FENCE), 0)
    else:
        return u64(quick.SLOW)
    x[11] = 0
    return u64(quick.DONE)


@native(inline=False)
def quick_exit(vm: Vm, cause: u64, value: u64) -> u64:
    """Like quick.other_exit."""
    if cause == ECALL_FROM_U:
        if vm.hart.mode == U:
            return deliver(vm, cause, u64(0))
        return call(vm)
    if cause == ILLEGAL_INSTRUCTION and value == quick.SRET and vm.hart.mode == S:
        return go_back(vm)
    if cause == LOAD_PAGE or cause == STORE_PAGE or cause == FETCH_PAGE:
        return page_fault(vm, cause, value)
    if cause == BREAKPOINT and vm.hart.mode == U:
        return deliver(vm, cause, value)
    return u64(quick.SLOW)
