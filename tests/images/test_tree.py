"""Trees on the host: what packages say, links kept inside, the rest in the manifest."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringzero.images import ImageError, clone, cpio, tree
from ringzero.machine.fuse import protocol
from tests.fuse.guest import Guest


def test_what_the_host_cannot_hold_is_in_the_manifest(tmp_path: Path) -> None:
    nodes = [
        tree.folder("bin"),
        tree.Node("bin/su", stat.S_IFREG | 0o4755, b"su", uid=0, gid=42),
        tree.character_device("dev/console", 5, 1),
        tree.symlink("sbin", "bin"),
        tree.file("sbin/init", b"init", 0o755),
        tree.Node("bin/again", stat.S_IFREG | 0o4755, hardlink="sbin/su"),
    ]
    tree.materialize(nodes, tmp_path / "image")
    place = tmp_path / "image" / tree.TREE
    assert (place / "bin/init").read_bytes() == b"init"  # through the link to a folder
    assert stat.S_IMODE((place / "bin/su").stat().st_mode) == 0o755
    assert (place / "bin/again").samefile(place / "bin/su")
    guest = Guest(place, manifest=tmp_path / "image" / tree.MANIFEST)
    seen = guest.stat(guest.walk("bin/su"))
    assert (seen.mode, seen.uid, seen.gid) == (stat.S_IFREG | 0o4755, 0, 42)
    console = guest.stat(guest.walk("dev/console"))
    assert stat.S_ISCHR(console.mode)
    assert console.rdev == protocol.encode_device(5, 1)


def test_links_cannot_lead_out(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    nodes = [
        tree.symlink("up", "../../../victim"),
        tree.symlink("root", str(tmp_path / "victim")),
        tree.file("up/one", b"1"),
        tree.file("root/two", b"2"),
        tree.symlink("file", str(tmp_path / "victim/three")),
        tree.file("file", b"3"),
    ]
    tree.materialize(nodes, tmp_path / "deep/er/image")
    assert not list((tmp_path / "victim").iterdir())
    assert (tmp_path / "deep/er/image/tree/file").read_bytes() == b"3"
    loop = [tree.symlink("a", "b"), tree.symlink("b", "a"), tree.file("a/x", b"")]
    with pytest.raises(ImageError, match="never end"):
        tree.materialize(loop, tmp_path / "loop")


def test_a_clone_is_independent(tmp_path: Path) -> None:
    tree.materialize([tree.file("a/file", b"x" * 9000), tree.symlink("l", "a")], tmp_path / "one")
    copy = clone(tmp_path / "one", tmp_path / "two")
    (copy / "tree/a/file").write_bytes(b"changed")
    assert (tmp_path / "one/tree/a/file").read_bytes() == b"x" * 9000
    assert os.readlink(copy / "tree/l") == "a"
    assert json.loads((copy / tree.MANIFEST).read_text())["entries"]["a/file"]["uid"] == 0


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES.filter(lambda n: n not in (".", "..")), st.binary(max_size=50)))
def test_archives_read_back(files: dict[str, bytes]) -> None:
    nodes = [tree.file(f"d/{name}", data) for name, data in files.items()]
    found = list(cpio.entries(cpio.archive(nodes)))
    assert [(n.path, n.data) for n in found if stat.S_ISREG(n.mode)] == [
        (n.path, n.data) for n in nodes
    ]


@pytest.mark.skipif(not shutil.which("cpio"), reason="this host has no cpio")
def test_cpio_reads_our_archives(tmp_path: Path) -> None:
    nodes = [
        tree.file("a/b/file", b"content", 0o640),
        tree.symlink("a/link", "b/file"),
        tree.character_device("dev/console", 5, 1),
    ]
    done = subprocess.run(
        ["cpio", "-itv", "--quiet", "--numeric-uid-gid"],
        input=cpio.archive(nodes), capture_output=True, check=True,
    )  # fmt: skip
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [
        "drwxr-xr-x", "drwxr-xr-x", "-rw-r-----", "lrwxrwxrwx", "drwxr-xr-x", "crw-------",
    ]  # fmt: skip
    assert "a/link -> b/file" in lines[3]
    assert "5,   1" in lines[5]


def test_archives_are_deterministic() -> None:
    nodes = [tree.file("x", b"y")]
    assert cpio.compressed(nodes) == cpio.compressed(nodes)
    assert cpio.compressed(nodes)[4:8] == bytes(4)  # gzip's time stamp
