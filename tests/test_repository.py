"""Habits of this repository that a machine can check: files say what they are and stay short."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST_LINES = 450
"""About 400 is the house style; a little room keeps a file from being cut at the wrong place."""

LISTS = ("ringzero/isa/instructions/rv_",)
"""Lists: instructions as in the manual's tables, and a compiler's one method per kind of node."""

WIDTH = 100
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
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
