"""The pieces of code that stand for instructions which one load or store cannot stand for.

A site calls one by `jalr link, offset(x0)`; sites with the same instruction and link share one. It
does what the instruction does to the words at the top of the address space, and up to its `commit`
nothing but registers that it has kept. An exit inside is moved to where the original instruction
begins, or ends (`leave`): the guest never sees these addresses.
"""

from __future__ import annotations

from ringzero.hypervisor.dispatch.sensitive import SYSTEM
from ringzero.hypervisor.techniques.translate import csr_page
from ringzero.hypervisor.vm.state import PAGE, Vm, status
from ringzero.isa.compressed import expand
from ringzero.isa.encoding import Field
from ringzero.isa.privileged.trap import STATUS_SIE
from ringzero.isa.registry import BY_NAME
from ringzero.lang import Struct, load, native, store, typed_range, u16, u32, u64

PRESERVED = 0x0FFC_0318
TEMPORARIES = (5, 6, 7, 28, 29, 30, 31, 10, 11)  # t0 to t6, a0, a1
BODIES, SIZE = 512, 64  # descriptions, and the bytes of each
WORD, LINK, PAD, START, END, COMMIT, FIRST, SECOND = range(0, SIZE, 8)
LD, SD, LBU, JALR, JAL, BNE, BEQ, BGEU = (
    BY_NAME[name].match for name in ("ld", "sd", "lbu", "jalr", "jal", "bne", "beq", "bgeu")
)
ANDI, ORI, XORI, ADDI, SLLI, SRLI = (
    BY_NAME[name].match for name in ("andi", "ori", "xori", "addi", "slli", "srli")
)
LUI, ADD, SRL = BY_NAME["lui"].match, BY_NAME["add"].match, BY_NAME["srl"].match
AND, XOR, EBREAK = BY_NAME["and"].match, BY_NAME["xor"].match, BY_NAME["ebreak"].match
JUMP_FIELD: Field = BY_NAME["jal"].row.fields["imm"]
BRANCH_FIELD: Field = BY_NAME["beq"].row.fields["imm"]


class Draft(Struct):
    """A piece of code being written."""

    code: u32[48]
    count: u64
    commit: u64  # the index of the first instruction after which all is done
    first: u64  # registers that are kept in KEPT and KEPT_TOO; 0 for none
    second: u64
    outs: u64  # a bit for each branch to the end, where the hypervisor is asked
    stores: bool  # its landing pad is one of those for stores
    word: u64  # the instruction whose body `leave` has left; 0 for none
    all: bool  # `leave` has set a register that quick exits do not load


draft = Draft()


@native
def add(word: u64) -> None:
    """One more instruction."""
    draft.code[draft.count] = u32(word)
    draft.count += 1


@native
def with_immediate(match: int, rd: u64, rs1: u64, value: int) -> None:
    """`rd, rs1, value`, or `rd, value(rs1)`."""
    add(rd << 7 | rs1 << 15 | (match | (value & 0xFFF) << 20))


@native
def with_registers(match: int, rd: u64, rs1: u64, rs2: u64) -> None:
    """`rd, rs1, rs2`."""
    add(rd << 7 | rs1 << 15 | rs2 << 20 | match)


@native
def load_word(rd: u64, word: int) -> None:
    """ld rd, word(x0)"""
    with_immediate(LD, rd, u64(0), word)


@native
def store_word(rs2: u64, word: int) -> None:
    """sd rs2, word(x0)"""
    add(store_to(rs2, word))


@native
def store_to(rs2: u64, word: int) -> u64:
    """The instruction `sd rs2, word(x0)`."""
    return rs2 << 20 | (SD | (word & 31) << 7 | (word >> 5 & 127) << 25)


@native
def scatter(value: u64, field: Field) -> u64:
    """The bits of a word that say an immediate."""
    word = u64(0)
    for piece in field.pieces:
        word = word | (value >> piece.shift & piece.mask) << piece.lsb
    return word


@native
def other(taken: u64) -> u64:
    """A temporary register whose bit is not in `taken`."""
    for register in TEMPORARIES:
        if taken >> register & 1 == 0:
            return u64(register)
    return u64(0)


@native
def bits(a: u64, b: u64, c: u64) -> u64:
    """The bits of registers."""
    return u64(1) << a | u64(1) << b | u64(1) << c


