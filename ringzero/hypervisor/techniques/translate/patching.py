"""Stores to a page that the guest maps, writes once and unmaps, again and again: code patching.

Linux calls that text_poke. A shadow entry for this poke page would be made and dropped each time.
Instead the store is translated: its trampoline reads the guest's own entry for the page, and writes
to where that leads through a view of the guest's whole memory, so that no shadow ever knows the
page. A compressed store is
rewritten together with the short instruction behind it. The second half of the call that replaces
both is an illegal instruction (`split`), should somebody jump there: landing pads for such stores
lie where its immediate reads so. (Zcb would give it a meaning; a hart with that must not do this.)
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.hypervisor.dispatch import emulate
from ringzero.hypervisor.dispatch.sensitive import AGAIN, SLOW
from ringzero.hypervisor.shadow import guest_tables
from ringzero.hypervisor.shadow.guest_tables import found
from ringzero.hypervisor.techniques.translate import copies, csr_page, sites
from ringzero.hypervisor.vm.state import PAGE, Vm
from ringzero.isa.compressed import expand
from ringzero.isa.decode import decode
from ringzero.isa.privileged.paging import A, D, R, U, V
from ringzero.isa.privileged.trap import FETCH, STORE, Trap
from ringzero.lang import load, native, u16, u32, u64

STORE_OPCODE, FLAGS = 0x23, 0x3FF
NOT_OURS = 1
SECOND_HALF, SECOND_MASK = 0x8000, 0xE003  # quadrant 0, funct3 100


@native
def concerns(vm: Vm, address: u64) -> bool:
    """Whether an address is on the poke page, or on a page that may become it."""
    page = address >> 12
    return page == vm.translator.fenced or page == csr_page.read(vm, csr_page.POKE_PAGE)


@native
def is_store(word: u64) -> bool:
    """Whether an instruction is a store of an integer register."""
    if word & 3 != 3:
        word = u64(expand(u32(word & 0xFFFF)))
    return word & 0x7F == STORE_OPCODE


@native(inline=False)
def follow(vm: Vm, address: u64, inside: bool) -> u64:
    """A store to such a page was not permitted by the shadow: NOT_OURS; or execute it AGAIN, which
    is a trampoline now and finds the page; or SLOW, emulate it. `inside`: the trampoline asks."""
    try:
        vm.hart.pc = csr.mepc.read()
        word = emulate.instruction_at(vm.hart)
        place = guest_tables.found.physical + vm.offset
        if not is_store(word):
            return u64(NOT_OURS)
        if word & 3 != 3 and vm.hart.pc & (PAGE - 1) <= PAGE - 4:
            word = word | u64(load(u16, place + 2)) << 16
        sites.consider(vm, vm.hart.pc, word)
        state = sites.state_of(vm, vm.hart.pc)
        guest_tables.translate_page(vm, address, STORE)
    except Trap:
        return u64(NOT_OURS)
    if state > sites.REWRITTEN or found.size != PAGE or found.user:
        return u64(NOT_OURS)
    if not guest_tables.is_open(vm, found.physical):
        return u64(NOT_OURS)
    news = point(vm, address)
    if state == sites.REWRITTEN and (news or not inside):
        return u64(AGAIN)
    return u64(SLOW)


@native
def point(vm: Vm, address: u64) -> bool:
    """The poke page is what was just translated, and may be written; whether that is new."""
    root, own = vm.roots[vm.active], vm.translator
    news = u64(load(u32, copies.known(vm, found.physical))) & copies.COPY != 0
    copies.drop(vm, found.physical)
    if root.guest_leaves == 0 or root.guest_region != address >> 21:
        return False
    entry = root.guest_leaves + ((address >> 12 & 511) << 3)
    value = load(u64, entry + vm.offset)
    if value >> 54 != 0:
        return False
    if own.poke_space != vm.hart.satp or csr_page.read(vm, csr_page.POKE_PAGE) != address >> 12:
        news = True
    elif (csr_page.read(vm, csr_page.POKE_ENTRY) ^ value) & FLAGS != 0:
        news = True
    csr_page.map_table(vm, entry + vm.offset >> 12 << 10 | (V | U | A | D | R))
    place = csr_page.TOP + csr_page.TABLE_PAGE * PAGE + (entry & (PAGE - 1))
    csr_page.write(vm, csr_page.POKE_PLACE, place)
    csr_page.write(vm, csr_page.POKE_ENTRY, value)
    csr_page.write(vm, csr_page.POKE_PAGE, address >> 12)
    own.poke_space = vm.hart.satp
    return news


@native
def stored_to(vm: Vm, word: u64) -> u64:
    """Where the store `word` at the virtual hart's pc goes."""
    decode(u32(word), emulate.decoded)
    return vm.hart.x[u64(emulate.decoded.rs1)] + emulate.decoded.imm


@native(inline=False)
def split(vm: Vm) -> bool:
    """The guest is at the second half of a rewritten pair, perhaps: it gets its own code back."""
    pc = csr.mepc.read()
    try:
        guest_tables.translate_page(vm, pc, FETCH)
    except Trap:
        return False
    if not guest_tables.is_open(vm, found.physical):
        return False
    if u64(load(u32, copies.known(vm, found.physical))) & copies.COPY == 0:
        return False
    copies.drop(vm, found.physical)
    return True
