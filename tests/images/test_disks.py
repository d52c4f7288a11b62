"""Disks of every file system that people have, mounted by the default Debian image."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ringzero import Machine
from ringzero.images import clone
from ringzero.machine.disk import DiskImage
from ringzero.outcome import PoweredOff
from tests.limits import HUNG

pytestmark = [pytest.mark.slow, pytest.mark.needs_debian]

MAKERS: dict[str, tuple[str, Sequence[str]]] = {
    "ext4": ("e2fsprogs", ("mkfs.ext4", "-q", "-d", "SOURCE", "IMAGE")),
    "xfs": ("xfsprogs", ("mkfs.xfs", "-q", "IMAGE")),
    "btrfs": ("btrfs-progs", ("mkfs.btrfs", "-q", "-r", "SOURCE", "IMAGE")),
    "vfat": ("dosfstools", ("mkfs.vfat", "IMAGE")),
    "iso9660": ("genisoimage", ("genisoimage", "-quiet", "-J", "-R", "-o", "IMAGE", "SOURCE")),
}
FILLED = ("ext4", "btrfs", "iso9660")
CHECKERS = {
    "ext4": ("e2fsck", "-fn"),
    "xfs": ("xfs_repair", "-n"),
    "btrfs": ("btrfs", "check"),
    "vfat": ("fsck.vfat", "-n"),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "greeting").write_text("from the host\n")
    return folder


def made(kind: str, source: Path) -> Path:
    """A file system in a file."""
    package, words = MAKERS[kind]
    if shutil.which(words[0]) is None:
        pytest.skip(f"this host has no {words[0]} (apt-get install {package})")
    image = source.parent / f"{kind}.img"
    if kind != "iso9660":
        image.touch()
        image.open("r+b").truncate(320 << 20)  # the least that mkfs.xfs takes is 300 MB
    names = {"SOURCE": str(source), "IMAGE": str(image)}
    command = [names.get(word, word) for word in words]
    subprocess.run(command, check=True, capture_output=True)
    return image


def run(image: Any, disks: Sequence[DiskImage], *commands: str, memory: str = "512M") -> bytes:
    """What Debian says while it runs commands, each of which must succeed."""
    append = f'console=ttyS0 quiet ringzero.run="{" && ".join(commands)}"'
    with Machine(
        memory=memory, kernel=image.kernel, initrd=image.initrd, append=append, disks=disks
    ) as machine:
        outcome = machine.run(timeout=HUNG)
        said = bytes(machine.recorder.data)
    assert outcome == PoweredOff(0), said[-2000:]
    return said


@pytest.mark.parametrize("kind", list(MAKERS))
def test_a_file_system_mounts(debian_image: Any, source: Path, kind: str) -> None:
    """Modules come with what they need softly: ext4, xfs and btrfs ask for crc32c as they mount."""
    disk = made(kind, source)
    commands = [f"mount -t {kind} /dev/vda /mnt"]
    if kind in FILLED:
        commands.append("cat /mnt/greeting")
    if kind in CHECKERS:
        commands += ["echo from the guest >/mnt/answer", "cat /mnt/answer"]
    said = run(
        debian_image, [DiskImage(disk, readonly=kind == "iso9660")], *commands, "umount /mnt"
    )
    assert kind not in FILLED or b"from the host" in said
    if kind in CHECKERS:
        assert b"from the guest" in said
        check = [*CHECKERS[kind], str(disk)]
        done = subprocess.run(check, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("legacy", [False, True])
def test_a_disk_on_virtio_mmio(debian_image: Any, source: Path, legacy: bool) -> None:
    disk = made("ext4", source)
    choice = DiskImage(disk, bus="mmio", legacy=legacy)
    said = run(
        debian_image,
        [choice],
        "readlink -f /sys/block/vda",
        "mount -t ext4 /dev/vda /mnt",
        "cat /mnt/greeting",
    )
    assert b"virtio_mmio" in said
    assert b"from the host" in said


def test_a_discard_in_the_guest_gives_the_hosts_space_back(debian_image: Any, source: Path) -> None:
    disk = made("ext4", source)
    before = disk.stat().st_blocks
    run(
        debian_image,
        [DiskImage(disk)],
        "mount -t ext4 -o discard /dev/vda /mnt",
        "dd if=/dev/urandom of=/mnt/big bs=1M count=40 2>/dev/null",
        "sync",
        "rm /mnt/big",
        "sync",
        "fstrim /mnt",
        "umount /mnt",
    )
    assert disk.stat().st_blocks < before + (8 << 20) // 512


def test_a_root_that_is_a_folder_mounts_disks_too(
    debian_image: Any, source: Path, tmp_path: Path
) -> None:
    root = clone(debian_image.root, tmp_path / "root")
    commands = "mount -t ext4 /dev/vda /mnt && cat /mnt/greeting"
    append = f'console=ttyS0 quiet root=rootfs rootfstype=virtiofs rw ringzero.run="{commands}"'
    with Machine(
        kernel=debian_image.kernel,
        append=append,
        disks=[DiskImage(made("ext4", source))],
        mounts=[("rootfs", root / "tree", False)],
    ) as machine:
        outcome = machine.run(timeout=HUNG)
        said = bytes(machine.recorder.data)
    assert outcome == PoweredOff(0), said[-2000:]
    assert b"from the host" in said


def test_a_machine_with_16_gigabytes_has_its_devices(debian_image: Any, source: Path) -> None:
    """The high PCI window lies behind RAM then, where Linux puts their registers."""
    disk = made("ext4", source)
    commands = ["mount -t ext4 -o ro /dev/vda /mnt", "cat /mnt/greeting", "cat /proc/iomem"]
    said = run(debian_image, [DiskImage(disk)], *commands, memory="16G")
    assert b"from the host" in said
    assert b"800000000-800003fff : virtio-pci" in said
