"""The answers to hypercalls (docs/hypercalls.md); `paravirt/exits.py` gives the quick ones sooner.

Nothing that a guest passes is believed: an address is guest-physical and must lie in its memory
whole, a count is bounded, each word of an array is read once. What is wrong is refused with an
error of the SBI, and nothing has changed then.
"""

from __future__ import annotations

from ringzero.board import sbi
from ringzero.board.hypercalls import (
    ALWAYS_SUM,
    CONSOLE,
    DELIVER,
    DESCRIBE,
    EVERY_SPACE,
    EXIT,
    EXTENSION,
    FLAGS,
    FLUSH,
    FLUSH_MANY,
    MOST_BYTES,
    MOST_PAGES,
    MOST_RANGES,
    MOST_TOGETHER,
    NO_PAGE,
    REGISTER,
    SPACE,
    TIMER,
    VERSION,
    YIELD,
)
from ringzero.hypervisor.dispatch import fast
from ringzero.hypervisor.dispatch.sbi import use_console
from ringzero.hypervisor.shadow import fences, guest_tables
from ringzero.hypervisor.vm import life
from ringzero.hypervisor.vm.entry import shared_trap, trap
from ringzero.hypervisor.vm.state import PAGE, Vm, machine
from ringzero.isa.csr import write_csr
from ringzero.isa.csrs import supervisor as csrs_supervisor
from ringzero.isa.privileged.paging import STATUS_SUM
from ringzero.lang import address_of, load, native, typed_range, u64

RANGE = 16  # bytes of a Range


@native
def is_inside(vm: Vm, address: u64, size: u64) -> bool:
    """Whether `size` bytes from a guest-physical address on are all the guest's memory."""
    if not guest_tables.is_open(vm, address) or size > vm.size:
        return False
    return guest_tables.is_open(vm, address + size - 1) if size != 0 else True


@native
def register(vm: Vm, page: u64, seen: u64, flags: u64) -> u64:
    """The guest's page is at `page`, and at the guest's own address `seen`; or there is none."""
    if flags & ~u64(FLAGS) != 0:
        return u64(sbi.INVALID_PARAM)
    if page == NO_PAGE:
        vm.page, vm.forced, vm.raised, vm.faulted = 0, 0, 0, 0
        vm.vector = address_of(trap)
        return u64(sbi.SUCCESS)
    if page & (PAGE - 1) != 0 or not is_inside(vm, page, u64(PAGE)):
        return u64(sbi.INVALID_ADDRESS)
    vm.page, vm.seen, vm.forced, vm.faulted = page + vm.offset, seen, 0, 0
    vm.vector = address_of(shared_trap)
    if flags & ALWAYS_SUM != 0:
        vm.forced = STATUS_SUM
        vm.hart.mstatus = vm.hart.mstatus | STATUS_SUM
    return u64(sbi.SUCCESS)


@native
def set_space(vm: Vm, value: u64) -> u64:
    """satp; a mode that there is not changes nothing, as for the instruction."""
    write_csr(vm.hart, csrs_supervisor.satp, u64(csrs_supervisor.satp.first), value)
    return u64(sbi.SUCCESS) if vm.hart.satp == value else u64(sbi.INVALID_PARAM)


@native(inline=False)
def flush(vm: Vm, address: u64, pages: u64, space: u64) -> None:
    """Entries for these pages have changed, or been voided; no pages: any entries.

    One page is mapped again at once, where the guest's tables now map it.
    """
    if pages == 0 or pages > MOST_PAGES:
        fences.fence_all(vm, space, space != EVERY_SPACE)
        return
    for i in typed_range(pages):
        fences.fence_page(vm, address + (i << 12), space, space != EVERY_SPACE)
    if pages == 1:
        fast.expect(vm, address)


@native(inline=False)
def flush_many(vm: Vm, array: u64, count: u64) -> u64:
    """An array of Range, in guest-physical memory."""
    if count > MOST_RANGES:
        return u64(sbi.INVALID_PARAM)
    if array & 7 != 0 or not is_inside(vm, array, count * RANGE):
        return u64(sbi.INVALID_ADDRESS)
    place, left = array + vm.offset, u64(MOST_TOGETHER)
    for i in typed_range(count):
        address, pages = load(u64, place + i * RANGE), load(u64, place + i * RANGE + 8)
        if pages > left:
            pages = u64(0)
        flush(vm, address, pages, u64(EVERY_SPACE))
        if pages == 0:  # everything is flushed, and nothing is left to do
            break
        left -= pages
    return u64(sbi.SUCCESS)


@native
def show(vm: Vm, address: u64, size: u64) -> tuple[u64, u64]:
    """Bytes for the console."""
    if size > MOST_BYTES:
        return u64(sbi.INVALID_PARAM), u64(0)
    return use_console(vm, u64(0), size, address, u64(0))


@native
def has_extension(vm: Vm, extension: u64) -> bool:
    """Hypercalls are an SBI extension."""
    return extension == EXTENSION


@native(inline=False)
def answer(vm: Vm, function: u64) -> tuple[u64, u64]:
    """Any call, by its number; the arguments are in the guest's a0 to a2."""
    x = vm.hart.x
    a0, a1, a2 = x[10], x[11], x[12]
    if function == DESCRIBE:
        return u64(sbi.SUCCESS), u64(VERSION)
    if function == REGISTER:
        return register(vm, a0, a1, a2), u64(0)
    if function == SPACE:
        return set_space(vm, a0), u64(0)
    if function == FLUSH_MANY:
        return flush_many(vm, a0, a1), u64(0)
    if function == CONSOLE:
        return show(vm, a0, a1)
    if function == FLUSH:
        flush(vm, a0, a1, a2)
    elif function == TIMER:
        vm.hart.stimecmp = a0
    elif function == YIELD:
        machine.slice_end = 0
    elif function == EXIT:
        life.stop(vm, a0 & 0xFF)
    elif function != DELIVER:  # whatever is pending is delivered at the end of every such exit
        return u64(sbi.NOT_SUPPORTED), u64(0)
    return u64(sbi.SUCCESS), u64(0)
