"""The quick readers of CSRs say what the CSRs' definitions say."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringzero.isa.csr import Csr, read_csr
from ringzero.isa.csrs.registry import ALL
from ringzero.isa.hart import H, Hart
from ringzero.lang import Array, u64
from tests.lockstep.views import QUICK


class Midnight:
    """A host whose time is zero."""

    def now(self, hart: Hart) -> u64:
        return u64(0)


def random_hart(seed: int) -> Any:
    chance = random.Random(seed)
    hart: Any = Hart()
    for name, kind in Hart.fields.items():
        if issubclass(kind, Array):
            for index in range(len(getattr(hart, name))):
                getattr(hart, name)[index] = u64(chance.getrandbits(64))
        else:
            setattr(hart, name, u64(chance.getrandbits(64)))
    # what writes keep out of these
    hart.mstatus = hart.mstatus & 0x7E79AA
    hart.fcsr = hart.fcsr & 0xFF
    hart.stimecmp = u64(chance.choice((0, 1)))
    hart.vsstatus = hart.vsstatus & 0xC6122
    hart.extensions = u64(chance.choice((0, H)))
    hart.virtual = u64(chance.choice((0, 1)))
    for name in ("hstateen1", "hstateen2", "hstateen3"):
        setattr(hart, name, getattr(hart, name) & 1 << 63)
    hart.host = Midnight()
    return hart


@pytest.mark.parametrize("csr", ALL, ids=lambda csr: csr.name)
def test_a_quick_reader_agrees_with_the_definition(csr: type[Csr]) -> None:
    for seed in range(4):
        hart = random_hart(seed)
        for number in range(csr.first, csr.last + 1, csr.step):
            assert QUICK[number](hart) == read_csr(hart, csr, u64(number)), (csr.name, seed)
