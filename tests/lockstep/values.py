"""Random numbers as programs meet them: mostly the awkward ones."""

from __future__ import annotations

import random

MASK = (1 << 64) - 1
BOX32, BOX16 = 0xFFFF_FFFF << 32, 0xFFFF_FFFF_FFFF << 16
# Sign, exponent width, fraction width of double, single, half
FORMATS = ((63, 11, 52), (31, 8, 23), (15, 5, 10))


def integer(chance: random.Random) -> int:
    """64 bits: small, extreme, a few bits, a shifted one, or anything."""
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randrange(-64, 64) & MASK
    if kind == 1:
        return chance.choice((0, 1, MASK, 1 << 63, (1 << 63) - 1, 1 << 31, 0xFFFF_FFFF, 1 << 32))
    if kind == 2:
        return (1 << chance.randrange(64)) - chance.randrange(2) & MASK
    if kind == 3:
        return chance.getrandbits(chance.randrange(1, 65))
    return chance.getrandbits(64)


def real(chance: random.Random) -> int:
    """A floating-point register: a boxed number of some format, sometimes not boxed properly."""
    sign, exponent_bits, fraction_bits = chance.choice(FORMATS)
    top = (1 << exponent_bits) - 1
    bias = top >> 1
    exponent = chance.choice(
        (0, 0, 1, 2, top - 1, top, top, bias, bias - 1, bias + chance.randrange(-70, 70))
    )
    if chance.random() < 0.5:
        exponent = bias + chance.randrange(-12, 13)
    exponent = max(0, min(top, exponent))
    ones = (1 << fraction_bits) - 1
    fraction = chance.choice(
        (0, 0, 1, ones, ones - 1, 1 << (fraction_bits - 1), chance.getrandbits(fraction_bits),
         chance.getrandbits(fraction_bits), 1 << chance.randrange(fraction_bits))
    )  # fmt: skip
    number = chance.getrandbits(1) << sign | exponent << fraction_bits | fraction
    if sign < 63 and chance.random() < 0.97:
        number |= BOX32 if sign == 31 else BOX16
    return number
