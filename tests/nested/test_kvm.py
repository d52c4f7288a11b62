"""A real hypervisor runs inside the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nested.kvm import run

pytestmark = [pytest.mark.slow, pytest.mark.needs_debian]


def test_a_guest_of_kvm_reaches_its_init(tmp_path: Path) -> None:
    proof = run(tmp_path)
    assert proof.reached, proof.console[-2000:]
    assert proof.instructions["VS"] > proof.instructions["VU"] > 0
