"""A bare-metal program for four harts that share memory, in M-mode, without firmware.

Each part prints a line `name count`: how often something was seen that must not be, or a sum. The
parts that need fewer harts leave the others waiting for the next one.
"""

from __future__ import annotations

from functools import cache

from ringzero.bare.build import build
from ringzero.bare.text import put_byte
from ringzero.lang import fence, load, native, ptr, store, u8, u32, u64
from ringzero.lang.image import Image
from tests.smp.frame import (
    BASE,
    CELLS,
    CLINT,
    CODE,
    FINISHER,
    HARTS,
    LIMIT,
    ROOT,
    ROUNDS,
    TARGET,
    amo_add,
    amo_add_word,
    amo_and,
    amo_swap,
    amo_xor,
    area,
    call_at,
    fence_i,
    increment,
    increment_word,
    listen,
    map_memory,
    meet,
    now,
    sleep_until,
    start,
    store_as_supervisor,
    tell,
    uart_write,
)

# ---- what is atomic


@native(inline=False)
def count(hart: u64) -> None:
    """Everyone adds one to five counters, in five ways."""
    base = area(0)
    for _ in range(u64(ROUNDS)):
        amo_add(base, 1)
        increment(base + 64)
        increment_word(base + 128)
        amo_add_word(base + 192, 1)
        while amo_swap(base + 256, 1) != 0:
            pass
        store(u64, base + 320, load(u64, base + 320) + 1)
        fence()
        store(u32, base + 256, 0)


@native(inline=False)
def tear(hart: u64) -> u64:
    """Hart 0 writes halves that are equal; the others never see two that differ."""
    base, wrong = area(1), u64(0)
    for i in range(u64(ROUNDS * 4)):
        if hart == 0:
            store(u64, base, (i << 32) | i)
            store(u32, base + 64, u32((i << 16 | i & 0xFFFF) & 0xFFFF_FFFF))
        else:
            wide, word = load(u64, base), load(u32, base + 64)
            wrong += u64(wide >> 32 != wide & 0xFFFF_FFFF)
            wrong += u64(word >> 16 != word & 0xFFFF)
    return wrong


# ---- memory order: the litmus tests' shapes


@native(inline=False)
def store_buffering(hart: u64, fenced: int, part: int) -> None:
    """Write mine, read yours: both may miss the other's only without fences."""
    base, until = area(part), now() + LIMIT
    for i in range(u64(ROUNDS)):
        cell = base + 256 * (i + 1)
        if not meet(hart, base, (i + 1) * 2, until):
            return
        if hart == 0:
            store(u64, cell, 1)
            if fenced:
                fence()
            store(u64, cell + 64, load(u64, cell + 128) + 1)
        else:
            store(u64, cell + 128, 1)
            if fenced:
                fence()
            store(u64, cell + 192, load(u64, cell) + 1)


@native(inline=False)
def message_passing(hart: u64, part: int) -> None:
    """Who sees the flag sees the data."""
    base, until = area(part), now() + LIMIT
    for i in range(u64(ROUNDS)):
        cell = base + 256 * (i + 1)
        if not meet(hart, base, (i + 1) * 2, until):
            return
        if hart == 0:
            store(u64, cell, 1)
            fence()
            store(u64, cell + 128, 1)
        else:
            flag = load(u64, cell + 128)
            fence()
            data = load(u64, cell)
            store(u64, cell + 64, u64(flag == 1 and data == 0))


@native(inline=False)
def load_buffering(hart: u64, part: int) -> None:
    """No value comes out of thin air: both cannot read what the other writes after reading."""
    base, until = area(part), now() + LIMIT
    for i in range(u64(ROUNDS)):
        cell = base + 256 * (i + 1)
        if not meet(hart, base, (i + 1) * 2, until):
            return
        other = load(u64, cell + 128 * (1 - hart))
        fence()
        store(u64, cell + 128 * hart, 1)
        store(u64, cell + 128 * hart + 64, other + 1)


