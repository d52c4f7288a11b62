"""What C's programs do with strings, byte by byte: length, copy, search for a byte and a word."""

from __future__ import annotations

from ringzero.lang import native, ptr, typed_range, u8, u64

TEXT = 1024  # bytes
COPY = 4096  # where the copy goes
SPACE = 32


@native(inline=False)
def length(arena: ptr[u8], at: u64) -> u64:
    """The bytes before the NUL."""
    end = at
    while arena[end] != 0:
        end += 1
    return end - at


@native(inline=False)
def copied(arena: ptr[u8], to: u64, at: u64) -> u64:
    """The string copied with its NUL; where the copy ends."""
    while arena[at] != 0:
        arena[to] = arena[at]
        to += 1
        at += 1
    arena[to] = u8(0)
    return to


@native(inline=False)
def found(arena: ptr[u8], at: u64, byte: u8) -> u64:
    """Where the byte is, or the string's end."""
    while arena[at] != 0 and arena[at] != byte:
        at += 1
    return at


@native(inline=False)
def contains(arena: ptr[u8], at: u64, word: u64) -> u64:
    """Where the string at `word` is in the one at `at`, or the end."""
    while arena[at] != 0:
        same = u64(0)
        while arena[word + same] != 0 and arena[at + same] == arena[word + same]:
            same += 1
        if arena[word + same] == 0:
            return at
        at += 1
    return at


@native(inline=False)
def write_words(arena: ptr[u8], seed: u64) -> u64:
    """A text of short words in four letters; the seed of the next one."""
    for i in typed_range(u64(TEXT)):
        seed = seed * 6364136223846793005 + 1442695040888963407
        arena[i] = u8(97 + (seed >> 60 & 3)) if seed >> 61 != 0 else u8(SPACE)
    arena[u64(TEXT)] = u8(0)
    return seed


@native(inline=False)
def strings(count: u64, arena: ptr[u8]) -> u64:
    """`count` texts: each word is copied, and the copy searched for in the text from its start."""
    seed, total = u64(7), u64(0)
    for _ in typed_range(count):
        seed = write_words(arena, seed)
        at, to = u64(0), u64(COPY)
        while arena[at] != 0:
            end = found(arena, at, u8(SPACE))
            after = arena[end]
            arena[end] = u8(0)
            to = copied(arena, u64(COPY), at)
            total = total * 31 + length(arena, u64(COPY)) + contains(arena, u64(0), u64(COPY))
            arena[end] = after
            at = end + u64(after != 0)
        total += to
    return total
