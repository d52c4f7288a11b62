"""A FUSE server for guests: a host folder, served over virtio-fs and never left."""

from __future__ import annotations

from pathlib import Path

from ringzero.machine.fuse.server import FuseServer

TREE, MANIFEST = "tree", "manifest.json"
"""A root file system that `ringzero.images` unpacked: its files, and who owns them."""


def is_unpacked_root(folder: Path) -> bool:
    """Is this a root file system from `ringzero.images`, as opposed to any folder?"""
    return (folder / TREE).is_dir() and (folder / MANIFEST).is_file()


def serve_folder(folder: Path | str, *, read_only: bool = False) -> FuseServer:
    """A server of a folder: of any of the host's as it is, or of an unpacked root with the owners
    in its manifest, which nobody else changes."""
    path = Path(folder)
    if not is_unpacked_root(path):
        return FuseServer(path, read_only=read_only)
    return FuseServer(path / TREE, manifest=path / MANIFEST, read_only=read_only, exclusive=True)


__all__ = ["FuseServer", "is_unpacked_root", "serve_folder"]