@native
def begin(first: u64, second: u64) -> None:
    """A new piece of code, with the registers that it keeps and uses."""
    draft.count, draft.outs, draft.stores = 0, 0, False
    draft.first, draft.second = first, second
    store_word(first, csr_page.KEPT)
    if second != 0:
        store_word(second, csr_page.KEPT_TOO)


@native
def ask_if(match: int, register: u64) -> None:
    """Ask the hypervisor if a register is zero (BEQ), or if it is not (BNE)."""
    ask_if_both(match, register, u64(0))


@native
def ask_if_both(match: int, one: u64, two: u64) -> None:
    """Ask the hypervisor if a branch on two registers is taken."""
    draft.outs = draft.outs | u64(1) << draft.count
    with_registers(match, u64(0), one, two)


@native
def finish(link: u64, result: u64) -> None:
    """What comes after the commit: the result is in OLD; registers come back; so does the guest."""
    draft.commit = draft.count
    if result != 0:
        load_word(result, csr_page.OLD)
    if draft.second != 0:
        load_word(draft.second, csr_page.KEPT_TOO)
    if draft.first != result:
        load_word(draft.first, csr_page.KEPT)
    with_immediate(JALR, u64(0), link, 0)
    if draft.outs != 0:
        for i in typed_range(draft.count):
            if draft.outs >> i & 1 != 0:
                patch(i)
        add(u64(EBREAK))


@native
def patch(index: u64) -> None:
    """Let a branch go to what comes next."""
    distance = scatter((draft.count - index) * 4, BRANCH_FIELD)
    draft.code[index] = draft.code[index] | u32(distance)


@native
def write_toggle(rd: u64, link: u64, sets: bool) -> None:
    """csrrsi or csrrci rd, sstatus, 2"""
    register = rd
    if rd == 0:
        register = other(u64(1) << link)
    begin(register, u64(0))
    load_word(register, csr_page.STATUS)
    if rd != 0:
        store_word(register, csr_page.OLD)
    if sets:
        with_immediate(ORI, register, register, STATUS_SIE)
    else:
        with_immediate(ANDI, register, register, ~STATUS_SIE)
    store_word(register, csr_page.STATUS)
    finish(link, rd)


@native
def write_status(word: u64, rd: u64, rs: u64, link: u64) -> None:
    """csrrw, csrrs or csrrc rd, sstatus, rs: bits in EXITS must not change here, nor may FS become
    Dirty, which the real hart must know."""
    operation = word >> 12 & 3
    one = other(bits(link, rd, rs))
    two = other(bits(link, rd, rs) | u64(1) << one)
    begin(one, two)
    if operation == 1:
        with_immediate(SLLI, one, rs, 49)
        with_immediate(SRLI, one, one, 62)
        with_immediate(ADDI, one, one, -3)
        ask_if(BEQ, one)
    load_word(one, csr_page.STATUS)
    if operation == 1:
        with_registers(XOR, two, one, rs)
    elif operation == 2:
        with_immediate(XORI, two, one, -1)
        with_registers(AND, two, two, rs)
    else:
        with_registers(AND, two, one, rs)
    if operation == 2:
        load_word(one, csr_page.EXITS_OF_SET)
    else:
        load_word(one, csr_page.EXITS)
    with_registers(AND, one, one, two)
    ask_if(BNE, one)
    load_word(one, csr_page.OPEN)
    with_registers(AND, two, two, one)
    load_word(one, csr_page.STATUS)
    if rd != 0:
        store_word(one, csr_page.OLD)
    with_registers(XOR, one, one, two)
    store_word(one, csr_page.STATUS)
    finish(link, rd)


@native
def write_return(rs: u64, link: u64) -> None:
    """csrw sepc, rs: its lowest bit is not kept."""
    one = other(bits(link, rs, rs))
    begin(one, u64(0))
    with_immediate(ANDI, one, rs, -2)
    store_word(one, csr_page.EPC)
    finish(link, u64(0))


