"""Identifiers are the field's words: those that `docs/glossary.md` replaced do not come back."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = re.compile(
    r"^\| (?P<words>`.*?`) \| .*? \| .*? \| (?P<where>engine|hypervisor|everywhere) \|$", re.M
)
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def replaced() -> dict[str, str]:
    """Each word of the glossary's first column, and where it may not stand."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    return {
        word: row["where"]
        for row in ROW.finditer(text)
        for word in re.findall(r"`(\w+)`", row["words"])
    }


def parts(identifier: str) -> str:
    """An identifier in lower case, an underscore around each of its words."""
    return "_" + "_".join(part.lower() for part in PARTS.findall(identifier)) + "_"


def identifiers(folder: Path) -> dict[str, str]:
    """The names in the files of a folder, and a place where each stands."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        source = io.StringIO(path.read_text(encoding="utf-8"))
        for token in tokenize.generate_tokens(source.readline):
            if token.type == tokenize.NAME:
                found.setdefault(token.string, f"{path.relative_to(ROOT)}:{token.start[0]}")
    return found


def test_the_glossary_has_rows() -> None:
    where = replaced()
    assert where["bail"] == "everywhere"
    assert where["window"] == "engine"
    assert len(where) > 30


@pytest.mark.parametrize(
    ("identifier", "word", "held"),
    [
        ("open_window", "window", True),
        ("OpenWindow", "window", True),
        ("windowed", "window", False),
        ("slot_arrays", "slot_arrays", True),
        ("SLOT_ARRAYS", "slot_array", False),
    ],
)
def test_a_word_is_found_as_a_whole_part(identifier: str, word: str, held: bool) -> None:
    assert (f"_{word}_" in parts(identifier)) == held


@pytest.mark.parametrize("where", ["engine", "hypervisor", "everywhere"])
def test_no_identifier_has_a_word_that_was_replaced(where: str) -> None:
    folder = ROOT / "ringzero" / ("" if where == "everywhere" else where)
    words = [word for word, place in replaced().items() if place == where]
    assert words
    wrong = [
        f"{place}: {identifier} has {word!r}"
        for identifier, place in identifiers(folder).items()
        for word in words
        if f"_{word}_" in parts(identifier)
    ]
    assert not wrong, "see docs/glossary.md"


UNMISTAKABLE = re.compile(r"stencil|stitch|slot.array|words.page", re.I)
"""Words that mean nothing else, so that they stand in no sentence either."""


def test_no_sentence_has_a_word_that_was_replaced() -> None:
    sources = [*(ROOT / "ringzero").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNMISTAKABLE.search(line)
    ]
    assert not wrong, "see docs/glossary.md"


def test_a_word_has_one_row() -> None:
    """In one of the two tables, which are in the order of the alphabet where they are sought in."""
    rows = re.compile(r"^\| (.*?) \|", re.M)
    terms = rows.findall((ROOT / "docs" / "terminology.md").read_text(encoding="utf-8"))[1:]
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word for row in re.findall(r"^\| `.*?\| (.*?) \|", glossary, re.M)
             for word in row.split(", ")]  # fmt: skip
    assert terms == sorted(terms, key=str.lower)
    assert len({*terms, *words}) == len(terms) + len(words)
