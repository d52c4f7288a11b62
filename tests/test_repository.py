"""Habits of this repository that a machine can check: files say what they are and stay short."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NEEDS
from tests.limits import HUNG

ROOT = Path(__file__).parent.parent
MOST_LINES = 450
"""About 400 is the house style; a little room keeps a file from being cut at the wrong place."""

LISTS = ("ringzero/isa/instructions/rv_",)
"""Lists: instructions as in the manual's tables, and a compiler's one method per kind of node."""

WIDTH = 100
MEANT_TO_PASS = 1.0  # seconds
# A file name with a home or scratch folder in front of it is some machine's, not the project's.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|home/(?!user\b)\w+|Users/\w+)/")
URL = re.compile(r"https?://([A-Za-z0-9.-]+)")
KNOWN_HOSTS = (
    "example.org", "example.com", "localhost", "127.0.0.1", "www.apache.org", "www.w3.org",
)  # fmt: skip
"""What documentation may point to: nobody's machine, and the licence's address."""


def tracked() -> list[Path]:
    """The files of the repository; without git, what lies where its sources do."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
        names = [ROOT / name for name in done.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [path for top in ("ringzero", "tests", "docs") for path in (ROOT / top).rglob("*")]
    return [path for path in names if path.is_file() and "__pycache__" not in path.parts]


FILES = tracked()
SOURCES = [path for path in FILES if path.suffix == ".py"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_source_says_what_it_is_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "the file does not open by saying what it is"
    lines = text.splitlines()
    if not name(path).startswith(LISTS):
        assert len(lines) <= MOST_LINES, f"{len(lines)} lines: give the second idea its own file"


def test_lines_of_scripts_and_settings_fit_the_page() -> None:
    """Python's own lines are the linter's business."""
    long = [
        f"{name(path)}:{number}: {len(line)} characters"
        for path in FILES
        if path.suffix in (".sh", ".toml") or path.name in ("Makefile", "run", "make-venv")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > WIDTH
    ]
    assert not long, "\n".join(long)


def test_no_file_names_a_machine() -> None:
    """Folders of one machine and hosts of registries mean nothing to anybody else."""
    found = []
    for path in FILES:
        if path.suffix not in (".py", ".md", ".toml", ".txt", ".sh", "") or path.name == "LICENSE":
            continue
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{name(path)}:{number}: a folder of one machine")
            for host in URL.findall(line):
                if not host.endswith(KNOWN_HOSTS) and "://" in line and path.suffix != ".md":
                    found.append(f"{name(path)}:{number}: the host {host}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("requirements", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned_by_content_alone(requirements: str) -> None:
    text = (ROOT / requirements).read_text(encoding="utf-8")
    assert "://" not in text
    assert "-index" not in text
    for block in re.split(r"\n(?=[a-z])", text):
        if re.match(r"[a-z]", block):
            assert re.match(r"[\w.-]+==\S+", block), block.splitlines()[0]
            assert "--hash=sha256:" in block, block.splitlines()[0]


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    """Both run a target of the Makefile, and its last step runs all tests."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (promised,) = re.findall(r"^make (\w+) .*runs every check and every test$", readme, re.M)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\w+)", script, re.M) == [promised]
    made = subprocess.run(
        ["make", "-n", promised], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for command in ("ruff check", "mypy", "lint-imports", "pytest"):
        assert re.search(rf"{command}\b", made), f"make {promised} does not run {command}"


def test_every_marker_is_used() -> None:
    """And each need of the host is looked up where `conftest.py` says."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)["tool"]["pytest"]["ini_options"]
    marked = {
        word
        for path in (ROOT / "tests").rglob("*.py")
        for word in re.findall(r"mark\.(\w+)", path.read_text(encoding="utf-8"))
    }
    declared = {line.partition(":")[0] for line in settings["markers"]}
    assert declared <= marked
    assert {word for word in declared if word.startswith("needs_")} == set(NEEDS)


def waits(path: Path) -> Iterator[tuple[int, float]]:
    """The lines of a test that name a limit of time, and the seconds."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg in ("timeout", "seconds"):
            value = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr != "wait" or len(node.args) != 1:
                continue
            value = node.args[0]
        else:
            continue
        if isinstance(value, ast.Constant) and isinstance(value.value, (int, float)):
            yield value.lineno, value.value


def test_what_a_test_waits_for_has_time_to_come() -> None:
    """A limit is short where it is meant to pass; otherwise no busy host reaches it."""
    short = [
        f"{name(path)}:{line}: {seconds} s"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, seconds in waits(path)
        if MEANT_TO_PASS < seconds < HUNG
    ]
    assert not short, "take `tests.limits.HUNG`"
