"""Dead registers: hand-made cases, and the fields of instructions against the isa's own."""

from __future__ import annotations

import random

from ringzero.hypervisor.techniques.translate import liveness
from ringzero.isa.instruction import SYSTEM
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import u64


def test_what_is_said_to_be_written_is_written() -> None:
    """A register that `writes` names is the instruction's rd; all that it reads `reads` names."""
    chance = random.Random(5)
    for one in INSTRUCTIONS:
        if one.match & 3 != 3 or one.kind is SYSTEM:
            continue
        for _ in range(20):
            word = one.match | chance.getrandbits(32) & ~one.mask & 0xFFFF_FFFF
            named = {name: word >> low & 31 for name, low in (("rd", 7), ("rs1", 15), ("rs2", 20))}
            written, read = int(liveness.writes(u64(word))), int(liveness.reads(u64(word)))
            if written:
                assert "rd" in one.operands, one.name
                assert written == 1 << named["rd"], one.name
            if not liveness.goes_on(u64(word)):
                continue
            for name in ("rs1", "rs2"):
                if name in one.operands and named[name]:
                    assert read >> named[name] & 1, one.name
