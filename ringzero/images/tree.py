"""A tree of files as a stream of nodes, and a folder on the host that holds one.

Packages, the initramfs and the virtio-fs root speak of files as root sees them: owners, set-uid
bits, device nodes. A host folder made without root cannot hold those, so `materialize` writes them
to a manifest beside the folder, from which the FUSE server takes them (`machine/fuse/owners.py`).
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ringzero.images.errors import ImageError

TREE = "tree"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Node:
    """One name in a tree: a file, folder, symbolic link, hard link or device node."""

    path: str
    mode: int
    data: bytes = b""
    """A file's content, or where a symbolic link points."""
    uid: int = 0
    gid: int = 0
    rdev: tuple[int, int] = (0, 0)
    hardlink: str | None = None
    mtime: int = 0


def folder(path: str, permissions: int = 0o755) -> Node:
    return Node(path, stat.S_IFDIR | permissions)


def file(path: str, data: bytes, permissions: int = 0o644) -> Node:
    return Node(path, stat.S_IFREG | permissions, data)


def symlink(path: str, target: str) -> Node:
    return Node(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int, permissions: int = 0o600) -> Node:
    return Node(path, stat.S_IFCHR | permissions, rdev=(major, minor))


def clean_path(path: str) -> str:
    """A package's name for a file as a relative path; one that leaves the tree is refused."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise ImageError(f"The package holds a file named {path!r}, which leaves its folder.")
    return "/".join(parts)


def materialize(nodes: Iterable[Node], place: Path) -> None:
    """Write a tree to `place/tree` and what the host cannot hold to `place/manifest.json`.

    A later node replaces an earlier one of the same name, except that a folder stays where a
    folder, or a link to one, already is: packages share them.
    """
    tree = place / TREE
    tree.mkdir(parents=True)
    entries: dict[str, dict[str, object]] = {}
    for node in nodes:
        path = _resolved(tree, node.path)
        if _write(tree, path, node):
            entries[path] = _entry(node)
    text = json.dumps({"version": 1, "entries": entries}, indent=0, sort_keys=True)
    (place / MANIFEST).write_text(text)


def _entry(node: Node) -> dict[str, object]:
    entry: dict[str, object] = {"mode": node.mode, "uid": node.uid, "gid": node.gid}
    if node.rdev != (0, 0):
        entry["rdev"] = list(node.rdev)
    return entry


def _resolved(tree: Path, path: str) -> str:
    """`path` with its folders' links followed inside the tree (Debian's `bin -> usr/bin`)."""
    done: list[str] = []
    parent, name = posixpath.split(path)
    todo = [part for part in parent.split("/") if part][::-1]
    for _ in range(256):
        if not todo:
            return "/".join([*done, name]) if name else "/".join(done)
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        here = tree.joinpath(*done, part)
        if not here.is_symlink():
            done.append(part)
            continue
        target = os.readlink(here)
        if target.startswith("/"):
            done = []
        todo.extend(p for p in reversed(target.split("/")) if p not in ("", "."))
    raise ImageError(f"The symbolic links above {path!r} in the package never end.")


def _write(tree: Path, path: str, node: Node) -> bool:
    """Make one node; False where a folder was there already and keeps its attributes."""
    place = tree / path
    kind = stat.S_IFMT(node.mode)
    if kind == stat.S_IFDIR:
        if place.is_dir():
            return path == ""
        place.mkdir(parents=True)
        return True
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir() and not place.is_symlink():
        raise ImageError(f"Two packages disagree whether {path!r} is a folder.")
    place.unlink(missing_ok=True)
    if node.hardlink is not None:
        os.link(tree / _resolved(tree, node.hardlink), place, follow_symlinks=False)
    elif kind == stat.S_IFLNK:
        os.symlink(node.data, place)
    else:
        # A device node is an empty file here; the manifest says what it stands for.
        place.write_bytes(node.data)
        place.chmod(0o755 if node.mode & 0o111 else 0o644)
    if node.mtime:
        os.utime(place, (node.mtime, node.mtime), follow_symlinks=False)
    return True


def clone(source: Path, place: Path) -> Path:
    """A copy of a materialized tree for one machine to write to; blocks are shared where they can
    be (copy_file_range on a file system with reflinks)."""
    shutil.copytree(source, place, symlinks=True, copy_function=_copy)
    return place


def _copy(source: str, place: str) -> str:
    with open(source, "rb") as old, open(place, "wb") as new:
        left = os.fstat(old.fileno()).st_size
        while left:
            try:
                count = os.copy_file_range(old.fileno(), new.fileno(), left)
            except OSError:
                shutil.copyfileobj(old, new)
                break
            if not count:
                break
            left -= count
    shutil.copystat(source, place)
    return place


def with_parents(nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes, each after the folders it is in: cpio archives need them in that order."""
    seen: set[str] = {""}
    for node in nodes:
        parts = node.path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above not in seen:
                seen.add(above)
                yield folder(above)
        if node.path not in seen:
            seen.add(node.path)
            yield node
