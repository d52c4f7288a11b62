"""From memory to slots: what an instruction is decoded from, by whom, and when it may be.

Where harts run in parallel, one of them may be storing what another decodes, and a third may be
reading the operands of a slot that is to be decoded anew (`invalidate.py` says who is waited for).
"""

from __future__ import annotations

from ringzero.engine.native.code.address import (
    code_offset,
    decoded_page,
    page_number,
    slot_offset,
    slots_of,
)
from ringzero.engine.native.code.blocks import set_number
from ringzero.engine.native.code.decoded_pages import (
    NEVER_NEAR,
    SINK,
    change_shared,
    clear_scratch_slot,
    read_shared,
    write_shared,
)
from ringzero.engine.native.code.handler_numbers import FAR, Special
from ringzero.engine.native.state import (
    PAGE_SLOTS,
    Core,
    Shared,
    Slot,
    hart_bit,
)
from ringzero.engine.native.threads.epochs import (
    DECODING,
    OPERANDS,
    RUNNING,
    acquire,
    advance_epoch,
    grace_period_over,
    pause,
    release,
    set_quiescence,
)
from ringzero.isa.decode import decode
from ringzero.isa.decoded import Decoded
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import (
    advance,
    fence,
    native,
    ptr,
    read_once,
    typed_range,
    u8,
    u16,
    u32,
    u64,
)

STATIC = tuple(i for i, one in enumerate(INSTRUCTIONS) if one.may_jump_static)
WRITES_RD = tuple(i for i, one in enumerate(INSTRUCTIONS) if one.destination == "rd")


@native
def fill_slot(shared: Shared, slot: Slot, word: u32, offset: u64) -> u64:
    """Decode a word into a slot of a page, at a byte offset; NEVER_NEAR where no page is around.

    Gives the number of its handler.
    """
    decoded = Decoded()
    decode(word, decoded)
    rd = decoded.rd
    if rd == 0 and writes_rd(decoded.index):
        rd = u32(SINK)
    slot.rd = u8(rd)
    slot.rs1 = u8(decoded.rs1)
    slot.rs2 = u8(decoded.rs2)
    slot.rs3 = u8(decoded.rs3)
    slot.imm = u32(decoded.imm)
    handler = 2 * u64(decoded.index) + u64(decoded.size == 2)
    if offset + decoded.imm >= 4096 and goes_to_target(decoded.index):
        handler += FAR
    if shared.parallel != 0:
        fence()  # a hart that finds the handler finds its operands
    slot.handler = shared.handlers[handler]
    return handler


@native
def decode_word(word: u32, out: Decoded) -> None:
    """`isa.decode` for Python."""
    decode(word, out)


@native
def goes_to_target(index: u32) -> bool:
    """Whether an instruction may continue at pc + imm."""
    for number in STATIC:  # noqa: SIM110 — unrolled when compiled
        if index == number:
            return True
    return False


@native
def writes_rd(index: u32) -> bool:
    """Whether an instruction's destination is an x register."""
    for number in WRITES_RD:  # noqa: SIM110 — unrolled when compiled
        if index == number:
            return True
    return False


@native(cold=True)
def decode_slot(core: Core, slot: ptr[Slot]) -> None:
    """First execution of a slot in a code page."""
    shared = core.shared[0]
    core.decoded += 1
    if shared.parallel == 0:
        decode_into(shared, slot, code_at(shared, slot))
    elif not decode_here(core, slot):
        tries = u64(0)
        set_quiescence(core, u64(DECODING))
        while not decode_here(core, slot):
            pause(shared, tries)
            tries += 1


@native
def decode_here(core: Core, slot: ptr[Slot]) -> bool:
    """`decode_shared` by a hart that goes on in the page.

    The hart may have been sent away from the page meanwhile. It is a user again, and running, while
    the lock is held: so nobody can change the slot before.
    """
    shared = core.shared[0]
    by = hart_bit(core)
    acquire(shared)
    done = decode_shared(shared, slot, by)
    if done:
        set_quiescence(core, u64(RUNNING))
        page = decoded_page(shared, page_number(slot_offset(shared, slot)))
        change_shared(page, "or", "users", by)
    release(shared)
    return done


