"""Documents are true to the tree: files that they name exist, links lead on, lines are short.

Decisions that another one has superseded may name what is gone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts import LAYERED

ROOT = Path(__file__).parent.parent
WIDTH = 100
PAGE = 75
"""Lines of a decision: one page."""

DECISION = re.compile(
    r"# (?P<number>\d+)\. .+\n\n"
    r"Date: \d{4}-\d\d-\d\d\. Status: (accepted|superseded by (?P<by>\d+))(; .+)?\.\n"
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
DOCUMENTS = sorted(
    path
    for top in (ROOT, ROOT / "docs", ROOT / "tests", ROOT / "bench", ROOT / "changelog.d")
    for path in (top.glob("*.md") if top == ROOT else top.rglob("*.md"))
)
BASES = (".", "ringzero", "docs")
"""Where a path may begin, besides the folder of its document and those named before it."""

FILE = re.compile(r"(?<![\w./<-])(?:[\w.-]+/)*[\w-]+\.(?:py|md|sh|toml|inc)(?![\w/])")
FOLDER = re.compile(r"`((?:[\w.-]+/)+)`")
MADE = {"hv.elf", "attributes.json"}
"""What examples make."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fragment(path: Path) -> bool:
    """Whether it is a sentence that waits for its place in the changelog."""
    return path.parent.name == "changelog.d" and path.name != "README.md"


def superseded(path: Path) -> bool:
    """Whether a document is a decision that no longer holds."""
    found = DECISION.match(path.read_text(encoding="utf-8"))
    return found is not None and found["by"] is not None


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines outside blocks of code."""
    inside = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            yield number, line


def exists(named: str, bases: list[Path]) -> bool:
    """Whether a path names a file or folder below one of some folders."""
    return any((base / named).exists() for base in bases)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if not superseded(path)], ids=name)
def test_every_file_that_a_document_names_exists(path: Path) -> None:
    """A name alone is one of the folders that the document has named before, or of the whole."""
    missing: list[str] = []
    folders: list[Path] = []
    for number, line in prose(path):
        line = re.sub(r"\w+://\S+", "", line)
        for named in [*FILE.findall(line), *FOLDER.findall(line)]:
            bases = [path.parent, *(ROOT / base for base in BASES), *folders]
            bases += [parent for folder in folders for parent in folder.parents if parent != ROOT]
            if not exists(named, bases):
                missing.append(f"{name(path)}:{number}: {named}")
                continue
            place = next(base / named for base in bases if (base / named).exists())
            folders.append(place if place.is_dir() else place.parent)
    assert not missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = [
        f"{name(path)}:{number}: {target}"
        for number, line in prose(path)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line)
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if not fragment(path)], ids=name)
def test_lines_of_prose_fit_the_page(path: Path) -> None:
    """Rows of tables cannot be broken; blocks of code have their own width."""
    long = [
        f"{name(path)}:{number}: {len(line)} characters"
        for number, line in prose(path)
        if len(line) > WIDTH and not line.startswith("|")
    ]
    assert not long


@pytest.mark.parametrize("path", DECISIONS, ids=name)
def test_a_decision_has_a_date_and_a_status_and_is_one_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = DECISION.match(text)
    assert found, "begin with '# 7. Title', then 'Date: 2026-11-28. Status: accepted.'"
    assert int(found["number"]) == int(path.name[:4])
    assert len(text.splitlines()) <= PAGE


def test_numbers_of_decisions_are_given_once() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert len(numbers) == len(set(numbers))
    page = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    (never,) = re.findall(r"Never given were the numbers (.*)\.", page)
    given_up = {int(number) for number in re.findall(r"\d+", never)}
    assert set(range(1, max(numbers) + 1)) - set(numbers) == given_up


def test_what_supersedes_a_decision_exists() -> None:
    there = {int(path.name[:4]) for path in DECISIONS}
    for path in DECISIONS:
        found = DECISION.match(path.read_text(encoding="utf-8"))
        assert found
        assert found["by"] is None or int(found["by"]) in there


def test_every_decision_that_is_named_exists() -> None:
    numbers = {int(path.name[:4]) for path in DECISIONS}
    sources = [*DOCUMENTS, *(ROOT / "ringzero").rglob("*.py")]
    unknown = [
        f"{name(path)}: decision {number}"
        for path in sources
        for number in re.findall(r"\bdecision (\d+)", path.read_text(encoding="utf-8"))
        if int(number) not in numbers
    ]
    assert not unknown


def test_the_picture_of_the_layers_is_the_contract() -> None:
    """ARCHITECTURE shows the layers that import-linter holds, in their order."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    picture = re.search(r"## Layers.*?```\n(.*?)```", text, re.S)
    assert picture
    drawn = [rooms(line) for line in picture[1].splitlines() if line.strip()]
    (contract,) = [one for one in LAYERED if one["containers"] == ["ringzero"]]
    held = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    assert drawn == held


def rooms(line: str) -> set[str]:
    """The packages and modules of one line of the picture: what stands before two blanks."""
    return {
        word.rstrip("/").removesuffix(".py") for word in re.split(r"   +", line.strip())[0].split()
    }


def test_the_changelog_has_the_version() -> None:
    """Fragments that stand beside it came after its newest section."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"]
    source = (ROOT / "ringzero" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(\d+\.\d+)', source, re.M)
    (newest, *_) = re.findall(r"^## (\d+\.\d+)", text, re.M)
    assert newest == version
    kinds = {"feature", "fix", "removal", "doc"}
    for path in (ROOT / "changelog.d").iterdir():
        assert path.name == "README.md" or path.name.split(".")[1:] in [[k, "md"] for k in kinds]


def test_the_reading_guide_leads_to_every_package() -> None:
    guide = (ROOT / "docs" / "reading-guide.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in (ROOT / "ringzero").glob("*/__init__.py")}
    led_to = {package for package in packages if re.search(rf"\b{package}/[\w/]+\.py", guide)}
    assert led_to == packages


QUESTIONS = {
    "where a timer interrupt is decided": "isa/privileged/timers.py",
    "what happens at `sfence.vma`": "engine/native/translation/fences.py",
    "how a hot loop is compiled": "engine/regions/tier.py",
    "where `--memory` goes": "machine/memory.py",
    "how to add an instruction, a CSR, a device": "CONTRIBUTING.md",
    "what a snapshot keeps": "machine/state.py",
    "where binary translation is": "hypervisor/techniques/translate/sites.py",
}
"""What a newcomer asks first, and a file that answers it."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_newcomers_question_is_answered_within_one_hop(question: str) -> None:
    guide = (ROOT / "docs" / "reading-guide.md").read_text(encoding="utf-8")
    (row,) = [line for line in guide.splitlines() if line.startswith(f"| {question} |")]
    assert QUESTIONS[question] in row
