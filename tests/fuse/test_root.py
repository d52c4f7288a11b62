"""Debian's kernel with its root file system on virtio-fs: no initramfs, no disk image, no root."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ringzero import Machine
from ringzero.images import clone
from ringzero.outcome import PoweredOff
from tests.limits import HUNG

pytestmark = [pytest.mark.slow, pytest.mark.needs_debian]

COMMANDS = (
    "grep -c virtiofs /proc/mounts",
    "mount -t virtiofs share /mnt",
    "cat /mnt/greeting",
    "echo from the guest > /mnt/answer",
    "chmod 4750 /mnt/answer",
    "ln -s /etc/passwd /mnt/link",
    "stat -c %a:%u /mnt/answer",
    "echo kept > /root/kept",
)


def test_a_kernel_roots_in_a_folder(debian_image: Any, tmp_path: Path) -> None:
    root = clone(debian_image.root, tmp_path / "root")
    share = tmp_path / "share"
    share.mkdir()
    (share / "greeting").write_text("from the host\n")
    append = f'console=ttyS0 quiet root=rootfs rootfstype=virtiofs rw ringzero.run="{chain()}"'
    with Machine(
        kernel=debian_image.kernel,
        append=append,
        mounts=[("rootfs", root / "tree", False), ("share", share, False)],
    ) as machine:
        outcome = machine.run(timeout=HUNG)
        said = bytes(machine.recorder.data)
    assert outcome == PoweredOff(0), said[-2000:]
    assert b"from the host" in said
    assert b"4750:0" in said
    assert (share / "answer").read_text() == "from the guest\n"
    assert not (share / "answer").stat().st_mode & 0o4000
    assert (share / "link").is_symlink()
    assert (root / "tree/root/kept").read_text() == "kept\n"


def chain(commands: Sequence[str] = COMMANDS) -> str:
    """The commands as one line that stops at the first that fails."""
    return " && ".join(commands)


LAYERS = (
    "mount -t virtiofs share /mnt",
    "mkdir /mnt/upper /mnt/work /tmp/merged",
    "mount -t overlay none -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work "
    "/tmp/merged",
    "rm /tmp/merged/gone",
    "echo new > /tmp/merged/kept",
    "ls -l /mnt/upper",
    "umount /tmp/merged",
)


def test_an_overlay_writes_its_upper_layer_to_a_folder(debian_image: Any, tmp_path: Path) -> None:
    (tmp_path / "lower").mkdir()
    for name in ("kept", "gone"):
        (tmp_path / "lower" / name).write_text("lower")
    with Machine(
        kernel=debian_image.kernel,
        initrd=debian_image.initrd,
        append=f'console=ttyS0 quiet ringzero.run="{chain(LAYERS)}"',
        mounts=[("share", tmp_path, False)],
    ) as machine:
        outcome = machine.run(timeout=HUNG)
        said = bytes(machine.recorder.data)
    assert outcome == PoweredOff(0), said[-2000:]
    assert re.search(rb"c--------- .* 0, +0 .* gone", said), said
    assert (tmp_path / "upper/kept").read_text() == "new\n"
    assert (tmp_path / "lower/kept").read_text() == "lower"
