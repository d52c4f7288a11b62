"""What the image cache holds: the answered requests, and the files that they name.

A file that no request names any more is removed with the last one that did.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ringzero.images import cache_root, requests


@dataclass(frozen=True)
class Entry:
    """One fetched image: the note that tells of it, and the paths it is made of."""

    note: Path
    version: str
    paths: tuple[Path, ...]
    arch: str = "riscv64"

    @property
    def name(self) -> str:
        """What `ringzero run` calls it; firmware has no such name."""
        if self.version.startswith("debian-installer"):
            return "debian-installer"
        if not self.version:
            return "firmware"
        return "debian" if self.arch == "riscv64" else f"debian-{self.arch}"

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(disk_usage(path) for path in self.paths)

    def as_json(self) -> dict[str, object]:
        """The entry in terms of JSON."""
        paths = [str(path) for path in self.paths]
        return {"name": self.name, "version": self.version, "bytes": self.size, "paths": paths}


def inventory() -> list[Entry]:
    """Every fetched image whose files are all there."""
    entries = []
    for note, answer in requests.notes():
        if requests.is_whole(answer):
            arch = answer.get("arch", "riscv64")
            paths = tuple(requests.paths(answer))
            entries.append(Entry(note, answer.get("version", ""), paths, arch))
    return entries


def remove(name: str) -> tuple[int, int]:
    """Remove the images of a name, or `all` of the cache: how many, and the bytes freed."""
    root = cache_root()
    before = disk_usage(root)
    entries = inventory()
    if name == "all":
        delete(root)
        return len(entries), before
    gone = [entry for entry in entries if entry.name == name]
    kept = {path for entry in entries if entry not in gone for path in entry.paths}
    for entry in gone:
        entry.note.unlink(missing_ok=True)
        for path in set(entry.paths) - kept:
            delete(path)
    return len(gone), before - disk_usage(root)


def disk_usage(path: Path) -> int:
    """Bytes that a file or a folder occupies; 0 where it is not there."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    total = 0
    for folder, _folders, files in os.walk(path):
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in files)
    return total


def delete(path: Path) -> None:
    """Remove a file or a folder, also one with folders that cannot be written to."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder, folders, _files in os.walk(path):
        for name in folders:
            inner = os.path.join(folder, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
    shutil.rmtree(path)