@native(inline=False)
def independent_reads(hart: u64, part: int) -> None:
    """Two readers agree in which order two writers wrote."""
    base, until = area(part), now() + LIMIT
    for i in range(u64(ROUNDS // 3)):
        cell = base + 256 * (i + 1)
        if not meet(hart, base, (i + 1) * 4, until):
            return
        if hart < 2:
            store(u64, cell + 128 * hart, 1)
        else:
            first = load(u64, cell + 128 * (hart - 2))
            fence()
            second = load(u64, cell + 128 * (3 - hart))
            store(u64, cell + 64 + 128 * (hart - 2), u64(first == 1 and second == 0) + 1)


@native(inline=False)
def coherence(hart: u64, part: int) -> u64:
    """A counter that only grows is never seen to shrink."""
    base, wrong, last = area(part), u64(0), u64(0)
    for i in range(u64(ROUNDS * 4)):
        if hart == 0:
            store(u64, base, i)
        else:
            first = load(u64, base)
            second = load(u64, base)
            wrong += u64(second < first or first < last)
            last = second
    return wrong


@native(inline=False)
def both(part: int, value: u64) -> u64:
    """In how many rounds both results were this; no result is 0."""
    found = u64(0)
    for i in range(load(u64, area(part)) // 2):
        cell = area(part) + 256 * (i + 1)
        found += u64(load(u64, cell + 64) == value and load(u64, cell + 192) == value)
    return found


@native(inline=False)
def ones(part: int) -> u64:
    """In how many rounds the first result was one."""
    found = u64(0)
    for i in range(u64(ROUNDS)):
        found += load(u64, area(part) + 256 * (i + 1) + 64)
    return found


# ---- code that another hart writes


@native(inline=False)
def write_code(hart: u64, part: int) -> u64:
    """Hart 0 writes a function and says so; hart 1 executes fence.i and calls it."""
    base, wrong, until = area(part), u64(0), now() + LIMIT
    for i in range(u64(ROUNDS // 2)):
        if not meet(hart, base, (i + 1) * 2, until):
            return wrong
        place = CODE + (i >> 5 << 12) + (i & 3) * 32  # a new page now and then
        if hart == 0:
            store(u32, place, u32(0x0000_0513 | (i & 1023) << 20))  # addi a0, zero, i
            store(u32, place + 4, 0x0000_8067)  # ret
            store(u64, place + 2048, i)  # data beside it
            fence()
            store(u64, base + 128, i + 1)
        else:
            while load(u64, base + 128) != i + 1:
                pass
            fence()
            fence_i()
            wrong += u64(call_at(place, 0) != i & 1023)
    return wrong


@native(inline=False)
def patch_code(hart: u64, part: int) -> u64:
    """Hart 0 patches an instruction that others execute: they see one or the other, whole."""
    base, wrong, place = area(part), u64(0), u64(CODE + 0x10_0000)
    if hart == 0:
        store(u32, place, 0x0110_0513)  # addi a0, zero, 17
        store(u32, place + 4, 0x0000_8067)
        fence()
        store(u64, base, 1)
        until = now() + LIMIT
        while now() < until:
            store(u32, place, 0x3FF5_F513)  # andi a0, a1, 1023
            store(u32, place, 0x0110_0513)
        store(u64, base, 2)
    else:
        while load(u64, base) == 0:
            pass
        while load(u64, base) == 1:
            fence_i()
            result = call_at(place, 0x355)
            wrong += u64(result != 17 and result != 0x355)
    return wrong


# ---- interrupts, and page tables


@native(inline=False)
def ring(hart: u64, part: int) -> u64:
    """Harts 0 and 1 wake each other from wfi by software interrupts, in turns."""
    base, turn = area(part), u64(0)
    while turn < 200:
        if turn & 1 == hart:
            sleep_until(hart, base, turn)
            store(u64, base, turn + 1)
            fence()
            store(u32, CLINT + 4 * (1 - hart), 1)
        turn += 1
    return u64(100)


@native(inline=False)
def keep_entry(hart: u64, part: int) -> u64:
    """Hart 0 changes bits of a page table entry, hart 1's walks set A and D: none is lost."""
    base, wrong, entry = area(part), u64(0), u64(ROOT + 16)
    if hart == 0:
        store(u64, entry, (0x8000_0000 >> 2) | 7)  # a gigabyte: V, R, W
        fence()
        store(u64, base, 1)
        bit, until = u64(0), now() + LIMIT
        while now() < until:
            amo_and(entry, ~u64(0xC0))
            wrong += u64(amo_xor(entry, 0x100) & 0x100 != bit)
            bit ^= 0x100
        store(u64, base, 2)
        while load(u64, base) != 3:
            pass
        wrong += u64(load(u64, entry) & 0xC0 != 0xC0)
    else:
        while load(u64, base) == 0:
            pass
        map_memory()
        stored = u64(0)
        while load(u64, base) == 1:
            stored += 1
            store_as_supervisor(TARGET, stored)
            wrong += u64(load(u64, TARGET) != stored)
        store_as_supervisor(TARGET, stored)
        store(u64, base, 3)
    return wrong


# ---- all of it


@native(inline=False)
def together(hart: u64, number: u64) -> None:
    """All harts begin a part at the same time; those that have to wait for others sleep."""
    where, all_there = u64(CELLS - 64), number * HARTS
    if amo_add(where, 1) + 1 == all_there:
        for other in range(u64(HARTS)):
            store(u32, CLINT + 4 * other, 1)
    sleep_until(hart, where, all_there)


@native(inline=False)
def seen(wrong: u64) -> None:
    """Add what a hart has seen to what is told of the part."""
    amo_add(u64(CELLS - 128), wrong)


@native(inline=False)
def sum_up(hart: u64, number: u64, name: ptr[u8]) -> None:
    """When all are done, hart 0 tells."""
    together(hart, number)
    if hart == 0:
        tell(name, load(u64, CELLS - 128))
        store(u64, CELLS - 128, 0)


@native(inline=False)
def litmus(hart: u64) -> None:
    """Parts 2 to 7."""
    if hart < 2:
        store_buffering(hart, 0, 2)
        store_buffering(hart, 1, 3)
        message_passing(hart, 4)
        load_buffering(hart, 5)
    together(hart, 4)
    independent_reads(hart, 6)
    seen(coherence(hart, 7))
    sum_up(hart, 5, "coherence")
    if hart == 0:
        tell("rounds", load(u64, area(2)) // 2)
        tell("seen-without-fences", both(2, 1))
        tell("store-buffering", both(3, 1))
        tell("message-passing", ones(4))
        tell("load-buffering", both(5, 2))
        tell("independent-reads", both(6, 2))


@native(inline=False)
def main(hart: u64) -> None:
    """What every hart does."""
    listen(8)
    together(hart, 1)
    count(hart)
    together(hart, 2)
    if hart == 0:
        for i in range(5):
            cell = u64(CELLS + (320 if i == 4 else 64 * i))
            tell("counted", load(u64, cell) if i != 2 and i != 3 else u64(load(u32, cell)))
    seen(tear(hart))
    sum_up(hart, 3, "torn")
    litmus(hart)
    if hart < 2:
        seen(write_code(hart, 8))
    sum_up(hart, 6, "stale-code")
    seen(patch_code(hart, 9))
    sum_up(hart, 7, "mixed-code")
    if hart < 2:
        seen(ring(hart, 11))
    sum_up(hart, 8, "rings")
    if hart < 2:
        seen(keep_entry(hart, 10))
    sum_up(hart, 9, "lost-bits")
    if hart == 0:
        store(u32, FINISHER, 0x5555)
    while True:
        pass


@cache
def program() -> Image:
    """The program."""
    return build(
        [main], [start], entry="start", base=BASE, exported={}, bind={put_byte: uart_write}
    )
