"""The rules of import that `lint-imports` cannot state for packages that do not exist yet.

The direction between the layers itself stands in pyproject.toml and is checked by `make layering`.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ringzero"
GENERATOR = ("lang", "engine")
"""The packages that may import llvmlite."""

TYPED = ("bare", "firmware", "hypervisor", "guests")
"""Text for bare metal: it knows the language and the architecture, and nothing of the host."""

SOURCES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """The names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)}: write imports from the root"
            yield node.module or ""


def area(path: Path) -> str:
    """The package below `ringzero` that a file belongs to, or the file's own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_code_generator_stays_in_its_place() -> None:
    elsewhere = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if area(path) not in GENERATOR
        for name in imports(path)
        if name.partition(".")[0] == "llvmlite"
    ]
    assert not elsewhere, f"llvmlite is imported outside {GENERATOR}"


def test_text_for_bare_metal_knows_only_language_and_architecture() -> None:
    allowed = tuple(f"ringzero.{name}" for name in ("lang", "isa", "board", "errors", "bare"))
    foreign = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        if area(path) in TYPED
        for name in imports(path)
        if name.startswith("ringzero") and not name.startswith((*allowed, f"ringzero.{area(path)}"))
    ]
    assert not foreign


def test_facts_of_the_board_know_only_language_and_architecture() -> None:
    allowed = ("ringzero.lang", "ringzero.isa", "ringzero.board")
    foreign = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        if area(path) == "board"
        for name in imports(path)
        if name.startswith("ringzero") and not name.startswith(allowed)
    ]
    assert not foreign


def test_every_package_has_its_layer() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = configuration["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {name.strip("() ") for layer in layers for name in layer.replace(":", "|").split("|")}
    there = {area(path) for path in SOURCES} - {"__init__"}
    assert there <= named, "name it in the layers of pyproject.toml"


def modules(package: str) -> dict[str, Path]:
    """The files of a package by the name of their module; a package is the file `__init__.py`."""
    found = {}
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if f"{name}.".startswith(f"{package}."):
            found[name] = path
    return found


def imported_files(path: Path, known: dict[str, Path]) -> set[str]:
    """Which of the known modules a file imports, wherever in it: late, or for types only."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        while name and name not in known:
            name = name.rpartition(".")[0]
        found |= {name} - {""}
    return {name for name in found if known[name] != path}


@pytest.mark.parametrize("package", ["ringzero.engine", "ringzero.hypervisor", "ringzero.isa"])
def test_no_files_import_each_other_in_a_circle(package: str) -> None:
    """Imports that are made late, or for types only, count as well."""
    known = modules(package)
    assert known
    graph = {name: imported_files(path, known) for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
