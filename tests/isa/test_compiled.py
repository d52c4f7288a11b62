"""Integer instructions compiled for this host agree with the same text in CPython."""

from __future__ import annotations

import random

from ringzero.isa.compressed import expand
from ringzero.isa.instruction import BRANCH, JUMP
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import u32, u64
from ringzero.lang.host import HostLibrary

EDGES = (0, 1, 31, 32, 63, 64, 0x8000_0000, 0xFFFF_FFFF, 1 << 63, (1 << 64) - 1)
PURE = [
    one
    for one in INSTRUCTIONS
    if "hart" not in one.parameters and one.parameters and one.kind is not JUMP
]


def test_compiled_instructions_agree() -> None:
    library = HostLibrary([one.function for one in PURE])
    chance = random.Random(6)
    for one in PURE:
        compiled = library.call[one.function.name]
        for _ in range(60):
            values = [
                chance.choice(EDGES) if chance.random() < 0.5 else chance.getrandbits(64)
                for _ in one.parameters
            ]
            expected = one(*(u64(value) for value in values))
            got = compiled(*values)
            assert got == (expected if one.kind is BRANCH else int(expected)), (one.name, values)


def test_compiled_expansion_agrees() -> None:
    library = HostLibrary([expand])
    for parcel in range(0, 1 << 16, 5):
        assert library.call["expand"](parcel) == int(expand(u32(parcel))), hex(parcel)
