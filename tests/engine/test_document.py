"""`docs/engine.md` leads through all folders of the engine, and names nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ENGINE = ROOT / "ringzero" / "engine"
TEXT = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")


def test_every_folder_has_a_row() -> None:
    rows = re.findall(r"^\| `([\w/]+)` \|", TEXT, re.M)
    folders = {path.parent.relative_to(ENGINE).as_posix() for path in ENGINE.rglob("*.py")} - {"."}
    assert set(rows) >= folders, "a folder without a row"
    assert all((ENGINE / row).is_dir() for row in rows if "/" in row or row in folders)


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)`", TEXT) + re.findall(r"\((\w+/[\w/]+\.py)\)", TEXT)
    assert len(named) > 8
    missing = [name for name in named if not (ROOT / name).exists() and not beneath(name)]
    assert not missing


def beneath(name: str) -> bool:
    """Whether a file of the engine has that path's end."""
    return any(ENGINE.rglob(name))
