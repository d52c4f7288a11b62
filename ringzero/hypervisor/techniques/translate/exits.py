"""Binary translation: the exits of a VM whose kernel's sensitive instructions are rewritten.

It is trap-and-emulate with two steps more: the CSRs that translated code has in its page are pulled
at each exit from virtual S and pushed after it, and an instruction that traps often is rewritten.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.hypervisor.dispatch import accounting, cache_blocks, emulate, fast
from ringzero.hypervisor.dispatch.sensitive import (
    AGAIN,
    DONE,
    FENCE,
    FENCE_MASK,
    FENCES,
    SLOW,
    SRET,
    SSTATUS,
    SYSTEM,
)
from ringzero.hypervisor.shadow import fences, guest_tables
from ringzero.hypervisor.techniques.translate import copies, csr_page, patching, placement, sites
from ringzero.hypervisor.techniques.translate.enter import resume
from ringzero.hypervisor.vm.state import (
    EXCEPTIONS,
    INSTRUCTIONS,
    PAGE,
    Vm,
    status,
)
from ringzero.isa.hart import S
from ringzero.isa.privileged.trap import (
    BREAKPOINT,
    ECALL_FROM_U,
    FETCH,
    FETCH_PAGE,
    ILLEGAL_INSTRUCTION,
    LOAD,
    LOAD_PAGE,
    STATUS_FS,
    STORE,
    STORE_PAGE,
    Trap,
)
from ringzero.lang import load, native, u32, u64

PATIENCE = 128  # vain exits for fences until the filter is made anew
LARGEST_FLOAT_CSR = 3
AHEAD = 3  # pages that are mapped before the guest touches them


@native
def answer(vm: Vm, cause: u64, value: u64, rewritten: bool) -> u64:
    """An exit from virtual S, answered quickly if possible; `rewritten` code has made it."""
    if cause == ILLEGAL_INSTRUCTION and value & 0x7F == SYSTEM:
        if not rewritten:
            sites.consider(vm, csr.mepc.read(), value)
        if value >> 20 == SSTATUS:
            return fast.careful_status_exit(vm, value, csr.mstatus.read())
        if value & FENCE_MASK == FENCE:
            return fence_exit(vm, value)
        return fast.register_access(vm, value)
    if cause == LOAD_PAGE or cause == STORE_PAGE or cause == FETCH_PAGE:
        return page_fault(vm, cause, value, rewritten)
    return u64(SLOW)


@native(inline=False)
def fence_exit(vm: Vm, word: u64) -> u64:
    """sfence.vma: as fast.fence_shadows, and for the filter."""
    first, second = word >> 15 & 31, word >> 20 & 31
    address, space = vm.hart.x[first], vm.hart.x[second]
    accounting.tell(vm, u64(INSTRUCTIONS + FENCES), 1)
    if first == 0:
        fences.fence_all(vm, space, second != 0)
        csr_page.end_poke(vm)
    elif address >> 30 != csr_page.MEMORY_VIEW >> 30:
        if fences.fence_page(vm, address, space, second != 0):
            vm.translator.fenced = address >> 12
        else:
            vm.translator.misses += 1
            status[vm.index].translation.vain += 1
            if vm.translator.misses >= PATIENCE:
                copies.make_filter(vm)
            if csr_page.read(vm, csr_page.POKE_PAGE) != address >> 12:
                expect(vm, address, LOAD)
    if first == 0 or address >> 30 == csr_page.MEMORY_VIEW >> 30:
        vm.translator.clash = vm.translator.clash | u64(csr_page.guest_has_top(vm))
    return u64(DONE)


@native
def expect(vm: Vm, address: u64, access: int) -> None:
    """As fast.expect: the guest will use this page."""
    if permits(vm, address, access):
        copies.put(vm, address, vm.hart.mode == S)
    vm.beside = 0


@native(inline=False)
def expect_next(vm: Vm, address: u64, access: int) -> None:
    """Behind a page that the guest has just touched, it will touch others of the same table."""
    root = vm.roots[vm.active]
    region = address >> 21
    for i in range(1, AHEAD + 1):
        page = address + i * PAGE
        if root.leaves == 0 or root.region != region or page >> 21 != region:
            return
        if load(u64, root.leaves + ((page >> 12 & 511) << 3)) == 0:
            expect(vm, page, access)
            root = vm.roots[vm.active]


@native
def permits(vm: Vm, address: u64, access: int) -> bool:
    """Translate as the guest's tables do; whether that leads to its memory."""
    try:
        guest_tables.translate_page(vm, address, access)
    except Trap:
        return False
    if not guest_tables.is_open(vm, guest_tables.found.physical):
        vm.beside = 1
        return False
    return True


@native
def fill_store(vm: Vm, address: u64) -> bool:
    """Add a page that is stored to, or whose cache block is cleaned, flushed or invalidated."""
    try:
        stores = cache_blocks.translate_store(vm, address)
    except Trap:
        return False
    if not guest_tables.is_open(vm, guest_tables.found.physical):
        vm.beside = 1
        return False
    if stores:
        return copies.fill(vm, address, STORE)
    return copies.fill(vm, address, LOAD)


