"""Comparisons of short byte strings that are equal: the loop's early return is never taken."""

from __future__ import annotations

from ringzero.lang import native, ptr, typed_range, u8, u32, u64

LENGTH = 32  # of a comparison
SECOND = 64  # where the second string starts


@native(inline=False)
def difference(arena: ptr[u8], first: u64, second: u64, length: u64) -> u32:
    """The first two bytes that differ, subtracted; 0 where none do."""
    for i in typed_range(length):
        if arena[first + i] != arena[second + i]:
            return u32(arena[first + i]) - u32(arena[second + i])
    return u32(0)


@native(inline=False)
def compare(count: u64, arena: ptr[u8]) -> u64:
    """Store a byte into both strings, rotate a word, and compare in a function."""
    word = u32(1)
    for i in typed_range(count):
        at = i & (LENGTH - 1)
        arena[at] = arena[at] ^ u8(word)
        arena[SECOND + at] = arena[at]
        word = word * 5 + u32(i)
        word = word << 7 | word >> 25
        word += difference(arena, u64(0), u64(SECOND), LENGTH + (i & 1))
    return u64(word)


@native(inline=False)
def common(arena: ptr[u8], first: u64, second: u64, length: u64) -> u64:
    """How many bytes are equal at the start of both, as C's `memcmp` goes over them."""
    done = u64(0)
    while done < length and arena[first + done] == arena[second + done]:
        done += 1
    return done


@native(inline=False)
def prefixes(count: u64, arena: ptr[u8]) -> u64:
    """Prefixes of 1 to 16 equal bytes, from every place of a text that repeats itself."""
    for i in typed_range(u64(4 * SECOND)):
        arena[i] = u8(97 + i % SECOND % 26)
    total = u64(0)
    for i in typed_range(count):
        first = i & (SECOND - 1)
        total = total * 3 + common(arena, first, first + SECOND, 1 + (i >> 3 & 15))
    return total
