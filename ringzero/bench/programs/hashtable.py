"""A hash table of 64-bit keys: open addressing, linear probing, a multiplicative mix."""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, native, ptr, typed_range, u8, u64

SLOTS = 1 << 14
FILLED = 9 << 10  # words that are counted in each table


class Table(Struct):
    """Keys, of which 0 is none, and how often each came."""

    key: Array[u64] = field(SLOTS)
    count: Array[u64] = field(SLOTS)


table = Table()


@native(inline=False)
def mixed(key: u64) -> u64:
    """The last steps of splitmix64: every bit of the result depends on every bit of the key."""
    key = (key ^ key >> 30) * 0xBF58_476D_1CE4_E5B9
    key = (key ^ key >> 27) * 0x94D0_49BB_1331_11EB
    return key ^ key >> 31


@native(inline=False)
def slot(key: u64) -> u64:
    """Where the key is, or where it would go."""
    at = mixed(key) & (SLOTS - 1)
    while True:
        found = table.key[at]
        if found == key or found == 0:
            return at
        at = (at + 1) & (SLOTS - 1)


@native(inline=False)
def hashtable(count: u64, arena: ptr[u8]) -> u64:
    """`count` tables: random words are counted, some of them again; then others are looked up."""
    state, total = u64(88172645463325252), u64(0)
    for _ in typed_range(count):
        for i in typed_range(u64(SLOTS)):
            table.key[i] = u64(0)
            table.count[i] = u64(0)
        for _ in typed_range(u64(FILLED)):
            state = state * 6364136223846793005 + 1442695040888963407
            key = (state >> 50) * 0x1_0000_0001 + 1
            at = slot(key)
            table.key[at] = key
            table.count[at] += 1
        for i in typed_range(u64(FILLED)):
            total = total * 31 + table.count[slot(i * 0x1_0000_0001 + 1)]
    return total