@native
def write_fence(rs: u64, link: u64) -> None:
    """sfence.vma rs, …: nothing is to be done if no shadow can know the address."""
    one = other(bits(link, rs, rs))
    two = other(bits(link, rs, one))
    begin(one, two)
    with_immediate(SLLI, one, rs, 37)
    with_immediate(SRLI, one, one, 52)
    add(two << 7 | (LUI | (csr_page.TOP + csr_page.PAGE_FILTER & 0xFFFF_F000)))
    with_registers(ADD, one, one, two)
    with_immediate(LBU, one, one, 0)
    with_immediate(SRLI, two, rs, 12)
    with_immediate(ANDI, two, two, 7)
    with_registers(SRL, one, one, two)
    with_immediate(ANDI, one, one, 1)
    ask_if(BNE, one)
    with_immediate(SRLI, one, rs, 21)
    with_immediate(SRLI, two, rs, 52)
    with_registers(XOR, one, one, two)
    with_immediate(SLLI, one, one, 52)
    with_immediate(SRLI, one, one, 52)
    add(two << 7 | (LUI | (csr_page.TOP + csr_page.REGION_FILTER & 0xFFFF_F000)))
    with_registers(ADD, one, one, two)
    with_immediate(LBU, one, one, 0)
    ask_if(BNE, one)
    finish(link, u64(0))


@native
def write_store(word: u64, link: u64) -> None:
    """A store, and what follows a compressed one (see patching.py): to the slot's page through the
    window, if the guest's entry for it is what it was; to other pages as it stands."""
    stored, next = word, u64(0)
    if word & 3 != 3:
        stored, next = u64(expand(u32(word & 0xFFFF))), u64(expand(u32(word >> 16)))
    rs1, rs2 = stored >> 15 & 31, stored >> 20 & 31
    taken = bits(link, rs1, rs2) | bits(next >> 7 & 31, next >> 15 & 31, next >> 20 & 31)
    one = other(taken)
    two = other(taken | u64(1) << one)
    offset = stored >> 25 << 5 | stored >> 7 & 31
    address = one << 7 | rs1 << 15 | offset << 20 | ADDI
    begin(one, two)
    draft.stores = next != 0
    add(address)
    with_immediate(SRLI, one, one, 12)
    load_word(two, csr_page.SLOT_PAGE)
    elsewhere = draft.count + 0
    with_registers(BNE, u64(0), one, two)
    write_window_store(address, stored, rs2, one, two)
    add(scatter(u64(8), JUMP_FIELD) | JAL)
    patch(elsewhere)
    add(stored)
    if next != 0:
        add(next)
    finish(link, u64(0))


@native
def write_window_store(address: u64, stored: u64, rs2: u64, one: u64, two: u64) -> None:
    """The store to the slot: by the guest's present entry for it, which must differ from the one
    that was checked in its page only, to that page as the window shows it."""
    load_word(two, csr_page.SLOT_PLACE)
    with_immediate(LD, two, two, 0)
    load_word(one, csr_page.SLOT_ENTRY)
    with_registers(XOR, one, one, two)
    with_immediate(SLLI, one, one, 54)
    ask_if(BNE, one)
    with_immediate(SRLI, two, two, 10)
    with_immediate(SLLI, two, two, 12)
    load_word(one, csr_page.SLOT_BASE)
    with_registers(ADD, two, two, one)
    load_word(one, csr_page.SLOT_LIMIT)
    ask_if_both(BGEU, two, one)
    add(one << 7 | (LUI | (csr_page.GIGABYTE & 0xFFFF_F000)))
    with_registers(ADD, two, two, one)
    add(address)
    with_immediate(SLLI, one, one, 52)
    with_immediate(SRLI, one, one, 52)
    with_registers(ADD, two, two, one)
    size = u64(1) << (stored >> 12 & 3)
    add(one << 7 | one << 15 | (size - 1) << 20 | ADDI)
    with_immediate(SRLI, one, one, 12)
    ask_if(BNE, one)  # it goes over the page's end
    add(stored & (7 << 12 | 0x7F) | rs2 << 20 | two << 15)


@native
def describe(vm: Vm, index: u64) -> u64:
    """Where a body is described."""
    return vm.translator.bodies + index * SIZE


@native(inline=False)
def find(vm: Vm, word: u64, link: u64) -> u64:
    """The instruction that calls the body for an instruction; 0 if there is none yet."""
    for i in typed_range(vm.translator.count):
        one = describe(vm, i)
        if load(u64, one + WORD) == word and load(u64, one + LINK) == link:
            return call(load(u64, one + PAD), link)
    return u64(0)


