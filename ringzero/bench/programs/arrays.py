"""Programs over arrays in memory: sieve, sort, matrices, copies, and long strides."""

from __future__ import annotations

from ringzero.lang import native, peek, poke, ptr, typed_range, u8, u32, u64

LIMIT = 1_000_000  # the sieve's
WORDS = 100_000  # to sort
SIDE = 96  # of a matrix
BLOCK = 64 * 1024  # to copy
PAGES, PAGE = 4096, 4096


@native(inline=False)
def sieve(count: u64, arena: ptr[u8]) -> u64:
    """The primes below LIMIT, counted by Eratosthenes's sieve with a byte for each number."""
    found = u64(0)
    for _ in typed_range(count):
        for i in typed_range(u64(LIMIT // 8)):
            poke(u64, arena, i * 8, u64(0))
        number = u64(2)
        while number < LIMIT:
            if arena[number] == 0:
                found += 1
                multiple = number * number
                while multiple < LIMIT:
                    arena[multiple] = u8(1)
                    multiple += number
            number += 1
    return found


@native
def word(arena: ptr[u8], index: u64) -> u64:
    return u64(peek(u32, arena, index * 4))


@native
def set_word(arena: ptr[u8], index: u64, value: u64) -> None:
    poke(u32, arena, index * 4, u32(value))


@native(inline=False)
def sort(arena: ptr[u8], first: u64, last: u64) -> None:
    """Quicksort of words first…last, Hoare's partition, recursive on the left part."""
    while first < last:
        pivot = word(arena, (first + last) >> 1)
        low, high = first, last
        while low <= high:
            while word(arena, low) < pivot:
                low += 1
            while word(arena, high) > pivot:
                high -= 1
            if low <= high:
                left, right = word(arena, low), word(arena, high)
                set_word(arena, low, right)
                set_word(arena, high, left)
                low += 1
                if high == 0:
                    break
                high -= 1
        if first < high:
            sort(arena, first, high)
        first = low


@native(inline=False)
def quicksort(count: u64, arena: ptr[u8]) -> u64:
    """WORDS random numbers, sorted each round; the sum of some of them in their order."""
    state, total = u64(12345), u64(0)
    for _ in typed_range(count):
        for i in typed_range(u64(WORDS)):
            state = state * 6364136223846793005 + 1442695040888963407
            set_word(arena, i, state >> 33)
        sort(arena, u64(0), u64(WORDS - 1))
        for i in typed_range(u64(WORDS // 100)):
            total = total * 31 + word(arena, i * 100)
    return total


@native(inline=False)
def matrix(count: u64, arena: ptr[u8]) -> u64:
    """C = A × B for square matrices of 32-bit numbers; C goes into the next round's A."""
    size = u64(SIDE * SIDE)
    for i in typed_range(size * 2):
        set_word(arena, i, i * 7 + 3)
    total = u64(0)
    for _ in typed_range(count):
        for row in typed_range(u64(SIDE)):
            for column in typed_range(u64(SIDE)):
                element = u64(0)
                for k in typed_range(u64(SIDE)):
                    left = word(arena, row * SIDE + k)
                    element += left * word(arena, size + k * SIDE + column)
                set_word(arena, size * 2 + row * SIDE + column, element)
        for i in typed_range(size):
            element = word(arena, size * 2 + i)
            set_word(arena, i, element >> 3)
            total = total * 3 + element
    return total


@native(inline=False)
def copy(count: u64, arena: ptr[u8]) -> u64:
    """A block copied by words, then a quarter of it by bytes to odd places, and compared."""
    for i in typed_range(u64(BLOCK // 8)):
        poke(u64, arena, i * 8, i * 0x0101_0101_0101_0101)
    equal = u64(0)
    for turn in typed_range(count):
        poke(u64, arena, turn % (BLOCK // 8) * 8, turn)
        for i in typed_range(u64(BLOCK // 8)):
            poke(u64, arena, BLOCK + i * 8, peek(u64, arena, i * 8))
        for i in typed_range(u64(BLOCK // 4)):
            arena[2 * BLOCK + 1 + i] = arena[BLOCK + i]
        for i in typed_range(u64(BLOCK // 4)):
            equal += u64(arena[2 * BLOCK + 1 + i] == arena[i + turn % 3])
    return equal


@native(inline=False)
def stride(count: u64, arena: ptr[u8]) -> u64:
    """One word in each of PAGES pages, read, changed and written, at a moving offset."""
    total = u64(0)
    for turn in typed_range(count):
        for page in typed_range(u64(PAGES)):
            at = page * PAGE + (page * 72 + turn * 8) % PAGE
            value = peek(u64, arena, at & ~u64(7)) + page + turn
            poke(u64, arena, at & ~u64(7), value)
            total += value
    return total
