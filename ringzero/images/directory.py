"""A directory of .deb files as a source of packages, for hosts without apt or network.

Dependencies are followed by name among the files that are there; versions are not compared, except
that the newest file of a name counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ringzero.images import deb
from ringzero.images.cache import Progress, digest_of_file
from ringzero.images.errors import ImageError
from ringzero.images.packages import Package, dependency_names


@dataclass(frozen=True)
class _File:
    path: Path
    version: str
    depends: list[list[str]]
    provides: list[str]


class DirectorySource:
    """The packages for one architecture among the .deb files in a directory."""

    def __init__(self, directory: Path, architecture: str) -> None:
        if not directory.is_dir():
            raise ImageError(f"{directory} is not a directory of .deb files.")
        self.directory, self.architecture = directory, architecture
        self._files: dict[str, _File] = {}
        for path in sorted(directory.glob("*.deb")):
            self._add(path)
        if not self._files:
            raise ImageError(f"{directory} holds no .deb file for {architecture}.")

    def _add(self, path: Path) -> None:
        control = deb.control(path)
        if control.get("Architecture") not in (self.architecture, "all"):
            return
        name, version = control.get("Package", ""), control.get("Version", "")
        known = self._files.get(name)
        if known is None or natural(version) > natural(known.version):
            depends = [control.get(field, "") for field in ("Pre-Depends", "Depends")]
            self._files[name] = _File(
                path,
                version,
                dependency_names(",".join(depends)),
                [names[0] for names in dependency_names(control.get("Provides", ""))],
            )

    def identity(self) -> tuple[str, ...]:
        stamps = [
            f"{file.path}:{file.path.stat().st_size}:{file.path.stat().st_mtime_ns}"
            for file in self._files.values()
        ]
        return ("directory", str(self.directory.absolute()), self.architecture, *stamps)

    def depends(self, name: str) -> list[str]:
        if name not in self._files and name.startswith("linux-image-"):
            # Without the metapackage, the newest kernel in the directory is the kernel.
            kernels = [n for n in self._files if n.startswith(("linux-image-", "linux-binary-"))]
            return sorted(kernels, key=natural)[-1:]
        return [self._provider(choices, name) for choices in self._file(name).depends]

    def closure(self, names: Sequence[str]) -> list[Package]:
        found: dict[str, Package] = {}
        todo = list(names)
        while todo:
            name = self._provider([todo.pop()], "the request")
            if name not in found:
                found[name] = self.exactly([name])[0]
                todo += self.depends(name)
        return list(found.values())

    def exactly(self, names: Sequence[str]) -> list[Package]:
        result = []
        for name in names:
            file = self._file(name)
            size, sha256 = file.path.stat().st_size, digest_of_file(file.path)
            result.append(Package(name, file.version, file.path.name, size, sha256))
        return result

    def fetch(self, packages: Sequence[Package], progress: Progress) -> list[Path]:
        return [self.directory / package.filename for package in packages]

    def _file(self, name: str) -> _File:
        if name not in self._files:
            raise ImageError(
                f"{self.directory} has no package {name} for {self.architecture}; "
                "put its .deb file there."
            )
        return self._files[name]

    def _provider(self, choices: list[str], wanted_by: str) -> str:
        for choice in choices:
            if choice in self._files:
                return choice
            for name, file in self._files.items():
                if choice in file.provides:
                    return name
        raise ImageError(
            f"{self.directory} has no package {' or '.join(choices)}, "
            f"which {wanted_by} needs; put its .deb file there."
        )


def natural(version: str) -> list[tuple[int, str]]:
    """A key that puts 6.12.9 before 6.12.10."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", version)]
