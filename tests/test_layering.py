"""The rules of import that `lint-imports` cannot state, and how many files a folder may show.

The directions between the layers stand in pyproject.toml and are checked by `make layering`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from tests.contracts import LAYERED, layers

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ringzero"
GENERATOR = ("lang", "engine")
"""The packages that may import llvmlite."""

TYPED = ("bare", "firmware", "hypervisor", "guests")
"""Text for bare metal: it knows the language and the architecture, and nothing of the host."""

MOST_FILES = 16
"""What one sees at a glance in a folder."""

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


@pytest.mark.parametrize("contract", LAYERED, ids=lambda c: c["containers"][0])
def test_every_layer_exists(contract: dict[str, Any]) -> None:
    """A layer that is gone would stand in parentheses and pass."""
    missing = layers(contract) - set(modules("ringzero"))
    assert not missing, "take it out of the layers of pyproject.toml"


@pytest.mark.parametrize("contract", LAYERED, ids=lambda c: c["containers"][0])
def test_every_package_has_its_layer(contract: dict[str, Any]) -> None:
    """Each folder inside a package that has layers, and each file too where the list is whole."""
    (container,) = contract["containers"]
    depth = container.count(".") + 1
    below = {
        ".".join(name.split(".")[: depth + 1]): path
        for name, path in sorted(modules(container).items(), reverse=True)
        if name != container
    }
    there = {
        name
        for name, path in below.items()
        if path.name == "__init__.py" or contract.get("exhaustive")
    }
    named = {".".join(name.split(".")[: depth + 1]) for name in layers(contract)}
    assert there <= named, "name it in the layers of pyproject.toml"


def test_every_package_with_folders_says_how_they_lie() -> None:
    """Its folders stand in a contract; those of the native core use each other."""
    contained = {contract["containers"][0] for contract in LAYERED}
    packages = {name for name, path in modules("ringzero").items() if path.name == "__init__.py"}
    with_folders = {name.rpartition(".")[0] for name in packages} - {""}
    unsaid = with_folders - contained - {name for name in packages if folders(name) < 2}
    assert unsaid <= {"ringzero.engine.native"}


def folders(package: str) -> int:
    """How many folders with modules a package has."""
    (path,) = [path for name, path in modules(package).items() if name == package]
    return sum(1 for folder in path.parent.iterdir() if (folder / "__init__.py").exists())


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


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports that are made late, or for types only, count as well."""
    known = modules("ringzero")
    assert len(known) > 400
    graph = {name: imported_files(path, known) for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def crowded(top: Path) -> dict[Path, int]:
    """The folders that show more than sixteen files of Python, and how many each shows."""
    shown = Counter(path.parent for path in top.rglob("*.py") if path.name != "__init__.py")
    return {folder: count for folder, count in shown.items() if count > MOST_FILES}


def test_a_folder_with_many_files_says_why() -> None:
    """In its `__init__.py` or README; the folders of tests have one page for all of them."""
    silent = []
    for folder, count in {**crowded(PACKAGE), **crowded(ROOT / "tests")}.items():
        pages = [folder / "__init__.py", folder / "README.md", ROOT / "tests" / "README.md"]
        text = "".join(page.read_text(encoding="utf-8") for page in pages if page.exists())
        if f"More than {MOST_FILES} files in `{folder.relative_to(ROOT)}`: " not in text:
            silent.append(f"{folder.relative_to(ROOT)} shows {count} files")
    assert not silent, f"write 'More than {MOST_FILES} files in `folder`: why' into its page"


def test_the_page_names_no_folder_that_has_few_files() -> None:
    """A reason outlives its folder easily."""
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(rf"More than {MOST_FILES} files in `(.*?)`", page))
    there = {str(folder.relative_to(ROOT)) for folder in crowded(ROOT / "tests")}
    assert named == there


def test_no_test_takes_helpers_from_another_test() -> None:
    """What tests share lies in files of its own, which say what they are."""
    taken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in imports(path)
        if re.search(r"^tests\..*\btest_\w+$", name)
    ]
    assert not taken
