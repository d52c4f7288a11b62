"""The image cache as the user sees it: listed, and removed without hurting what is shared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringzero.cli.main import main
from ringzero.cli.views.inventory import disk_usage, inventory
from ringzero.images import cache_root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path))
    return cache_root()


def fetched(root: Path, name: str, version: str, *parts: str) -> None:
    """What `images` leaves behind for an answered request."""
    answer = {"version": version}
    for part in parts:
        path = root / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
        answer[part] = str(path)
    note = root / "requests" / f"{name}.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps(answer))


def test_images_are_listed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "list"]) == 0
    assert "No image was fetched yet" in capsys.readouterr().err
    fetched(root, "a", "6.12.1+deb13", "kernels/k", "initrds/i")
    fetched(root, "b", "debian-installer-13-netboot-riscv64", "files/linux")
    assert main(["image", "list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == ["debian", "debian-installer"]
    assert entries[0]["bytes"] == 2000


def test_an_image_with_a_lost_file_is_not_listed(root: Path) -> None:
    fetched(root, "a", "6.12.1", "kernels/k")
    (root / "kernels" / "k").unlink()
    assert inventory() == []


def test_removing_keeps_what_another_image_needs(root: Path) -> None:
    fetched(root, "a", "6.12.1", "kernels/k", "files/shared")
    fetched(root, "b", "debian-installer-13", "files/shared")
    assert main(["image", "remove", "debian"]) == 0
    assert not (root / "kernels" / "k").exists()
    assert [entry.name for entry in inventory()] == ["debian-installer"]
    assert main(["image", "remove", "all"]) == 0
    assert disk_usage(cache_root()) == 0


def test_removing_what_is_not_there_is_not_found(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "remove", "debian"]) == 127
    assert "No image 'debian' is in the cache" in capsys.readouterr().err


def test_folders_that_cannot_be_written_are_removed_too(root: Path) -> None:
    fetched(root, "a", "6.12.1", "roots/r/locked/file")
    note = root / "requests" / "a.json"
    note.write_text(json.dumps({"version": "6.12.1", "root": str(root / "roots" / "r")}))
    (root / "roots" / "r" / "locked").chmod(0o500)
    assert main(["image", "remove", "debian"]) == 0
    assert not (root / "roots" / "r").exists()
