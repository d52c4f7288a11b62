"""The doctor looks and tells, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringzero.cli.commands.doctor import gather
from ringzero.cli.main import main


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("RINGZERO_CACHE", str(folder))
    return folder


def test_every_fact_says_what_it_means(empty_cache: Path) -> None:
    facts = gather()
    names = [fact.name for fact in facts]
    assert {"python", "llvmlite", "cache", "images", "apt", "/dev/kvm", "qemu"} <= set(names)
    for fact in facts:
        assert fact.state in ("ok", "note", "missing")
        assert fact.value
        assert fact.meaning.endswith((".", ")"))
        assert fact.state == "ok" or fact.advice, f"{fact.name} leaves the user alone"


def test_looking_makes_nothing(empty_cache: Path) -> None:
    gather()
    assert not empty_cache.exists()


def test_json(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    facts = {fact["name"]: fact for fact in json.loads(capsys.readouterr().out)}
    assert str(empty_cache) in facts["cache"]["value"]
    assert facts["images"]["state"] == "note"


def test_missing_code_generator_is_told(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> str:
        raise ImportError("No module named 'llvmlite'")

    monkeypatch.setattr("ringzero.lang.binding.version", absent)
    assert main(["doctor"]) == 126
    assert "The native engines need it" in capsys.readouterr().out


def test_missing_tools_are_told(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(empty_cache))
    facts = {fact.name: fact for fact in gather()}
    assert facts["apt"].state == facts["qemu"].state == "note"
    assert "--debs" in facts["apt"].advice


def test_the_cache_is_shown(
    empty_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ringzero.lang import cache

    monkeypatch.delenv("RINGZERO_CACHE_LIMIT", raising=False)
    cache.write("regions/version", "page", bytes(3 << 20))
    cache.write("objects", "one", b"code")
    assert main(["doctor", "--cache"]) == 0
    text = capsys.readouterr().out
    assert str(empty_cache) in text
    assert "regions                1      3.0" in text
    assert "3.0 MB of 512.0" in text
    assert main(["doctor", "--cache", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {kind["name"]: kind["entries"] for kind in shown["kinds"]} == {
        "objects": 1,
        "regions": 1,
    }


def test_a_limit_that_is_no_size_is_told(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RINGZERO_CACHE_LIMIT", "plenty")
    assert main(["doctor", "--cache"]) == 125
    assert "256M" in capsys.readouterr().err


def test_an_empty_cache_is_shown(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--cache"]) == 0
    assert "there is none" in capsys.readouterr().out
    assert not empty_cache.exists()
