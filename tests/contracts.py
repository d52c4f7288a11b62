"""The contracts of import-linter, as they stand in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def contracts() -> list[dict[str, Any]]:
    """All of them."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    linter = configuration["tool"]["importlinter"]
    assert linter["exclude_type_checking_imports"] is False
    return list(linter["contracts"])


def layers(contract: dict[str, Any]) -> set[str]:
    """The modules that a contract of layers names, with its container in front."""
    (container,) = contract["containers"]
    names = {name for layer in contract["layers"] for name in re.findall(r"[\w.]+", layer)}
    return {f"{container}.{name}" for name in names}


LAYERED = [contract for contract in contracts() if contract["type"] == "layers"]
