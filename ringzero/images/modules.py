"""Kernel modules from a kernel package: what they need, and the files that modprobe reads.

Packages carry no `modules.dep` (depmod writes it where they are installed), so what a module needs
is read from its own `.modinfo` section, which is a list of NUL-terminated `name=value` texts. What
is not to be loaded, since it is part of the kernel, is listed in the package's `modules.builtin`.
"""

from __future__ import annotations

import io
import lzma
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from ringzero.images import deb, tree
from ringzero.images.errors import ImageError
from ringzero.images.tree import Node

BUILT_IN = "modules.builtin"
ALGORITHMS = ("/kernel/crypto/", "/kernel/lib/")
"""Folders of modules that soft dependencies name by what they compute: `crc32c`. Those of `arch/`
are left out: they may need a CPU that is not there, and the kernel prefers them by itself."""


class KernelModules:
    """The modules of one kernel package."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self._packed: dict[str, Node] = {}
        self._built_in: set[str] = set()
        self._facts: dict[str, dict[str, list[str]]] = {}
        for node in deb.contents(package, _concerns_modules):
            if posixpath.basename(node.path) == BUILT_IN:
                self._built_in = {_name(line) for line in node.data.decode().split()}
            else:
                # The tree has /lib as a link to /usr/lib.
                path = node.path if node.path.startswith("usr/") else f"usr/{node.path}"
                self._packed[_name(path)] = replace(node, path=path)

    def in_order(self, names: Sequence[str]) -> list[Node]:
        """The modules named and those they depend on, uncompressed, dependencies first.

        Those that the kernel has built in are left out; one that is nowhere is an error.
        """
        return [_unpacked(self._packed[name]) for name in self._closure(names, soft=False)]

    def on_demand(self, names: Sequence[str]) -> list[Node]:
        """Those of the modules that there are, with all they need, and modprobe's two lists.

        They stay compressed: most guests load few of them.
        """
        there = [name for name in map(_plain, names) if name in self._packed]
        chosen = self._closure(there, soft=True)
        if not chosen:
            return []
        folder = self._packed[chosen[0]].path.partition("/kernel/")[0]
        needs = "".join(f"{self._needs(name, folder)}\n" for name in chosen)
        aliases = "".join(
            f"alias {alias} {name}\n" for name in chosen for alias in self.facts(name)["alias"]
        )
        return [
            *(self._packed[name] for name in chosen),
            tree.file(f"{folder}/modules.dep", needs.encode()),
            tree.file(f"{folder}/modules.alias", aliases.encode()),
        ]

    def facts(self, name: str) -> dict[str, list[str]]:
        """What a module's `.modinfo` says under depends, softdep and alias."""
        if name not in self._facts:
            self._facts[name] = _modinfo(self._packed[name])
        return self._facts[name]

    def depends(self, name: str, *, soft: bool) -> list[str]:
        """The modules that a module needs; `soft` with those that it works better with, or at all:
        file systems name the checksums that they ask for when they are mounted."""
        facts = self.facts(name)
        needed = [_plain(one) for text in facts["depends"] for one in text.split(",") if one]
        if soft:
            for one in _softly(facts["softdep"]):
                needed += [] if one in self._built_in else self._providers(one)
        return needed

    def _providers(self, name: str) -> list[str]:
        return [name] if name in self._packed else self._algorithms.get(name, [])

    @cached_property
    def _algorithms(self) -> dict[str, list[str]]:
        """Modules by the names of algorithms that they provide."""
        found: dict[str, list[str]] = {}
        for name, node in self._packed.items():
            if any(part in node.path for part in ALGORITHMS):
                for alias in self.facts(name)["alias"]:
                    found.setdefault(_plain(alias), []).append(name)
        return found

    def _closure(self, names: Iterable[str], *, soft: bool) -> list[str]:
        done: dict[str, None] = {}

        def add(name: str, wanted_by: str) -> None:
            if name in done or name in self._built_in:
                return
            if name not in self._packed:
                raise ImageError(
                    f"{self.package} has no kernel module {name}, which {wanted_by} needs, and "
                    "does not have it built in; check the name, or try another suite."
                )
            for needed in self.depends(name, soft=soft):
                add(needed, name)
            done[name] = None

        for name in names:
            add(_plain(name), "the request")
        return list(done)

    def _needs(self, name: str, folder: str) -> str:
        """A line of modules.dep; soft dependencies count too, which busybox's modprobe knows none
        of. Each needs all that stand behind it there, so the last is loaded first."""
        chain = self._closure([name], soft=True)
        paths = [self._packed[one].path.removeprefix(f"{folder}/") for one in reversed(chain)]
        return f"{paths[0]}: {' '.join(paths[1:])}".rstrip()


def _concerns_modules(path: str) -> bool:
    return ".ko" in posixpath.basename(path) or posixpath.basename(path) == BUILT_IN


def _name(path: str) -> str:
    return _plain(posixpath.basename(path).partition(".ko")[0])


def _plain(name: str) -> str:
    """Modules are spelled with `-` and `_` alike."""
    return name.replace("-", "_")


def _softly(texts: Iterable[str]) -> Iterator[str]:
    """The names before the module in `pre: a b post: c`."""
    for text in texts:
        before = text.partition("post:")[0].removeprefix("pre:")
        yield from map(_plain, before.split())


def _unpacked(node: Node) -> Node:
    if not node.path.endswith(".xz"):
        return node
    return replace(node, path=node.path.removesuffix(".xz"), data=lzma.decompress(node.data))


def _modinfo(module: Node) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"depends": [], "softdep": [], "alias": []}
    try:
        section = ELFFile(io.BytesIO(_unpacked(module).data)).get_section_by_name(".modinfo")
    except (ELFError, lzma.LZMAError) as error:
        raise ImageError(f"The kernel module {module.path} is damaged ({error}).") from error
    for text in section.data().split(b"\0") if section else []:
        name, _, value = text.decode(errors="replace").partition("=")
        if name in found:
            found[name].append(value)
    return found
