"""64-bit rotations and exclusive ors of more values than there are registers: Keccak (FIPS 202)."""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, native, ptr, typed_range, u8, u64

LANES, ROUNDS = 25, 24


def _constants() -> tuple[int, ...]:
    """ι's constants, from the linear feedback register of FIPS 202, section 3.2.5."""
    constants, register = [], 1
    for _ in range(ROUNDS):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << ((1 << j) - 1)
            register <<= 1
            register ^= 0x171 if register & 0x100 else 0
        constants.append(constant)
    return tuple(constants)


def _offsets() -> tuple[int, ...]:
    """ρ's rotations by lane, section 3.2.2."""
    offsets, x, y = [0] * LANES, 1, 0
    for t in range(ROUNDS):
        offsets[x + 5 * y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(offsets)


CONSTANTS = _constants()
OFFSETS = _offsets()


@native
def rotated(value: u64, count: int) -> u64:
    """Rotated to the left; the count is not 0."""
    return value << count | value >> (64 - count)


class State(Struct):
    """The lanes by x + 5·y, and ι's constants."""

    lane: Array[u64] = field(LANES)
    constant: Array[u64] = field(ROUNDS)


state = State()


@native(inline=False)
def write_constants() -> None:
    """What the permutation reads in each round."""
    for index, constant in enumerate(CONSTANTS):
        state.constant[index] = u64(constant)


@native(inline=False)
def permute() -> None:
    """Keccak-f[1600]: 24 rounds over 25 lanes that are local variables meanwhile."""
    lane, moved, parity = u64[LANES](), u64[LANES](), u64[5]()
    for i in range(LANES):
        lane[i] = state.lane[i]
    for turn in typed_range(u64(ROUNDS)):
        for x in range(5):  # θ
            parity[x] = lane[x] ^ lane[x + 5] ^ lane[x + 10] ^ lane[x + 15] ^ lane[x + 20]
        for x in range(5):
            change = parity[(x + 4) % 5] ^ rotated(parity[(x + 1) % 5], 1)
            for y in range(5):
                lane[x + 5 * y] = lane[x + 5 * y] ^ change
        moved[0] = lane[0]
        for i in range(1, LANES):  # ρ and π
            moved[i // 5 + 5 * ((2 * (i % 5) + 3 * (i // 5)) % 5)] = rotated(lane[i], OFFSETS[i])
        for i in range(LANES):  # χ
            row = i // 5 * 5
            lane[i] = moved[i] ^ ~moved[row + (i + 1) % 5] & moved[row + (i + 2) % 5]
        lane[0] = lane[0] ^ state.constant[turn]  # ι
    for i in range(LANES):
        state.lane[i] = lane[i]


@native(inline=False)
def rotate(count: u64, arena: ptr[u8]) -> u64:
    """The permutation, `count` times from zeros; the first lane."""
    for i in typed_range(u64(LANES)):
        state.lane[i] = u64(0)
    write_constants()
    for _ in typed_range(count):
        permute()
    return state.lane[0]
