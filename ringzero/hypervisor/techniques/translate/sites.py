"""Patch sites: which sensitive instructions are rewritten, when, and as what.

A patch site is an instruction that trapped; a hash table by its address counts how often. At some
count its page gets a copy (copies.py), in which the four bytes of the site become a load or a store
of a field of the CSR page (csr_page.py), or a call of a trampoline (trampolines.py) through a
register that is dead there. A site without such a register keeps trapping, and so do rare ones.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, fence_code
from ringzero.hypervisor.dispatch.sensitive import FENCE, FENCE_MASK, SSTATUS, SYSTEM
from ringzero.hypervisor.shadow import guest_tables
from ringzero.hypervisor.techniques.translate import (
    code_buffer,
    copies,
    csr_page,
    liveness,
    placement,
    trampolines,
)
from ringzero.hypervisor.vm.state import PAGE, Vm, status
from ringzero.isa.compressed import expand
from ringzero.isa.csrs.registry import NUMBERS
from ringzero.isa.privileged.trap import FETCH, Trap
from ringzero.lang import ctz, load, native, store, u16, u32, u64

SITES, SIZE, TRIES = 8192, 48, 16  # entries of the table, their bytes, how many are looked at
PC, WORD, MADE, PHYSICAL, COUNT, STATE = range(0, SIZE, 8)
TRAPS, REWRITTEN, NO_REGISTER, NO_FORM, NO_ROOM, CHOSEN = range(6)
STATES = ("seldom", "rewritten", "no register", "no form", "no room", "rewritten")

EPC, SCRATCH = NUMBERS["sepc"], NUMBERS["sscratch"]
FIELDS = (
    (SSTATUS, csr_page.STATUS), (SCRATCH, csr_page.SCRATCH), (EPC, csr_page.EPC),
    (NUMBERS["scause"], csr_page.CAUSE), (NUMBERS["stval"], csr_page.VALUE),
)  # fmt: skip
WRITABLE = FIELDS[1:2] + FIELDS[3:]  # they hold whatever is written
TOGGLED = 2 << 15  # the immediate field says SIE
LINKS = 0xFFFF_FFE2  # all but sp, gp and tp
RA = 1 << 1
SIMPLE = (*liveness.WITH_IMMEDIATE, *liveness.WITH_REGISTERS, liveness.LUI)


@native
def entry_of(vm: Vm, pc: u64) -> u64:
    """Where a site stands in the table, or may stand; 0 if its places are taken."""
    index = (pc >> 1) * 0x9E37_79B9_7F4A_7C15 >> 51
    for _ in range(TRIES):
        place = vm.translator.sites + index * SIZE
        held = load(u64, place + PC)
        if held == pc or held == 0:
            return place
        index = index + 1 & SITES - 1
    return u64(0)


@native
def consider(vm: Vm, pc: u64, word: u64) -> None:
    """The instruction `word` at `pc` has made an exit: count it, and rewrite it if that is enough.

    Each time that its page's copy was dropped makes the hypervisor more patient.
    """
    place = entry_of(vm, pc)
    if place == 0:
        return
    if load(u64, place + WORD) != word:
        store(u64, place + PC, pc)
        store(u64, place + WORD, word)
        store(u64, place + COUNT, 0)
        store(u64, place + STATE, TRAPS)
    count, state = load(u64, place + COUNT) + 1, load(u64, place + STATE)
    store(u64, place + COUNT, count)
    if state <= REWRITTEN and count >= vm.translator.eagerness:
        began, about = csr.minstret.read(), status[vm.index].translation
        rewrite(vm, pc, word, place)
        about.instructions += csr.minstret.read() - began


@native
def state_of(vm: Vm, pc: u64) -> u64:
    """What became of a site; REWRITTEN only where its page has a copy."""
    place = entry_of(vm, pc)
    if place == 0:
        return u64(NO_ROOM)
    state = load(u64, place + STATE)
    if state == REWRITTEN:
        known = u64(load(u32, copies.known(vm, load(u64, place + PHYSICAL))))
        if known & copies.COPY == 0:
            return u64(TRAPS)
    return state


@native(inline=False)
def rewrite(vm: Vm, pc: u64, word: u64, place: u64) -> None:
    """Rewrite a site, if that can be."""
    try:
        guest_tables.translate_page(vm, pc, FETCH)
    except Trap:
        return
    physical, about = guest_tables.found.physical, status[vm.index].translation
    if not guest_tables.is_open(vm, physical):
        return
    drops = u64(load(u32, copies.known(vm, physical))) >> 18 & 31  # a quarter of them
    if load(u64, place + COUNT) < vm.translator.eagerness << (drops if drops < 8 else u64(8)):
        return
    original = physical + vm.offset
    if pc & (PAGE - 1) > PAGE - 4 or fetch(original) != word:
        about.no_room += 1
        store(u64, place + STATE, NO_ROOM)
        return
    made = choose(vm, word, original)
    if made <= NO_ROOM:
        store(u64, place + STATE, made)
        return
    store(u64, place + MADE, made)
    store(u64, place + PHYSICAL, physical)
    if vm.translator.counting != 0:
        store(u64, place + STATE, CHOSEN)
        about.rewritten += 1
        return
    put(vm, physical, made, place)


@native
def put(vm: Vm, physical: u64, made: u64, place: u64) -> None:
    """Put what was made of a site into the copy of its page."""
    about = status[vm.index].translation
    known = u64(load(u32, copies.known(vm, physical)))
    page = copies.copy_of(vm, known)
    if known & copies.COPY == 0:
        page = copies.make(vm, physical)
        if page == 0:
            about.no_room += 1
            store(u64, place + STATE, NO_ROOM)
            return
    place_in_copy = page + (physical & (PAGE - 1))
    store(u16, place_in_copy, u16(made))
    store(u16, place_in_copy + 2, u16(made >> 16))
    fence_code()
    about.rewritten += 1
    about.again += u64(load(u64, place + STATE) == REWRITTEN)
    store(u64, place + STATE, REWRITTEN)
    store(u64, place + COUNT, 0)


@native
def choose(vm: Vm, word: u64, original: u64) -> u64:
    """What stands for an instruction: the rewritten word, or the state that says why none does."""
    number, rd, rs, operation = word >> 20, word >> 7 & 31, word >> 15 & 31, word >> 12 & 7
    if word & 3 != 3 or word & 0x7F == liveness.STORE:
        return choose_store(vm, word, original)
    if word & 0x7F != SYSTEM:
        return u64(NO_FORM)
    if operation == 2 and rs == 0 and rd != 0:
        for one in FIELDS:
            if number == one[0]:
                return rd << 7 | (code_buffer.LD | (one[1] & 0xFFF) << 20)
    if operation == 1 and rd == 0:
        for one in WRITABLE:
            if number == one[0]:
                return code_buffer.store_to(rs, one[1])
    if not has_trampoline(word):
        status[vm.index].translation.no_form += 1
        return u64(NO_FORM)
    operands = u64(1) << rd
    if operation < 4:
        operands = operands | u64(1) << rs
    return choose_trampoline(vm, word, free_register(original, operands))


@native
def choose_store(vm: Vm, word: u64, original: u64) -> u64:
    """The same for a store: a compressed one with what is behind it, which must be as short."""
    stored, next, simple = word, u64(0), word & 3 == 3
    if not simple:
        stored, next = u64(expand(u32(word & 0xFFFF))), u64(expand(u32(word >> 16)))
    for opcode in SIMPLE:
        if next & 0x7F == opcode:
            simple = True
    if word & 3 != 3 and word >> 16 & 3 == 3:
        simple = False
    if stored & 0x7F != liveness.STORE or not simple:
        status[vm.index].translation.no_form += 1
        return u64(NO_FORM)
    operands = liveness.bit(stored, 15) | liveness.bit(stored, 20) | liveness.bit(next, 7)
    operands = operands | liveness.bit(next, 15) | liveness.bit(next, 20)
    return choose_trampoline(vm, word, free_register(original, operands))


@native
def choose_trampoline(vm: Vm, word: u64, link: u64) -> u64:
    """The call of an instruction's trampoline through a register; 0 is none."""
    if link == 0:
        status[vm.index].translation.no_register += 1
        return u64(NO_REGISTER)
    made = placement.find(vm, word, link)
    if made == 0:
        write(word, word >> 7 & 31, word >> 15 & 31, link)
        made = placement.place(vm, word, link)
    if made == 0:
        status[vm.index].translation.no_room += 1
        return u64(NO_ROOM)
    return made


