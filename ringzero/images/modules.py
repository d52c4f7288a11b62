"""Kernel modules from a kernel package, in the order they load.

Packages carry no `modules.dep` (depmod writes it where they are installed), so what a module needs
is read from its own `.modinfo` section, which is a list of NUL-terminated `name=value` texts. What
is not to be loaded, since it is part of the kernel, is listed in the package's `modules.builtin`.
"""

from __future__ import annotations

import io
import lzma
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from ringzero.images import deb
from ringzero.images.errors import ImageError
from ringzero.images.tree import Node

BUILT_IN = "modules.builtin"


def kernel_modules(package: Path, names: Sequence[str]) -> list[Node]:
    """The modules named and those they depend on, uncompressed, dependencies first.

    Those that the kernel has built in are left out.
    """
    packed: dict[str, Node] = {}
    built_in: set[str] = set()
    for node in deb.contents(package, _concerns_modules):
        if posixpath.basename(node.path) == BUILT_IN:
            built_in = {_name(line) for line in node.data.decode().split()}
        else:
            packed[_name(node.path)] = node
    loaded: dict[str, Node] = {}

    def load(name: str, wanted_by: str) -> None:
        if name in loaded or name in built_in:
            return
        if name not in packed:
            raise ImageError(
                f"{package} has no kernel module {name}, which {wanted_by} needs, and does not "
                "have it built in; check the name, or try another suite."
            )
        node = _unpacked(packed[name])
        for needed in depends(node):
            load(needed, name)
        loaded[name] = node

    for name in names:
        load(name.replace("-", "_"), "the request")
    return list(loaded.values())


def _concerns_modules(path: str) -> bool:
    return ".ko" in posixpath.basename(path) or posixpath.basename(path) == BUILT_IN


def _name(path: str) -> str:
    return posixpath.basename(path).partition(".ko")[0].replace("-", "_")


def _unpacked(node: Node) -> Node:
    # The tree has /lib as a link to /usr/lib, and busybox insmod takes plain files.
    path = node.path if node.path.startswith("usr/") else f"usr/{node.path}"
    if not path.endswith(".xz"):
        return replace(node, path=path)
    return replace(node, path=path.removesuffix(".xz"), data=lzma.decompress(node.data))


def depends(module: Node) -> list[str]:
    """The names of the modules that a module needs."""
    try:
        section = ELFFile(io.BytesIO(module.data)).get_section_by_name(".modinfo")
    except ELFError as error:
        raise ImageError(f"The kernel module {module.path} is damaged ({error}).") from error
    for text in section.data().split(b"\0") if section else []:
        if text.startswith(b"depends="):
            return [name.replace("-", "_") for name in text[8:].decode().split(",") if name]
    return []
