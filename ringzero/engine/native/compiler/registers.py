"""Which registers of the guest the host holds: those that its hot code uses most.

Where a slice ends, the instructions that follow are counted by the registers that they use. When
others are used much more than those that are held, all code is retired (`generations.py`) and made
anew with those held.
"""

from __future__ import annotations

from ringzero.engine.native.code.address import (
    page_number,
    slot_index,
    slot_offset,
    slots_of,
)
from ringzero.engine.native.code.blocks import number_at
from ringzero.engine.native.code.handler_numbers import COUNT, FAR, Special
from ringzero.engine.native.compiler import codes
from ringzero.engine.native.compiler.generations import retire_code
from ringzero.engine.native.compiler.operands import X
from ringzero.engine.native.compiler.state import HOSTS, IN_CORE
from ringzero.engine.native.state import PAGE_SLOTS, Core, Shared, Slot
from ringzero.engine.native.threads.epochs import acquire, release
from ringzero.lang import native, ptr, typed_range, u64

LENGTH = 24  # instructions that are looked at where a slice ends
FURTHER = 4  # times as many samples until the next comparison: what is made anew is bounded so
GAIN = 8  # others are held when an eighth of all uses would be held more


@native(cold=True)
def note_registers(core: Core, slot: ptr[Slot]) -> None:
    """A slice ended at a slot: count the registers that are used from there on."""
    shared = core.shared[0]
    offset = slot_offset(shared, slot)
    decoded, index = page_number(offset), slot_index(offset)
    if decoded >= shared.decoded_pages:
        return
    acquire(shared)
    s = shared.compiler[0]
    for _ in typed_range(u64(LENGTH)):
        size = use(shared, decoded, index)
        if size == 0:
            break
        index += size
    s.samples += 1
    if s.samples >= s.next_look:
        s.next_look = s.samples * FURTHER
        reconsider(shared)
    release(shared)


@native
def use(shared: Shared, decoded: u64, index: u64) -> u64:
    """Count an instruction's registers; its slots, or 0 where the run ends."""
    if index >= PAGE_SLOTS:
        return u64(0)
    one = slots_of(shared, decoded)[index]
    if one.handler == shared.handlers[Special.DECODE]:
        return u64(0)
    number = number_at(shared, decoded, index)
    if number >= FAR:
        number -= FAR
    if number >= COUNT:
        return u64(0)
    s = shared.compiler[0]
    flags = u64(s.recipes[number >> 1].flags)
    if flags & codes.READS_RS1 != 0:
        s.uses[one.rs1 & 31] += 1
    if flags & codes.READS_RS2 != 0:
        s.uses[one.rs2 & 31] += 1
    if flags & codes.GIVES_RD != 0:
        s.uses[one.rd & 31] += 1
    if u64(s.kinds[number >> 1]) & codes.KIND >= codes.CALL:
        return u64(0)
    return 2 - (number & 1)


@native
def reconsider(shared: Shared) -> None:
    """Compare the registers that are held with those that are used most."""
    s = shared.compiler[0]
    s.uses[0] = 0
    best, held, every = u64(0), u64(0), u64(0)
    chosen = u64(0)
    for number in typed_range(u64(1), u64(32)):
        every += s.uses[number]
        if s.places[number] & IN_CORE == 0:
            held += s.uses[number]
    for _ in typed_range(u64(len(HOSTS))):
        most = u64(0)
        for number in typed_range(u64(1), u64(32)):
            if (chosen >> number) & 1 == 0 and (most == 0 or s.uses[number] > s.uses[most]):
                most = number
        chosen = chosen | (u64(1) << most)
        best += s.uses[most]
    if (best - held) * GAIN > every:
        retire_code(shared)
        hold(shared, chosen)
    for number in typed_range(u64(1), u64(32)):
        s.uses[number] = s.uses[number] >> 1


@native(cold=True)
def hold(shared: Shared, chosen: u64) -> None:
    """Hold these registers from now on: a set of bits, as many as the host has for them."""
    s = shared.compiler[0]
    free = u64(0)  # registers of the host
    for host in HOSTS:
        free = free | (u64(1) << host)
    for number in typed_range(u64(1), u64(32)):
        at = s.places[number]
        if at & IN_CORE == 0:
            if (chosen >> number) & 1 != 0:
                free = free & ~(u64(1) << at)
            else:
                s.places[number] = IN_CORE | (X + number * 8)
    for number in typed_range(u64(1), u64(32)):
        if (chosen >> number) & 1 != 0 and s.places[number] & IN_CORE != 0:
            s.places[number] = first_free(free)
            free = free & ~(u64(1) << s.places[number])
    s.changes += 1


@native
def first_free(free: u64) -> u64:
    """A register of the host that is free, those first that pieces hold."""
    for host in HOSTS:
        if (free >> host) & 1 != 0:
            return u64(host)
    return u64(0)
