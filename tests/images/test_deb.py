"""Packages are read as Debian writes them, and damage ends in a sentence."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from ringzero.images import ImageError, deb
from tests.images import debs


@pytest.mark.parametrize("packing", ["xz", "gz", ""])
def test_contents(tmp_path: Path, packing: str) -> None:
    package = debs.make(
        tmp_path,
        "sample",
        {
            "usr": ("folder", 0o755, 0),
            "usr/bin/su": b"program",
            "usr/bin/again": ("hard:./usr/bin/su", 0, 0),
            "usr/link": "../etc",
            "dev/null": ("device", 1, 3),
        },
        packing=packing,
        Depends="libc6 (>= 2.38), foo | bar",
    )
    assert deb.control(package)["Depends"] == "libc6 (>= 2.38), foo | bar"
    nodes = {node.path: node for node in deb.contents(package)}
    assert nodes["usr/bin/su"].data == b"program"
    assert nodes["usr/bin/su"].mode == stat.S_IFREG | 0o4755
    assert nodes["usr/bin/again"].hardlink == "usr/bin/su"
    assert nodes["usr/link"].data == b"../etc"
    assert (nodes["dev/null"].rdev, stat.S_IFMT(nodes["dev/null"].mode)) == ((1, 3), stat.S_IFCHR)
    assert stat.S_ISDIR(nodes["usr"].mode)


def test_only_as_much_is_read_as_is_wanted(tmp_path: Path) -> None:
    import random

    noise = random.Random(1).randbytes(1 << 20)
    package = debs.make(tmp_path, "big", {"boot/vmlinux-1": b"kernel", "rest": noise}, packing="")
    positions: list[int] = []
    kernels = deb.contents(package, lambda path: path.startswith("boot/"), positions.append)
    assert next(kernels).data == b"kernel"
    assert max(positions) < 1 << 19


@pytest.mark.skipif(not shutil.which("zstd"), reason="this host has no zstd")
def test_zstd(tmp_path: Path) -> None:
    raw = debs.tar({"file": b"content"})
    packed = subprocess.run(["zstd", "-qc"], input=raw, capture_output=True, check=True).stdout
    package = tmp_path / "z.deb"
    package.write_bytes(debs.ar({"debian-binary": b"2.0\n", "data.tar.zst": packed}))
    assert [node.data for node in deb.contents(package)] == [b"content"]


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/../outside"])
def test_names_that_leave_the_tree(tmp_path: Path, name: str) -> None:
    package = debs.make(tmp_path, "evil", {name: b""})
    with pytest.raises(ImageError, match="leaves its folder"):
        list(deb.contents(package))


def test_damage(tmp_path: Path) -> None:
    package = debs.make(tmp_path, "sample", {"file": b"content" * 1000})
    whole = package.read_bytes()
    for size in [0, 4, 8, 40, 100, 140, 200, len(whole) // 2, len(whole) - 20]:
        package.write_bytes(whole[:size])
        with pytest.raises(ImageError):
            list(deb.contents(package))
    package.write_bytes(b"x" * 1000)
    with pytest.raises(ImageError, match="not a Debian package"):
        deb.control(package)
    with pytest.raises(ImageError):
        deb.control(tmp_path / "absent.deb")


def test_fields_join_continuation_lines() -> None:
    assert deb.fields("A: 1\nB: x\n y\n .\n") == {"A": "1", "B": "x\ny\n."}
