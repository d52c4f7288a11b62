"""Which registers are dead at a place in the guest's code: written before they are read, whatever
way the code goes.

Direct jumps and branches are followed within one page; what leaves it may read everything. Fields
that an instruction may not have count as read, never as written, so the answer errs to life only.
"""

from __future__ import annotations

from ringzero.isa.compressed import expand
from ringzero.isa.decode import immediate
from ringzero.isa.instruction import Instruction
from ringzero.isa.registry import BY_NAME, INSTRUCTIONS
from ringzero.lang import Array, Struct, field, load, native, typed_range, u16, u32, u64

ALL = 0xFFFF_FFFE
STEPS, WAYS, MARKS = 240, 16, 48
JUMP_FIELD = BY_NAME["jal"].row.fields["imm"]
BRANCH_FIELD = BY_NAME["beq"].row.fields["imm"]

LOAD, FLOAT_LOAD, STORE, FLOAT_STORE = 0x03, 0x07, 0x23, 0x27
FENCE, AUIPC, LUI, ATOMIC, SYSTEM = 0x0F, 0x17, 0x37, 0x2F, 0x73
BRANCH, INDIRECT, DIRECT = 0x63, 0x67, 0x6F
WITH_IMMEDIATE, WITH_REGISTERS = (0x13, 0x1B), (0x33, 0x3B)
FLOAT = (0x43, 0x47, 0x4B, 0x4F, 0x53)
WRITERS = (LOAD, AUIPC, LUI, ATOMIC, SYSTEM, INDIRECT, DIRECT, *WITH_IMMEDIATE, *WITH_REGISTERS)
FOLLOWED = (LOAD, FLOAT_LOAD, STORE, FLOAT_STORE, FENCE, AUIPC, LUI, ATOMIC, BRANCH,
            *WITH_IMMEDIATE, *WITH_REGISTERS, *FLOAT)  # fmt: skip
SFENCE, SFENCE_MASK, WAIT = 0x1200_0073, 0xFE00_7FFF, 0x1050_0073


def _written(opcode: int) -> bool:
    """Whether every instruction of an opcode writes the integer register in bits 11:7."""
    of: list[Instruction] = [one for one in INSTRUCTIONS if one.match & 0x7F == opcode]
    return bool(of) and all("rd" in one.operands for one in of)


assert all(_written(one) for one in (LOAD, AUIPC, LUI, *WITH_IMMEDIATE, *WITH_REGISTERS))


class Search(Struct):
    """Ways that are still to be followed: where from, and the registers undecided there."""

    count: u64
    places: Array[u64] = field(WAYS)
    masks: Array[u64] = field(WAYS)
    marks: u64  # places where ways began, so that loops end
    marked: Array[u64] = field(MARKS)
    marked_masks: Array[u64] = field(MARKS)


search = Search()


@native
def bit(word: u64, shift: int) -> u64:
    """The register of a field, as a bit; x0 is none."""
    return u64(1) << (word >> shift & 31) & ALL


@native
def reads(word: u64) -> u64:
    """The registers that an instruction may read."""
    opcode = word & 0x7F
    if opcode == AUIPC or opcode == LUI or opcode == DIRECT:
        return u64(0)
    first, second = bit(word, 15), bit(word, 20)
    if opcode == SYSTEM and word & (1 << 14) != 0:
        return u64(0)
    if opcode == LOAD or opcode == INDIRECT or opcode == FLOAT_LOAD or opcode == FLOAT_STORE:
        return first
    for one in WITH_IMMEDIATE:
        if opcode == one:
            return first
    if opcode == SYSTEM and word & (3 << 12) != 0:
        return first
    return first | second


@native
def writes(word: u64) -> u64:
    """The registers that an instruction surely writes, if it does not trap."""
    opcode = word & 0x7F
    if opcode == SYSTEM and word & (3 << 12) == 0:
        return u64(0)
    for one in WRITERS:
        if opcode == one:
            return bit(word, 7)
    return u64(0)


@native
def goes_on(word: u64) -> bool:
    """Whether the next instruction follows, be it after a branch that was not taken."""
    opcode = word & 0x7F
    if opcode == SYSTEM:
        plain = word & (3 << 12) != 0
        return plain or word & SFENCE_MASK == SFENCE or word == WAIT
    for one in FOLLOWED:
        if opcode == one:
            return True
    return False


@native
def later(place: u64, mask: u64) -> bool:
    """Follow a way later; not if too many wait already."""
    if search.count == WAYS:
        return False
    search.places[search.count], search.masks[search.count] = place, mask
    search.count += 1
    return True


@native
def is_new(place: u64, mask: u64) -> bool:
    """Whether no way with as many undecided registers went on from here; notes that one did."""
    for i in typed_range(search.marks):
        if search.marked[i] == place and mask & ~search.marked_masks[i] == 0:
            return False
    if search.marks < MARKS:
        search.marked[search.marks], search.marked_masks[search.marks] = place, mask
        search.marks += 1
    return True


@native(inline=False)
def dead_registers(page: u64, offset: u64, wanted: u64) -> u64:
    """A bit for each of the registers `wanted` that is dead at `offset` of the code at `page`."""
    alive, steps = u64(0), u64(0)
    search.count, search.marks = 0, 0
    later(offset, wanted)
    while search.count != 0:
        search.count -= 1
        place, left = search.places[search.count], search.masks[search.count]
        fresh = is_new(place, left)
        while fresh and left & ~alive != 0:
            left = left & ~alive
            if place > 0xFFC or steps == STEPS:  # the page ends, or patience
                alive = alive | left
                break
            steps += 1
            word, size = u64(load(u16, page + place)), u64(2)
            if word & 3 == 3:
                word, size = word | u64(load(u16, page + place + 2)) << 16, u64(4)
            else:
                word = u64(expand(u32(word)))
            alive = alive | left & reads(word)
            left = left & ~writes(word)
            opcode = word & 0x7F
            if opcode == DIRECT and word & 0xF80 == 0:
                place = place + immediate(u32(word), JUMP_FIELD)
                fresh = is_new(place, left)
                continue
            if not goes_on(word):
                alive = alive | left
                break
            if opcode == BRANCH:
                target = place + immediate(u32(word), BRANCH_FIELD)
                if not later(target, left):
                    alive = alive | left
                    break
            place += size
    return wanted & ~alive
