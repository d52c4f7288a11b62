"""A bounded sample of the sequences that `python -m tests.fuzz.api` goes on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.api.__main__ import run


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_uses_ends_in_sentences_and_leaves_nothing(seed: int, tmp_path: Path) -> None:
    assert run(seed, 60, tmp_path) is None
