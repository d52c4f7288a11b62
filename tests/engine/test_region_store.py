"""Regions on disk: what is damaged, foreign or of another version reads as none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.engine.regions.keep.store import RegionStore, Stored
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
    assert sorted(region.head for region in store.load(store.name(PAGE))) == [0, 8]


def test_another_page_or_version_has_none(store: RegionStore) -> None:
    store.save(PAGE, [stored(0)])
    assert store.load(store.name(PAGE[::-1])) == []
    assert RegionStore("another").load(store.name(PAGE)) == []


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[[1]]\n", b"[1, 2]\n", b"no JSON", b"\xff\xfe", b"null\n"]
)
def test_whole_files_of_something_else_are_ignored(store: RegionStore, data: bytes) -> None:
    cache.write(store.kind, store.name(PAGE), data)
    assert store.load(store.name(PAGE)) == []
    store.save(PAGE, [stored(0)])
    assert store.load(store.name(PAGE)) == [stored(0)]


def test_damaged_files_are_ignored(store: RegionStore, tmp_path: Path) -> None:
    store.save(PAGE, [stored(0)])
    path = tmp_path / store.kind / store.name(PAGE)
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)
    assert store.load(store.name(PAGE)) == []


def test_a_guests_pages_are_remembered_in_order(store: RegionStore) -> None:
    names = [store.name(PAGE), store.name(PAGE[::-1])]
    store.save_profile("guest", names)
    assert store.profile("guest") == names
    assert store.profile("another guest") == []


@pytest.mark.parametrize("data", [b"", b"../../etc/passwd", b"\xff\0 \n..\n"])
def test_a_profile_of_something_else_names_nothing(store: RegionStore, data: bytes) -> None:
    cache.write(store.profiles, "guest", data)
    assert store.profile("guest") == []


def test_names_are_those_on_disk_and_those_saved_since(store: RegionStore) -> None:
    store.save(PAGE, [stored(0)])
    other = RegionStore("version")
    assert other.names == {store.name(PAGE)}
    other.save(PAGE[::-1], [stored(0)])
    assert store.name(PAGE[::-1]) in other.names
