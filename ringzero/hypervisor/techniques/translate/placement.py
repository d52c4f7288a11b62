"""Where trampolines lie, and how an exit within one becomes an exit of the guest's own code.

They fill pages at the top of the guest's address space; a landing pad within reach of x0 leads to
each that lies further off. An exit inside is moved to where the original instruction begins, or
ends (`leave`): the guest never sees these addresses.
"""

from __future__ import annotations

from ringzero.hypervisor.dispatch.sensitive import SYSTEM
from ringzero.hypervisor.techniques.translate import csr_page
from ringzero.hypervisor.techniques.translate.code_buffer import (
    EBREAK,
    JAL,
    JALR,
    JUMP_FIELD,
    buffer,
    scatter,
)  # fmt: skip
from ringzero.hypervisor.vm.state import PAGE, Vm, status
from ringzero.lang import Struct, load, native, store, typed_range, u16, u32, u64

PRESERVED = 0x0FFC_0318  # gp, tp, s0 to s11
TRAMPOLINES, SIZE = 512, 64  # descriptions, and the bytes of each
WORD, LINK, PAD, START, END, COMMIT, FIRST, SECOND = range(0, SIZE, 8)


class Left(Struct):
    """What `leave` has found out about the exit."""

    word: u64  # the instruction whose trampoline it was in; 0 for none
    all: bool  # a register was set that quick exits do not load


left = Left()


@native
def describe(vm: Vm, index: u64) -> u64:
    """Where a trampoline is described."""
    return vm.translator.trampolines + index * SIZE


@native(inline=False)
def find(vm: Vm, word: u64, link: u64) -> u64:
    """The instruction that calls the trampoline of an instruction; 0 if there is none yet."""
    for i in typed_range(vm.translator.count):
        one = describe(vm, i)
        if load(u64, one + WORD) == word and load(u64, one + LINK) == link:
            return call(load(u64, one + PAD), link)
    return u64(0)


@native
def call(pad: u64, link: u64) -> u64:
    """jalr link, pad(x0)"""
    return link << 7 | (pad - (csr_page.CSR_PAGE + PAGE) & 0xFFF) << 20 | JALR


@native
def next_pad(vm: Vm) -> u64:
    """Room for a landing pad, or 0."""
    own = vm.translator
    if buffer.stores:
        pad = own.store_pad
        own.store_pad = pad + 4
        return pad if pad < csr_page.NEAR else u64(0)
    own.pad -= 4
    return own.pad if own.pad >= csr_page.NEAR_END else u64(0)


@native(inline=False)
def place(vm: Vm, word: u64, link: u64) -> u64:
    """Put the buffer where the guest can execute it; the instruction that calls it, or 0."""
    own, size = vm.translator, buffer.count * 4
    start = own.near
    pad = start
    if own.count == TRAMPOLINES:
        return u64(0)
    if start + size <= csr_page.NEAR_END and not buffer.stores:
        own.near = start + size
    else:
        start = own.far
        pad = next_pad(vm)
        if start + size > csr_page.CODE_END or pad == 0:
            return u64(0)
        own.far = start + size
        jump = scatter(start - pad, JUMP_FIELD) | JAL
        store(u32, own.area + pad, u32(jump))
    for i in typed_range(buffer.count):
        store(u32, own.area + start + i * 4, buffer.code[i])
    one = describe(vm, own.count)
    store(u64, one + WORD, word)
    store(u64, one + LINK, link)
    store(u64, one + PAD, pad)
    store(u64, one + START, start)
    store(u64, one + END, start + size)
    store(u64, one + COMMIT, start + buffer.commit * 4)
    store(u64, one + FIRST, buffer.first)
    store(u64, one + SECOND, buffer.second)
    own.count += 1
    for i in typed_range(buffer.count):
        own_word(vm, start + i * 4)
    own_word(vm, pad)
    status[vm.index].translation.trampolines += 1
    return call(pad, link)


@native
def own_word(vm: Vm, offset: u64) -> None:
    """A word of code belongs to the last trampoline."""
    store(u16, vm.translator.owners + (offset >> 2 << 1), u16(vm.translator.count))


@native(inline=False)
def leave(vm: Vm, pc: u64) -> u64:
    """The virtual hart is at `pc` in a trampoline: put it where the instruction that is meant
    begins, or ends, with the registers as they are there. The new pc."""
    offset = pc - csr_page.TOP
    left.all, left.word = False, 0
    owner = u64(load(u16, vm.translator.owners + (offset >> 2 << 1)))
    if owner == 0:
        return pc
    one = describe(vm, owner - 1)
    left.word = load(u64, one + WORD)
    start, link = load(u64, one + START), load(u64, one + LINK)
    if offset - start >= load(u64, one + END) - start:  # at the landing pad
        return vm.hart.x[link] - 4
    return settle(vm, one, offset - start, link)


@native
def result_of(word: u64) -> u64:
    """The register that a trampoline's instruction writes, or 0."""
    return word >> 7 & 31 if word & 0x7F == SYSTEM else u64(0)


@native
def is_preserved(register: u64) -> bool:
    """Whether a quick exit does not load a register again: gp, tp, s0 to s11."""
    return PRESERVED >> register & 1 != 0


@native
def settle(vm: Vm, one: u64, inside: u64, link: u64) -> u64:
    """The same within one trampoline."""
    hart, commit = vm.hart, load(u64, one + COMMIT) - load(u64, one + START)
    first, second = load(u64, one + FIRST), load(u64, one + SECOND)
    stopped = load(u32, vm.translator.area + load(u64, one + START) + inside) == EBREAK
    left.all = is_preserved(first)
    if inside >= 4:
        hart.x[first] = csr_page.read(vm, csr_page.SAVED)
    if inside >= 8 and second != 0:
        hart.x[second] = csr_page.read(vm, csr_page.SAVED_TOO)
    if inside < commit or stopped:
        return hart.x[link] - 4
    result = result_of(load(u64, one + WORD))
    if result != 0:
        hart.x[result] = csr_page.read(vm, csr_page.OLD)
    return hart.x[link]
