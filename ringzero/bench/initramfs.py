"""An initramfs with programs of a root made of packages, and just the libraries they need.

The whole root would be a third of a guest's memory. The archive is not compressed, so that
unpacking it costs neither machine anything worth measuring.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from ringzero.bench.subjects import BenchError
from ringzero.images import busybox, cpio, tree
from ringzero.images.cache import cache_root, digest_of, published

LIBRARIES = "usr/lib/riscv64-linux-gnu"
FOLDERS = (f"{LIBRARIES}/ossl-modules", "usr/lib/ssl", "etc/ssl", "usr/lib/python3.*")
SCRIPT = """\
#!/bin/sh
# Programs that want random numbers wait for the kernel's first ones: not while they are timed.
head -c 1 /dev/random >/dev/null
"""
LEFT_OUT = ("/test/", "/idlelib/", "/tkinter/", "/ensurepip/", "/pydoc_data/", "/__pycache__/")


def linux_initramfs(root: Path, programs: Sequence[str], scripts: Mapping[str, str]) -> Path:
    """The archive with busybox, programs of `root`, and scripts as `/bench/NAME`."""
    sources = (Path(__file__).read_bytes(), busybox.init_script())
    recipe = [hashlib.sha256(data).hexdigest() for data in sources]
    key = digest_of(root.name, list(programs), dict(scripts), recipe)

    def build(place: Path) -> None:
        place.write_bytes(cpio.archive(_nodes(root / tree.TREE, programs, scripts)))

    return published(cache_root() / "bench" / f"{key}.cpio", build)


def _nodes(top: Path, programs: Sequence[str], scripts: Mapping[str, str]) -> Iterator[tree.Node]:
    yield from busybox.skeleton()
    yield from busybox.user_space((top / "usr/bin/busybox").read_bytes())
    yield tree.symlink("init", "usr/sbin/init")
    for name, command in scripts.items():
        yield tree.file(f"bench/{name}", f"{SCRIPT}{command}\n".encode(), 0o755)
    wanted = [f"usr/bin/{name}" for name in programs]
    for pattern in FOLDERS:
        for found in sorted(top.glob(f"{pattern}/**/*")):
            path = str(found.relative_to(top))
            if not found.is_dir() and not any(part in f"/{path}" for part in LEFT_OUT):
                wanted.append(path)
    yield from _closure(top, wanted)


def _closure(top: Path, wanted: Sequence[str]) -> Iterator[tree.Node]:
    """The files, what their links lead to, and the libraries that they are linked with."""
    todo, done = list(wanted), set()
    while todo:
        path = todo.pop()
        if path in done:
            continue
        done.add(path)
        place = top / path
        if place.is_symlink():
            target = os.readlink(place)
            yield tree.symlink(path, target)
            beside = target[1:] if target.startswith("/") else f"{os.path.dirname(path)}/{target}"
            if (top / beside).is_file() or (top / beside).is_symlink():
                todo.append(_real_name(os.path.normpath(beside)))
            continue
        if not place.is_file():
            raise BenchError(f"The packages hold no {path}: fetch them again.")
        mode = stat.S_IMODE(place.stat().st_mode)
        data = place.read_bytes()
        yield tree.file(path, data, mode)
        todo += _needed(top, path, data)


def _real_name(path: str) -> str:
    """/lib is a link to /usr/lib in the skeleton."""
    first = path.partition("/")[0]
    return f"usr/{path}" if first in busybox.MERGED else path


def _needed(top: Path, path: str, data: bytes) -> list[str]:
    """The dynamic linker and libraries that an ELF file names, and what a wrapper script runs."""
    if data[:2] == b"#!":
        words = data[:400].decode("utf-8", "replace").split()
        return [
            word[1:] for word in words if word.startswith("/usr/lib") and (top / word[1:]).is_file()
        ]
    if data[:4] != b"\x7fELF":
        return []
    with (top / path).open("rb") as file:
        try:
            elf = ELFFile(file)
            names = []
            for segment in elf.iter_segments():
                if isinstance(segment, InterpSegment):
                    names.append(_real_name(segment.get_interp_name().lstrip("/")))
                if isinstance(segment, DynamicSegment):
                    tags: Iterator[Any] = segment.iter_tags("DT_NEEDED")
                    names += [_library(top, tag.needed) for tag in tags]
            return names
        except ELFError as error:
            raise BenchError(f"{path} in the packages is damaged ({error}).") from error


def _library(top: Path, name: str) -> str:
    for folder in (LIBRARIES, "usr/lib"):
        if (top / folder / name).exists():
            return f"{folder}/{name}"
    raise BenchError(f"The packages hold no library {name}, which one of the programs needs.")