@native(inline=False)
def page_fault(vm: Vm, cause: u64, address: u64, rewritten: bool) -> u64:
    """As fast.page_fault, with the pages that code was copied from."""
    if cause == LOAD_PAGE:
        if not permits(vm, address, LOAD) or not copies.fill(vm, address, LOAD):
            return u64(SLOW)
    elif cause == STORE_PAGE:
        if vm.hart.mode == S and patching.concerns(vm, address):
            result = patching.follow(vm, address, rewritten)
            if result == u64(AGAIN):
                accounting.tell(vm, EXCEPTIONS + cause, 0)
            if result != patching.NOT_OURS:
                return result
        if not fill_store(vm, address):
            return u64(SLOW)
    elif not permits(vm, address, FETCH) or not copies.fill(vm, address, FETCH):
        return u64(SLOW)
    if guest_tables.found.size == PAGE:
        if cause == FETCH_PAGE:
            expect_next(vm, address, FETCH)
        else:
            expect_next(vm, address, LOAD)
    accounting.tell(vm, EXCEPTIONS + cause, 0)
    return u64(AGAIN)


@native(inline=False)
def disguise(vm: Vm, cause: u64, value: u64) -> bool:
    """An exit of translated code becomes the one that the guest's own code would have made.

    A trampoline is left, to before or behind the original instruction; what asked for us or
    could not reach a field becomes an illegal instruction. Whether all registers must be loaded.
    """
    pc, all, ours = csr.mepc.read(), False, False
    placement.left.word = 0
    if pc >= csr_page.TOP:
        status[vm.index].translation.inside += 1
        ours = cause == BREAKPOINT
        pc = placement.leave(vm, pc)
        all = placement.left.all
        csr.mepc.write(pc)
    if cause == LOAD_PAGE or cause == STORE_PAGE:
        ours = value >= csr_page.MEMORY_VIEW
    if ours:
        vm.hart.pc = pc
        if placement.left.word != 0:
            pretend(vm, placement.left.word)
        else:
            ask_for_original(vm, pc)
    return all


@native
def ask_for_original(vm: Vm, pc: u64) -> None:
    """Make the exit that of the instruction which was rewritten at `pc`, if one was."""
    try:
        word = emulate.instruction_at(vm.hart)
    except Trap:
        csr.mcause.write(u64(FETCH_PAGE))
        csr.mtval.write(pc)
        return
    physical = guest_tables.found.physical
    known = u64(load(u32, copies.known(vm, physical)))
    if known & copies.COPY == 0 or pc & (PAGE - 1) > PAGE - 4:
        return
    if sites.fetch(copies.copy_of(vm, known) + (pc & (PAGE - 1))) == sites.fetch(
        physical + vm.offset
    ):
        return
    pretend(vm, word)


@native
def pretend(vm: Vm, word: u64) -> None:
    """Make the exit that of an instruction which could not do without the hypervisor."""
    if patching.is_store(word):
        csr.mcause.write(u64(STORE_PAGE))
        csr.mtval.write(patching.stored_to(vm, word))
    else:
        csr.mcause.write(u64(ILLEGAL_INSTRUCTION))
        csr.mtval.write(word)


@native
def wakes_floats(vm: Vm, value: u64, state: u64) -> bool:
    """A floating-point instruction was refused only because the real FS is Off for our sake."""
    if state & STATUS_FS != 0 or csr.mstatus.read() & STATUS_FS == 0:
        return False
    return value & 0x7F != SYSTEM or 0 < value >> 20 <= LARGEST_FLOAT_CSR


@native
def change_mode(vm: Vm, calling: bool) -> u64:
    """As for the technique trap; translated code finds its CSRs."""
    result = fast.change_mode(vm, calling)
    if result == u64(AGAIN):
        resume(vm)
    return result


@native
def translate_exit(vm: Vm, entered: u64, cause: u64, value: u64, state: u64) -> u64:
    """fast.quick_exit for this technique."""
    accounting.account(vm, entered)
    if vm.hart.mode != S:
        if cause == LOAD_PAGE or cause == STORE_PAGE or cause == FETCH_PAGE:
            return page_fault(vm, cause, value, False)
        if cause == ECALL_FROM_U:
            return change_mode(vm, True)
        return u64(SLOW)
    if vm.translator.on == 0:
        return fast.answer(vm, cause, value, state)
    csr_page.pull(vm)
    rewritten = False
    if csr.mepc.read() >= csr_page.TOP or value >= csr_page.MEMORY_VIEW:
        if disguise(vm, cause, value):
            return u64(SLOW)
        rewritten = cause != csr.mcause.read() or value != csr.mtval.read()
        cause, value = csr.mcause.read(), csr.mtval.read()
    if cause == ILLEGAL_INSTRUCTION and value & patching.SECOND_MASK == patching.SECOND_HALF:
        if patching.split(vm):
            accounting.tell(vm, EXCEPTIONS + cause, 0)
            csr_page.push(vm)
            return u64(AGAIN)
    if cause == ILLEGAL_INSTRUCTION and value == SRET:
        return change_mode(vm, False)
    if cause == ILLEGAL_INSTRUCTION and wakes_floats(vm, value, state):
        vm.translator.volatile = 1
        accounting.tell(vm, EXCEPTIONS + cause, 0)
        csr_page.push(vm)
        return u64(AGAIN)
    result = answer(vm, cause, value, rewritten)
    if result != u64(SLOW):
        resume(vm)
    return result