@native
def call(pad: u64, link: u64) -> u64:
    """jalr link, pad(x0)"""
    return link << 7 | (pad - (csr_page.WORDS_PAGE + PAGE) & 0xFFF) << 20 | JALR


@native
def next_pad(vm: Vm) -> u64:
    """Room for a landing pad, or 0."""
    own = vm.translator
    if draft.stores:
        pad = own.store_pad
        own.store_pad = pad + 4
        return pad if pad < csr_page.NEAR else u64(0)
    own.pad -= 4
    return own.pad if own.pad >= csr_page.NEAR_END else u64(0)


@native(inline=False)
def place(vm: Vm, word: u64, link: u64) -> u64:
    """Put the draft where the guest can execute it; the instruction that calls it, or 0."""
    own, size = vm.translator, draft.count * 4
    start = own.near
    pad = start
    if own.count == BODIES:
        return u64(0)
    if start + size <= csr_page.NEAR_END and not draft.stores:
        own.near = start + size
    else:
        start = own.far
        pad = next_pad(vm)
        if start + size > csr_page.CODE_END or pad == 0:
            return u64(0)
        own.far = start + size
        jump = scatter(start - pad, JUMP_FIELD) | JAL
        store(u32, own.area + pad, u32(jump))
    for i in typed_range(draft.count):
        store(u32, own.area + start + i * 4, draft.code[i])
    one = describe(vm, own.count)
    store(u64, one + WORD, word)
    store(u64, one + LINK, link)
    store(u64, one + PAD, pad)
    store(u64, one + START, start)
    store(u64, one + END, start + size)
    store(u64, one + COMMIT, start + draft.commit * 4)
    store(u64, one + FIRST, draft.first)
    store(u64, one + SECOND, draft.second)
    own.count += 1
    for i in typed_range(draft.count):
        own_word(vm, start + i * 4)
    own_word(vm, pad)
    status[vm.index].translation.bodies += 1
    return call(pad, link)


@native
def own_word(vm: Vm, offset: u64) -> None:
    """A word of code belongs to the last body."""
    store(u16, vm.translator.owners + (offset >> 2 << 1), u16(vm.translator.count))


@native(inline=False)
def leave(vm: Vm, pc: u64) -> u64:
    """The virtual hart is at `pc` among the bodies: put it where the instruction that this stands
    for begins, or ends, with the registers as they are there. The new pc."""
    offset = pc - csr_page.TOP
    draft.all, draft.word = False, 0
    owner = u64(load(u16, vm.translator.owners + (offset >> 2 << 1)))
    if owner == 0:
        return pc
    one = describe(vm, owner - 1)
    draft.word = load(u64, one + WORD)
    start, link = load(u64, one + START), load(u64, one + LINK)
    if offset - start >= load(u64, one + END) - start:  # at the landing pad
        return vm.hart.x[link] - 4
    return settle(vm, one, offset - start, link)


@native
def result_of(word: u64) -> u64:
    """The register that a body's instruction writes, or 0."""
    return word >> 7 & 31 if word & 0x7F == SYSTEM else u64(0)


@native
def is_preserved(register: u64) -> bool:
    """Whether a quick exit does not load a register again: gp, tp, s0 to s11."""
    return PRESERVED >> register & 1 != 0


@native
def settle(vm: Vm, one: u64, inside: u64, link: u64) -> u64:
    """The same within one body."""
    hart, commit = vm.hart, load(u64, one + COMMIT) - load(u64, one + START)
    first, second = load(u64, one + FIRST), load(u64, one + SECOND)
    stopped = load(u32, vm.translator.area + load(u64, one + START) + inside) == EBREAK
    draft.all = is_preserved(first)
    if inside >= 4:
        hart.x[first] = csr_page.read(vm, csr_page.KEPT)
    if inside >= 8 and second != 0:
        hart.x[second] = csr_page.read(vm, csr_page.KEPT_TOO)
    if inside < commit or stopped:
        return hart.x[link] - 4
    result = result_of(load(u64, one + WORD))
    if result != 0:
        hart.x[result] = csr_page.read(vm, csr_page.OLD)
    return hart.x[link]
