"""Random privileged instructions give the same state bare and under the hypervisor.

`random_privileged.py` makes the programs and says what they print.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.hypervisor.host.build import Guest, build
from ringzero.isa.tools.program import assemble_text
from tests.hypervisor.carriers import CARRIERS, ENTRY, technique
from tests.hypervisor.random_privileged import (
    STEPS,
    bare,
    program,
)


@technique
@pytest.mark.parametrize("seed", range(6))
def test_same_as_bare(seed: int, technique: str, tmp_path: Path) -> None:
    code = assemble_text(program(seed), ENTRY)
    expected = bare(code, tmp_path)
    assert len(expected) == STEPS // 20
    assert len(set(expected)) == len(expected)
    one = Guest(code, memory=8 << 20, technique=technique, eagerness=1)
    trapped = CARRIERS["machine"](build([one]), tmp_path)
    assert trapped.output.split() == expected
