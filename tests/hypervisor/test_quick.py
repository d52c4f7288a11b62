"""The quick answer for sstatus means what the isa's CSR instructions mean, on random states."""

from __future__ import annotations

import random

import pytest

from ringzero.hypervisor.dispatch.fast import status_access
from ringzero.hypervisor.dispatch.sensitive import HARMLESS
from ringzero.isa.csrs.supervisor import VISIBLE
from ringzero.isa.hart import SXL_64, UXL_64, Hart, S
from ringzero.isa.instructions import rv_zicsr
from ringzero.isa.privileged.paging import STATUS_SUM
from ringzero.isa.privileged.trap import STATUS_FS, STATUS_SIE
from ringzero.isa.registry import BY_NAME
from ringzero.isa.tools.assembler import encode
from ringzero.lang import u64

SSTATUS = 0x100


def random_hart(chance: random.Random) -> Hart:
    hart = Hart()
    hart.mode = S
    hart.mstatus = UXL_64 | SXL_64 | chance.getrandbits(64) & VISIBLE & ~STATUS_FS
    for i in range(1, 32):
        hart.x[i] = chance.choice([chance.getrandbits(64), 1 << chance.randrange(20), 0])
    return hart


def copy(hart: Hart) -> Hart:
    made = Hart()
    made.mode, made.mstatus = hart.mode, hart.mstatus
    for i in range(32):
        made.x[i] = hart.x[i]
    return made


def by_the_isa(hart: Hart, name: str, rd: int, rs1: int) -> None:
    """The instruction as the isa defines it."""
    one = getattr(rv_zicsr, name).function
    a = hart.x[rs1]
    if name == "csrrw":
        value = one(hart, u64(SSTATUS), a, u64(rd))
    elif name == "csrrwi":
        value = one(hart, u64(SSTATUS), u64(rs1), u64(rd))
    elif name.endswith("i"):
        value = one(hart, u64(SSTATUS), u64(rs1))
    else:
        value = one(hart, u64(SSTATUS), a, u64(rs1))
    if rd:
        hart.x[rd] = value


@pytest.mark.parametrize("allowed", [HARMLESS, HARMLESS | STATUS_SUM])
@pytest.mark.parametrize("name", ["csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"])
def test_sstatus_means_the_same(name: str, allowed: int) -> None:
    chance = random.Random(f"{name} {allowed}")
    answered = 0
    for _ in range(200):
        hart, rd, rs1 = random_hart(chance), chance.randrange(32), chance.randrange(32)
        if name == "csrrw" and chance.random() < 0.7:
            hart.x[rs1] = hart.mstatus ^ chance.getrandbits(9) if rs1 else u64(0)
        operand = {"uimm": rs1} if name.endswith("i") else {"rs1": rs1}
        word = encode(BY_NAME[name], rd=rd, csr=SSTATUS, **operand)
        # while a guest runs, FS is the real hart's affair: the virtual one's is zero
        real, held = chance.choice([0, 1, 2, 3]) << 13, chance.randrange(2)
        expected, before = copy(hart), copy(hart)
        expected.mstatus = expected.mstatus | real
        old = expected.mstatus
        by_the_isa(expected, name, rd, rs1)
        changed = (old ^ expected.mstatus) & VISIBLE
        done = status_access(hart, u64(word), u64(real), u64(held), allowed)
        if not done:
            assert [hart.x[i] for i in range(32)] == [before.x[i] for i in range(32)]
            assert hart.mstatus == before.mstatus
            refused = changed & ~u64(allowed) != 0
            assert refused or (held and changed & expected.mstatus & STATUS_SIE != 0)
            continue
        answered += 1
        assert changed & ~u64(allowed) == 0
        assert [hart.x[i] for i in range(32)] == [expected.x[i] for i in range(32)]
        assert hart.mstatus == expected.mstatus & ~u64(STATUS_FS)
    assert answered > 5
