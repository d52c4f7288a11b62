"""Packages and where they come from: what `apt.py` and `directory.py` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ringzero.images.cache import Progress


@dataclass(frozen=True)
class Package:
    """One version of a package, named by its content."""

    name: str
    version: str
    filename: str
    size: int
    sha256: str


class PackageSource(Protocol):
    """Somewhere packages come from."""

    def identity(self) -> tuple[str, ...]:
        """What tells this source from another: part of the key of what is made from it."""

    def depends(self, name: str) -> list[str]:
        """The names that a package depends on directly."""

    def closure(self, names: Sequence[str]) -> list[Package]:
        """The packages named and all that they depend on."""

    def exactly(self, names: Sequence[str]) -> list[Package]:
        """The packages named and nothing else."""

    def fetch(self, packages: Sequence[Package], progress: Progress) -> list[Path]:
        """The packages' files, checked against their hashes."""


def dependency_names(text: str) -> list[list[str]]:
    """A Depends field: for each dependency its alternatives' names, without versions."""
    return [
        [choice.split("(")[0].split("[")[0].split(":")[0].strip() for choice in group.split("|")]
        for group in text.replace("\n", " ").split(",")
        if group.strip()
    ]