@native
def decode_shared(shared: Shared, slot: ptr[Slot], by: u64) -> bool:
    """Decode a slot while other harts run, the lock being held; False: a hart may be reading what
    stood there.

    `by` is the hart that decodes, as a bit.
    """
    page = decoded_page(shared, page_number(slot_offset(shared, slot)))
    done = slot[0].handler != shared.handlers[Special.DECODE]
    leaving = read_shared(page, "leaving") & ~by
    if not done and grace_period_over(shared, leaving, read_shared(page, "epoch"), OPERANDS):
        write_shared(page, "leaving", u64(0))
        before = code_at(shared, slot)
        decode_into(shared, slot, before)
        fence()
        done = code_at(shared, slot) == before
        if not done:  # a store came in between, and may not have seen that this is code now
            slot[0].handler = shared.handlers[Special.DECODE]
            fence()
            write_shared(page, "leaving", read_shared(page, "users"))
            write_shared(page, "epoch", advance_epoch(shared))
    return done


@native
def code_at(shared: Shared, slot: ptr[Slot]) -> u32:
    """The word that a slot is decoded from: 16 bits if compressed, or where the page ends."""
    of_slot = slot_offset(shared, slot)
    offset = code_offset(of_slot)
    where = (u64(shared.owners[page_number(of_slot)]) << 12) + offset
    word = u32(0)
    if offset & 2 == 0:  # all of it at once, where it can be: another hart may be storing it
        word = read_once(u32, shared.memory, where)
    elif offset & 4 == 0:
        word = u32(read_once(u64, shared.memory, where - 2) >> 16 & 0xFFFF_FFFF)
    else:
        word = u32(read_once(u16, shared.memory, where))
        if offset != 0xFFE:
            word = word | (u32(read_once(u16, shared.memory, where + 2)) << 16)
    return word if word & 3 == 3 and offset != 0xFFE else word & 0xFFFF


@native
def decode_into(shared: Shared, slot: ptr[Slot], word: u32) -> None:
    """Decode what a slot stands for, which is in memory."""
    of_slot = slot_offset(shared, slot)
    offset = code_offset(of_slot)
    if word & 3 == 3 and offset == 0xFFE:
        set_number(shared, of_slot, u64(Special.STRADDLE))
        slot[0].handler = shared.handlers[Special.STRADDLE]
    else:
        set_number(shared, of_slot, fill_slot(shared, slot[0], word, offset))


@native
def decode_all(shared: Shared, decoded: u64, wanted: ptr[u8]) -> u64:
    """Decode the slots that `wanted` marks: from now on a store to them counts as code.

    What it returns tells `install_region` whether one came.
    """
    slots = slots_of(shared, decoded)
    changes = read_shared(decoded_page(shared, decoded), "changes")
    tries = u64(0)
    for i in typed_range(u64(PAGE_SLOTS)):
        if wanted[i] != 0 and slots[i].handler == shared.handlers[Special.DECODE]:
            acquire(shared)
            while not decode_shared(shared, advance(slots, i), u64(0)):
                release(shared)
                pause(shared, tries)
                tries += 1
                acquire(shared)
            release(shared)
    return changes


@native
def fill_scratch(core: Core, pc: u64, word: u32) -> ptr[Slot]:
    """Decode a word into the hart's scratch page, where all other slots halt; its slot."""
    clear_scratch_slot(core)
    core.scratch_slot = (pc & 0xFFF) >> 1
    fill_slot(core.shared[0], core.scratch[core.scratch_slot], word, NEVER_NEAR)
    return advance(core.scratch, core.scratch_slot)
