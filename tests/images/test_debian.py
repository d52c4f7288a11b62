"""Fetching Debian from a directory of packages: dependencies, kernel, initramfs, root, cache."""

from __future__ import annotations

import errno
import gzip
import json
import lzma
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ringzero.images import (
    ImageError,
    cache_root,
    cpio,
    fetch_debian,
    fetch_firmware,
    fetch_installer,
)
from ringzero.images.cache import published
from ringzero.images.directory import natural
from tests.images import debs
from tests.images.debs import BUSYBOX, module
from tests.limits import HUNG


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "debs"
    place.mkdir()
    debs.make(place, "busybox-static", {"usr/bin/busybox": BUSYBOX})
    for version in ("6.12.9", "6.12.10"):
        name = f"linux-image-{version}-riscv64"
        modules = f"usr/lib/modules/{version}"
        debs.make(
            place,
            name,
            {
                f"boot/vmlinux-{version}-riscv64": f"kernel {version}".encode(),
                f"{modules}/modules.builtin": b"kernel/crypto/sha256_generic.ko\n",
                f"{modules}/kernel/drivers/virtio_blk.ko.xz": packed("virtio_blk", ""),
                f"{modules}/kernel/fs/ext4.ko.xz": packed(
                    "ext4",
                    "jbd2,mbcache",
                    "softdep=pre: crc32c sha256_generic gone",
                    "alias=fs-ext4",
                ),
                f"{modules}/kernel/fs/jbd2.ko.xz": packed("jbd2", ""),
                f"{modules}/kernel/fs/mbcache.ko.xz": packed("mbcache", ""),
                f"{modules}/kernel/crypto/crc32c_generic.ko.xz": packed(
                    "crc32c_generic", "", "alias=crypto-crc32c", "alias=crc32c"
                ),
                f"{modules}/kernel/arch/riscv/crypto/crc32c-riscv.ko.xz": packed(
                    "crc32c_riscv", "", "alias=crc32c"
                ),
            },
        )
    debs.make(place, "tool", {"usr/bin/su": b"tool", "bin/x": b""}, Depends="libtool1 (>= 1) | no")
    debs.make(place, "libtool1", {"usr/lib/libtool.so": b"lib"}, Provides="libvirtual")
    debs.make(place, "needy", Depends="nowhere")
    debs.make(place, "circle", Depends="circle, libvirtual", Pre_Depends="tool")
    return place


def packed(name: str, depends: str, *more: str) -> bytes:
    """A module as Debian packs it."""
    return lzma.compress(module(name, depends, *more))


def test_the_newest_kernel_and_busybox(repository: Path) -> None:
    phases: set[str] = set()
    image = fetch_debian(debs=repository, progress=lambda phase, done, total: phases.add(phase))
    assert image.version == "6.12.10"
    assert image.kernel.read_bytes() == b"kernel 6.12.10"
    assert phases == {"unpack", "initramfs"}
    nodes = {n.path: n for n in cpio.entries(gzip.decompress(image.initrd.read_bytes()))}
    assert nodes["usr/bin/busybox"].data == BUSYBOX
    assert nodes["usr/bin/appletq"].data == b"busybox"
    assert nodes["init"].data == b"usr/sbin/init"
    assert b"ringzero.run" in nodes["usr/sbin/init"].data
    assert nodes["dev/console"].rdev == (5, 1)
    assert nodes["tmp"].mode & 0o7777 == 0o1777
    assert image.root is not None
    assert (image.root / "tree/usr/bin/appleta").is_symlink()
    entries = json.loads((image.root / "manifest.json").read_text())["entries"]
    assert entries["usr/bin/busybox"]["uid"] == 0
    assert entries["dev/console"]["rdev"] == [5, 1]


def test_an_answered_request_needs_nothing_again(repository: Path) -> None:
    image = fetch_debian(debs=repository)
    times = {path: path.stat().st_mtime_ns for path in cache_root().rglob("*")}
    assert fetch_debian(debs=repository) == image
    assert {path: path.stat().st_mtime_ns for path in cache_root().rglob("*")} == times
    image.kernel.unlink()
    assert fetch_debian(debs=repository).kernel.read_bytes() == b"kernel 6.12.10"


def test_packages_with_what_they_need(repository: Path) -> None:
    image = fetch_debian(debs=repository, packages=("circle",))
    assert image.root is not None
    tree = image.root / "tree"
    assert (tree / "usr/lib/libtool.so").read_bytes() == b"lib"
    assert (tree / "usr/bin/x").exists()
    entries = json.loads((image.root / "manifest.json").read_text())["entries"]
    assert entries["usr/bin/su"]["mode"] == stat.S_IFREG | 0o4755
    assert not (tree / "usr/bin/su").stat().st_mode & stat.S_ISUID
    assert fetch_debian(debs=repository, packages=None).root is None


def test_modules_come_in_the_order_they_load(repository: Path) -> None:
    image = fetch_debian(debs=repository, modules=("virtio-blk", "ext4"))
    nodes = {n.path: n for n in cpio.entries(gzip.decompress(image.initrd.read_bytes()))}
    listing = nodes["usr/lib/ringzero-modules"].data.decode().split()
    names = [os.path.basename(path) for path in listing]
    assert names[0] == "virtio_blk.ko"
    assert set(names) == {"virtio_blk.ko", "jbd2.ko", "mbcache.ko", "ext4.ko"}
    assert names[-1] == "ext4.ko"
    assert nodes[listing[-1].lstrip("/")].data.startswith(b"\x7fELF")
    with pytest.raises(ImageError, match="no kernel module absent"):
        fetch_debian(debs=repository, modules=("absent",))


