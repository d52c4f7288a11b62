"""Regions on disk: what is damaged, foreign or of another version reads as none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.engine.region_store import RegionStore, Stored
from ringzero.lang import cache

PAGE = bytes(range(256)) * 16


def stored(head: int) -> Stored:
    return Stored(head, (head,), ((head, 4),), ("helper",), (), b"object")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegionStore:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path))
    return RegionStore("version")


def test_regions_add_up(store: RegionStore) -> None:
    store.save(PAGE, [stored(0)])
    store.save(PAGE, [stored(8), stored(0)])
    assert sorted(region.head for region in store.load(PAGE)) == [0, 8]


def test_another_page_or_version_has_none(store: RegionStore) -> None:
    store.save(PAGE, [stored(0)])
    assert store.load(PAGE[::-1]) == []
    assert RegionStore("another").load(PAGE) == []


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[[1]]\n", b"[1, 2]\n", b"no JSON", b"\xff\xfe", b"null\n"]
)
def test_whole_files_of_something_else_are_ignored(store: RegionStore, data: bytes) -> None:
    cache.write(store.kind, store.name(PAGE), data)
    assert store.load(PAGE) == []
    store.save(PAGE, [stored(0)])
    assert store.load(PAGE) == [stored(0)]


def test_damaged_files_are_ignored(store: RegionStore, tmp_path: Path) -> None:
    store.save(PAGE, [stored(0)])
    path = tmp_path / store.kind / store.name(PAGE)
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)
    assert store.load(PAGE) == []
