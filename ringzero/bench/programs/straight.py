"""Some ten thousand instructions without a loop: generated functions, each run once a round."""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, native, ptr, typed_range, u8, u64

FUNCTIONS = 140
STEPS = 16  # of a function
WORDS = 256  # that they read and write


class Memory(Struct):
    """What the functions share."""

    word: Array[u64] = field(WORDS)


memory = Memory()


@native(inline=False)
def part(number: int, value: u64) -> u64:
    """A text of its own for each number: arithmetic, a word read, and now and then one written."""
    other = memory.word[number * 13 % WORDS]
    for step in range(STEPS):
        place = (number * 31 + step * 7) % WORDS
        if (number + step) % 4 == 0:
            value = (value << (number + step) % 29 + 3) + (value ^ other)
        elif (number + step) % 4 == 1:
            other += memory.word[place] ^ value >> (step + 1)
        elif (number + step) % 4 == 2:
            value -= other & number * 64 + step
            other = other << 1 ^ value
        else:
            memory.word[place] = value + other
            value ^= other >> (number % 17 + 5)
    return value + other


@native(inline=False)
def straight(count: u64, arena: ptr[u8]) -> u64:
    """All functions, one after the other, `count` times."""
    for i in typed_range(u64(WORDS)):
        memory.word[i] = i * 0x9E37_79B9_7F4A_7C15
    value = u64(1)
    for turn in typed_range(count):
        value += turn
        for number in range(FUNCTIONS):
            value = part(number, value)
    return value