def test_what_disks_need_is_there_with_soft_dependencies_for_modprobe(repository: Path) -> None:
    """ext4 asks for crc32c when it is mounted, and names it in a softdep by its algorithm; what is
    built in is not needed, and what needs a special CPU is not taken for it."""
    image = fetch_debian(debs=repository)
    nodes = {n.path: n for n in cpio.entries(gzip.decompress(image.initrd.read_bytes()))}
    folder = "usr/lib/modules/6.12.10"
    assert nodes[f"{folder}/kernel/fs/ext4.ko.xz"].data.startswith(b"\xfd7zXZ")
    lines = nodes[f"{folder}/modules.dep"].data.decode().splitlines()
    needs = {line.partition(": ")[0]: line.partition(": ")[2].split() for line in lines}
    fs, crypto = "kernel/fs", "kernel/crypto/crc32c_generic.ko.xz"
    assert set(needs[f"{fs}/ext4.ko.xz"]) == {f"{fs}/jbd2.ko.xz", f"{fs}/mbcache.ko.xz", crypto}
    assert f"{crypto}:" in lines
    aliases = nodes[f"{folder}/modules.alias"].data.decode().splitlines()
    assert "alias fs-ext4 ext4" in aliases
    assert "alias crypto-crc32c crc32c_generic" in aliases
    assert not [path for path in nodes if "riscv.ko" in path]
    assert "usr/lib/ringzero-modules" not in nodes, "none is loaded that no disk asks for"
    assert image.root is not None
    root = image.root / "tree" / folder
    assert (root / "modules.dep").read_bytes() == nodes[f"{folder}/modules.dep"].data
    assert (root / "kernel/fs/ext4.ko.xz").exists()


def test_a_cache_that_was_copied_answers_at_its_new_place(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = fetch_debian(debs=repository)
    shutil.copytree(tmp_path / "cache", tmp_path / "copy", symlinks=True)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path / "copy"))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("something was built again")

    monkeypatch.setattr("ringzero.images.debian._kernel", forbidden)
    again = fetch_debian(debs=repository)
    assert again.kernel == cache_root() / "kernels" / image.kernel.name
    assert again.initrd.exists()
    assert again.root is not None


def test_what_is_missing_is_named(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nowhere, which needy needs"):
        fetch_debian(debs=repository, packages=("needy",))
    with pytest.raises(ImageError, match="no package missing"):
        fetch_debian(debs=repository, packages=("missing",))
    with pytest.raises(ImageError, match="pdp11"):
        fetch_debian("pdp11", debs=repository)
    with pytest.raises(ImageError, match="not a directory"):
        fetch_debian(debs=tmp_path / "absent")
    with pytest.raises(ImageError, match=r"no \.deb file"):
        fetch_debian("amd64", debs=repository)
    with pytest.raises(ImageError, match="debian-installer-13-netboot-riscv64"):
        fetch_installer(debs=repository)
    with pytest.raises(ImageError, match="coreboot"):
        fetch_firmware("coreboot", debs=repository)
    assert ImageError("").exit_code == 127


def test_installer_and_firmware(repository: Path) -> None:
    folder = "usr/lib/debian-installer/images/13/riscv64/text/debian-installer/riscv64"
    debs.make(
        repository,
        "debian-installer-13-netboot-riscv64",
        {f"{folder}/linux": b"kernel", f"{folder}/initrd.gz": b"initrd", f"{folder}/x": b""},
        architecture="all",
    )
    installer = fetch_installer(debs=repository)
    assert (installer.kernel.read_bytes(), installer.initrd.read_bytes()) == (b"kernel", b"initrd")
    generic = "usr/lib/riscv64-linux-gnu/opensbi/generic"
    files: dict[str, bytes | str | tuple[str, int, int]] = {f"{generic}/fw_dynamic.bin": b"sbi"}
    debs.make(repository, "opensbi", files, architecture="all")
    assert fetch_firmware("opensbi", debs=repository)["fw_dynamic.bin"].read_bytes() == b"sbi"
    files = {"usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin": b"boot"}
    debs.make(repository, "u-boot-qemu", files, architecture="all")
    found = fetch_firmware("u-boot", debs=repository)
    assert found["qemu-riscv64_smode/u-boot.bin"].read_bytes() == b"boot"


def test_a_cache_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path / "file"))
    with pytest.raises(ImageError, match="RINGZERO_CACHE"):
        cache_root()


FETCH = (
    "import sys; from pathlib import Path; from ringzero.images import fetch_debian; "
    "print(fetch_debian(debs=Path(sys.argv[1]), packages=('tool',)))"
)


def test_several_processes_fetch_at_once(repository: Path) -> None:
    words = [sys.executable, "-c", FETCH, str(repository)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = {process.communicate(timeout=HUNG)[0] for process in running}
    assert [process.returncode for process in running] == [0] * 6
    assert len(answers) == 1
    assert not list(cache_root().rglob(".making-*"))


def test_what_failed_leaves_nothing_behind(tmp_path: Path) -> None:
    def build(place: Path) -> None:
        place.mkdir()
        (place / "half").touch()
        raise ImageError("no more")

    with pytest.raises(ImageError):
        published(tmp_path / "thing", build)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def build(place: Path) -> None:
        place.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ImageError, match=r"no room for .*thing \(No space left on device\)"):
        published(tmp_path / "thing", build)
    assert not list(tmp_path.iterdir())


def test_versions_in_natural_order() -> None:
    versions = ["6.12.10", "6.2", "6.12.9", "7", "6.12.9+deb13"]
    assert sorted(versions, key=natural) == ["6.2", "6.12.9", "6.12.9+deb13", "6.12.10", "7"]
