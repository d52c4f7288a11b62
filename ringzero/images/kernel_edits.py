"""Making a Linux source tree paravirtual: our own files, and edits where it touches the hart.

What is replaced by what stands in `paravirt/edits.toml`. Each anchor must be found as often as the
edit says, or nothing is written: an unknown kernel is refused, with the edit that does not fit.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ringzero.board import hypercalls
from ringzero.images.errors import ImageError

DATA = Path(__file__).parent / "paravirt"
PLACES = {
    "ringzero.h": "arch/riscv/include/asm/ringzero.h",
    "ringzero.c": "arch/riscv/kernel/ringzero.c",
    "entry.inc": "arch/riscv/kernel/ringzero_entry.inc",
}
NAMED = (
    *("EXTENSION", "MAJOR", "ALWAYS_SUM", "DESCRIBE", "REGISTER", "DELIVER", "SPACE", "FLUSH"),
    *("FLUSH_MANY", "TIMER", "YIELD", "CONSOLE", "EXIT"),
)


@dataclass(frozen=True)
class Edit:
    """One replacement in one file."""

    file: str
    find: str
    put: str
    times: int = 1
    why: str = ""

    def apply(self, text: str) -> str:
        """The text with it."""
        found = text.count(self.find)
        if found != self.times:
            raise ImageError(
                f"{self.file} is not as the paravirtual edits know it: {self.find.strip()!r} is "
                f"there {found} times instead of {self.times}; edits.toml needs a look at this "
                "kernel."
            )
        return text.replace(self.find, self.put.replace("{find}", self.find))


def edits() -> tuple[tuple[str, ...], list[Edit]]:
    """The kernel versions that the edits are for, and the edits in their order."""
    data = tomllib.loads((DATA / "edits.toml").read_text())
    return tuple(data["versions"]), [Edit(**one) for one in data["edit"]]


def numbers() -> str:
    """The interface's numbers, as C has them."""
    lines = [f"#define RINGZERO_{name} {getattr(hypercalls, name):#x}" for name in NAMED]
    lines += [f"#define RINGZERO_{name.upper()} {at}" for name, at in hypercalls.OFFSETS.items()]
    return "\n".join([*lines, "#define RINGZERO_EVERY_SPACE (~0UL)"])


def files() -> dict[str, str]:
    """Our own files, by their places in the tree."""
    texts = {place: (DATA / name).read_text() for name, place in PLACES.items()}
    return {place: text.replace("@NUMBERS@", numbers()) for place, text in texts.items()}


def version_of(tree: Path) -> str:
    """The kernel's version, such as 6.12.107, as its Makefile says."""
    words = dict(re.findall(r"^(\w+) = *(\S*)$", (tree / "Makefile").read_text(), re.MULTILINE))
    return ".".join(words.get(name, "?") for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))


def make_paravirtual(tree: Path) -> list[Path]:
    """Edit a source tree; the files written. It is refused whole if any edit does not fit."""
    known, wanted = edits()
    version = version_of(tree)
    if version.rpartition(".")[0] not in known:
        raise ImageError(
            f"The paravirtual edits are for Linux {', '.join(known)}, and this is {version}."
        )
    texts: dict[str, str] = {}
    for edit in wanted:
        if edit.file not in texts:
            texts[edit.file] = _read(tree / edit.file, version)
        texts[edit.file] = edit.apply(texts[edit.file])
    written = []
    for place, text in {**texts, **files()}.items():
        (tree / place).write_text(text)
        written.append(tree / place)
    return written


def _read(path: Path, version: str) -> str:
    if not path.exists():
        raise ImageError(f"Linux {version} has no {path.name} where the paravirtual edits want it.")
    return path.read_text()
