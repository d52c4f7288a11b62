"""Integer arithmetic in registers: nothing but instructions."""

from __future__ import annotations

from ringzero.lang import native, ptr, typed_range, u8, u64

POLYNOMIAL = 0xEDB8_8320  # CRC-32, reflected


@native(inline=False)
def mix(count: u64, arena: ptr[u8]) -> u64:
    """xorshift64* numbers, each folded into a CRC four bits at a time, and a high product."""
    state, crc, total = u64(0x9E37_79B9_7F4A_7C15), u64(0xFFFF_FFFF), u64(0)
    for i in typed_range(count):
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        number = state * 0x2545_F491_4F6C_DD1D
        crc ^= number & 15
        for _ in range(4):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 != 0 else u64(0))
        total += number >> 32 if number & 1 != 0 else number * i
    return total ^ crc


@native(inline=False)
def chain(count: u64, arena: ptr[u8]) -> u64:
    """Each value needs the one before: three additions, a shift and an exclusive or."""
    value = u64(1)
    for i in typed_range(count):
        value = (value << 7 ^ value) + i
        value += value >> 9
    return value


@native(inline=False)
def nothing(count: u64, arena: ptr[u8]) -> u64:
    """What a machine needs to start and stop."""
    return count
