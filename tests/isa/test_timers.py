"""When a hart's next timer is due, by the definitions."""

from __future__ import annotations

import pytest

from ringzero.isa.hart import Hart
from ringzero.isa.privileged.timers import NEVER, TIMERS, next_deadline
from ringzero.isa.privileged.trap import MTI, STCE, STI, VSTI
from ringzero.lang import u64

OWN, ITS, MACHINE = 1 << STI, 1 << VSTI, 1 << MTI


def hart(**fields: int) -> Hart:
    """A hart whose comparators are at 300 (stimecmp) and, by a guest's time, 350 (vstimecmp)."""
    made = Hart()
    start = {"stimecmp": 300, "vstimecmp": 350, "menvcfg": STCE, "henvcfg": STCE, "htimedelta": -50}
    for name, value in (start | fields).items():
        setattr(made, name, u64(value & NEVER))
    return made


@pytest.mark.parametrize(
    ("which", "fields", "expected"),
    [
        (MACHINE, {}, 200),
        (OWN, {}, 300),
        (ITS, {}, 400),
        (TIMERS, {}, 200),
        (OWN | ITS, {}, 300),
        (0, {}, NEVER),
        (OWN | ITS, {"menvcfg": 0}, NEVER),  # henvcfg.STCE is zero where menvcfg.STCE is
        (ITS, {"henvcfg": 0}, NEVER),
        (OWN, {"stimecmp": 99}, 100),  # due: at once
        (TIMERS, {"stimecmp": 100}, 100),
        (OWN, {"stimecmp": NEVER}, NEVER),
        (ITS, {"vstimecmp": NEVER}, NEVER),
        (ITS, {"vstimecmp": NEVER - 1}, NEVER),  # later than mtime can say
        (ITS, {"htimedelta": -200, "vstimecmp": 5}, 100),  # the guest's time is before its zero
        (ITS, {"htimedelta": -200, "vstimecmp": NEVER - 9}, 190),
        (ITS, {"htimedelta": 1 << 63, "vstimecmp": (1 << 63) + 300}, 300),
    ],
)
def test_the_next_deadline(which: int, fields: dict[str, int], expected: int) -> None:
    assert next_deadline(hart(**fields), u64(100), u64(200), u64(which)) == expected
