"""Work that any number of harts share: each takes the next piece until none is left."""

from __future__ import annotations

from ringzero.bare.stubs import stub
from ringzero.bench.programs.frame import ARENA
from ringzero.lang import load, native, peek, poke, ptr, typed_range, u8, u64

CLAIMED, DONE, TOTAL = ARENA - 192, ARENA - 128, ARENA - 64  # cells in cache lines of their own
NUMBERS = 4096  # of a piece: 32 KiB

amo_add = stub("amo_add", "amoadd.d a0, a1, (a0)", [u64, u64], u64)


@native(inline=False)
def piece(number: u64, arena: ptr[u8]) -> u64:
    """Random numbers into memory, and a walk through them that they direct."""
    state = number * 0x9E37_79B9_7F4A_7C15 | 1
    for i in typed_range(u64(NUMBERS)):
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        poke(u64, arena, i << 3, state)
    total, at = u64(0), u64(0)
    for i in typed_range(u64(NUMBERS)):
        value = peek(u64, arena, at << 3)
        total = (total << 1 ^ total >> 3) + value
        at = (value + i) & (NUMBERS - 1)
    return total


@native(inline=False)
def shared(count: u64, arena: ptr[u8]) -> u64:
    """`count` pieces by all harts together; each hart has an arena of its own."""
    mine = amo_add(u64(CLAIMED), 1)
    while mine < count:
        amo_add(u64(TOTAL), piece(mine, arena))
        amo_add(u64(DONE), 1)
        mine = amo_add(u64(CLAIMED), 1)
    while load(u64, DONE) < count:
        pass
    return load(u64, TOTAL)