@native
def has_trampoline(word: u64) -> bool:
    """Whether `write` knows the instruction."""
    number, operation, rs = word >> 20, word >> 12 & 7, word >> 15 & 31
    if word & FENCE_MASK == FENCE:
        return rs != 0
    if number == SSTATUS:
        if operation > 5:
            return word & (31 << 15) == TOGGLED
        return operation == 1 or (1 < operation < 4 and rs != 0)
    return number == EPC and operation == 1 and word >> 7 & 31 == 0


@native
def write(word: u64, rd: u64, rs: u64, link: u64) -> None:
    """Write the trampoline of an instruction for which `has_trampoline`, or of a store."""
    if word & 3 != 3 or word & 0x7F == liveness.STORE:
        trampolines.write_store(word, link)
    elif word & FENCE_MASK == FENCE:
        trampolines.write_fence(rs, link)
    elif word >> 20 == EPC:
        trampolines.write_return(rs, link)
    elif word & (1 << 14) != 0:
        trampolines.write_toggle(rd, link, word & (1 << 12) == 0)
    else:
        trampolines.write_status(word, rd, rs, link)


@native
def free_register(original: u64, operands: u64) -> u64:
    """A register to hold the way back: dead behind the site, and none of its operands; or 0."""
    page, offset = original & ~u64(PAGE - 1), (original & (PAGE - 1)) + 4
    dead = liveness.dead_registers(page, offset, RA & ~operands)
    if dead == 0:
        dead = liveness.dead_registers(page, offset, LINKS & ~operands)
    return ctz(dead) & 63 if dead != 0 else dead


@native
def fetch(place: u64) -> u64:
    """A word of code, which may be aligned to two bytes only."""
    return u64(load(u16, place)) | u64(load(u16, place + 2)) << 16
