"""What tests of engines share."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator

import pytest

from ringzero.lang import cache


@pytest.fixture
def cold_regions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that earlier tests compiled; the engine itself is taken from the cache."""
    name = f"regions-{uuid.uuid4().hex}"
    monkeypatch.setattr("ringzero.engine.regions.keep.store.FOLDER", name)
    yield
    shutil.rmtree(cache.folder() / name, ignore_errors=True)
