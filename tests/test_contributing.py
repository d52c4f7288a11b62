"""The recipes of CONTRIBUTING.md work as they are printed, each in a Python of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPE = re.compile(r"^## (Add .*?)$.*?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPES = RECIPE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def test_there_are_three_recipes() -> None:
    assert [title for title, _ in RECIPES] == [
        "Add an instruction",
        "Add a CSR",
        "Add a device",
    ]


@pytest.mark.parametrize(("title", "code"), RECIPES, ids=[title for title, _ in RECIPES])
def test_recipe(title: str, code: str, tmp_path: Path) -> None:
    """Run from a file, since the compiler reads a function through its source."""
    file = tmp_path / "recipe.py"
    file.write_text(f"{code}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
