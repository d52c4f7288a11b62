"""Trampolines: code that stands for instructions which no single load or store can stand for.

A patch site calls one by `jalr link, offset(x0)`; sites with the same instruction and link share
one. It does to the fields of the CSR page what the instruction does to its CSRs, and before its
commit it changes nothing but registers that it has kept. `placement.py` puts it where the guest
can execute it, and gets an exit out of it again.
"""

from __future__ import annotations

from ringzero.hypervisor.techniques.translate import csr_page
from ringzero.hypervisor.techniques.translate.code_buffer import (
    ADD,
    ADDI,
    AND,
    ANDI,
    BEQ,
    BGEU,
    BNE,
    JAL,
    JUMP_FIELD,
    LBU,
    LD,
    LUI,
    ORI,
    SLLI,
    SRL,
    SRLI,
    XOR,
    XORI,
    add,
    ask_if,
    ask_if_both,
    begin,
    bits,
    buffer,
    finish,
    load_field,
    other,
    patch,
    scatter,
    store_field,
    with_immediate,
    with_registers,
)  # fmt: skip
from ringzero.isa.compressed import expand
from ringzero.isa.privileged.trap import STATUS_SIE
from ringzero.lang import native, u32, u64


@native
def write_toggle(rd: u64, link: u64, sets: bool) -> None:
    """csrrsi or csrrci rd, sstatus, 2"""
    register = rd
    if rd == 0:
        register = other(u64(1) << link)
    begin(register, u64(0))
    load_field(register, csr_page.STATUS)
    if rd != 0:
        store_field(register, csr_page.OLD)
    if sets:
        with_immediate(ORI, register, register, STATUS_SIE)
    else:
        with_immediate(ANDI, register, register, ~STATUS_SIE)
    store_field(register, csr_page.STATUS)
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
    load_field(one, csr_page.STATUS)
    if operation == 1:
        with_registers(XOR, two, one, rs)
    elif operation == 2:
        with_immediate(XORI, two, one, -1)
        with_registers(AND, two, two, rs)
    else:
        with_registers(AND, two, one, rs)
    if operation == 2:
        load_field(one, csr_page.EXITS_OF_SET)
    else:
        load_field(one, csr_page.EXITS)
    with_registers(AND, one, one, two)
    ask_if(BNE, one)
    load_field(one, csr_page.OPEN)
    with_registers(AND, two, two, one)
    load_field(one, csr_page.STATUS)
    if rd != 0:
        store_field(one, csr_page.OLD)
    with_registers(XOR, one, one, two)
    store_field(one, csr_page.STATUS)
    finish(link, rd)


@native
def write_return(rs: u64, link: u64) -> None:
    """csrw sepc, rs: its lowest bit is not kept."""
    one = other(bits(link, rs, rs))
    begin(one, u64(0))
    with_immediate(ANDI, one, rs, -2)
    store_field(one, csr_page.EPC)
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
    """A store, and what follows a compressed one (see patching.py): to the poke page through the
    view of memory, if the guest's entry for it is what it was; to other pages as it stands."""
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
    buffer.stores = next != 0
    add(address)
    with_immediate(SRLI, one, one, 12)
    load_field(two, csr_page.POKE_PAGE)
    elsewhere = buffer.count + 0
    with_registers(BNE, u64(0), one, two)
    write_poke(address, stored, rs2, one, two)
    add(scatter(u64(8), JUMP_FIELD) | JAL)
    patch(elsewhere)
    add(stored)
    if next != 0:
        add(next)
    finish(link, u64(0))


@native
def write_poke(address: u64, stored: u64, rs2: u64, one: u64, two: u64) -> None:
    """The store to the poke page: the guest's present entry for it may differ from the one that was
    checked in its page number only, and that page is written through the view of memory."""
    load_field(two, csr_page.POKE_PLACE)
    with_immediate(LD, two, two, 0)
    load_field(one, csr_page.POKE_ENTRY)
    with_registers(XOR, one, one, two)
    with_immediate(SLLI, one, one, 54)
    ask_if(BNE, one)
    with_immediate(SRLI, two, two, 10)
    with_immediate(SLLI, two, two, 12)
    load_field(one, csr_page.POKE_BASE)
    with_registers(ADD, two, two, one)
    load_field(one, csr_page.POKE_LIMIT)
    ask_if_both(BGEU, two, one)
    add(one << 7 | (LUI | (csr_page.MEMORY_VIEW & 0xFFFF_F000)))
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
