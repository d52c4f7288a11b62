"""Work that an engine can be measured by: integer loops, memory, branches, calls.

Each workload returns a checksum, the same in CPython, on this host and on riscv64.
"""

from __future__ import annotations

from ringzero.lang import Array, Native, Struct, field, native, typed_range, u8, u32, u64

SIEVE_SIZE, WORDS = 8192, 1024


class Memory(Struct):
    """What the workloads work on."""

    sieve: Array[u8] = field(8192)
    words: Array[u32] = field(1024)
    left: Array[u32] = field(256)
    right: Array[u32] = field(256)
    table: Array[u32] = field(256)


memory = Memory()


@native
def primes(rounds: u64) -> u64:
    """The sieve of Eratosthenes: strided stores and a predictable branch."""
    count = u64(0)
    for _ in typed_range(rounds):
        count = 0
        for i in typed_range(u64(SIEVE_SIZE)):
            memory.sieve[i] = 1
        for i in typed_range(u64(2), u64(SIEVE_SIZE)):
            if memory.sieve[i] != 0:
                count += 1
                j = i * i
                while j < SIEVE_SIZE:
                    memory.sieve[j] = 0
                    j += i
    return count


@native
def checksums(rounds: u64) -> u64:
    """CRC-32 by table: dependent loads and shifts."""
    for i in typed_range(u32(256)):
        entry = i
        for _ in typed_range(u32(8)):
            entry = entry >> 1 ^ 0xEDB8_8320 if entry & 1 != 0 else entry >> 1
        memory.table[i] = entry
    crc = ~u32(0)
    for _ in typed_range(rounds):
        for i in typed_range(u32(1024)):
            crc = memory.table[(crc ^ i) & 0xFF] ^ crc >> 8
    return u64(~crc)


@native
def sorting(rounds: u64) -> u64:
    """Shell sort of pseudo-random words: unpredictable branches."""
    total, seed = u64(0), u32(12345)
    for _ in typed_range(rounds):
        for i in typed_range(u64(WORDS)):
            seed = seed * 1664525 + 1013904223
            memory.words[i] = seed >> 8
        gap = u64(WORDS // 2)
        while gap > 0:
            for i in typed_range(gap, u64(WORDS)):
                value, j = memory.words[i], i
                while j >= gap and memory.words[j - gap] > value:
                    memory.words[j] = memory.words[j - gap]
                    j -= gap
                memory.words[j] = value
            gap >>= 1
        total += u64(memory.words[0]) + u64(memory.words[WORDS - 1])
    return total


@native
def matrices(rounds: u64) -> u64:
    """Products of 16×16 matrices: multiplication and row-wise access."""
    for i in typed_range(u64(256)):
        memory.left[i], memory.right[i] = u32(i) * 7 + 1, u32(i) ^ 0x55
    total = u32(0)
    for _ in typed_range(rounds):
        for i in typed_range(u64(16)):
            for j in typed_range(u64(16)):
                cell = u32(0)
                for k in typed_range(u64(16)):
                    cell += memory.left[i * 16 + k] * memory.right[k * 16 + j]
                total = total * 31 + cell
    return u64(total)


@native(inline=False)
def takeuchi(x: u64, y: u64, z: u64) -> u64:
    """The function of that name: nothing but calls and returns."""
    if y >= x:
        return z
    return takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y))


@native
def calls(rounds: u64) -> u64:
    """Recursion."""
    total = u64(0)
    for i in typed_range(rounds):
        total = total * 3 + takeuchi(10 + (i & 1), u64(6), u64(2) + (i & 2))
    return total


@native
def division(rounds: u64) -> u64:
    """Greatest common divisors: long divisions in a chain."""
    total = u64(0)
    for i in typed_range(rounds * 64):
        a, b = i * 0x9E37_79B9_7F4A_7C15 | 1, i + 0x1234_5678_9ABC
        while b != 0:
            a, b = b, a % b
        total += a
    return total


WORKLOADS: tuple[tuple[str, Native[[u64], u64], int], ...] = (
    ("primes", primes, 8),
    ("checksums", checksums, 40),
    ("sorting", sorting, 4),
    ("matrices", matrices, 24),
    ("calls", calls, 8),
    ("division", division, 16),
)
