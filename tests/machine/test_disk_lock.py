"""Locks on disk images: who may use a file at the same time, here and beside QEMU."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringzero import Machine
from ringzero.errors import UsageError
from ringzero.machine.disk import Disk, DiskImage
from ringzero.machine.disk.choice import open_disk
from tests.guest_files import htif_exit

IN_USE = "is in use already, by another machine or twice by this one"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(1 << 20))
    return path


@pytest.fixture
def opened() -> Iterator[list[Disk]]:
    """Disks that the end of the test closes."""
    disks: list[Disk] = []
    yield disks
    for disk in disks:
        disk.close()


@pytest.mark.parametrize("first", [{}, {"readonly": True}, {"overlay": True}])
@pytest.mark.parametrize("second", [{}, {"readonly": True}, {"overlay": True}])
def test_a_file_that_one_machine_writes_is_no_other_machines(
    image: Path, opened: list[Disk], first: dict[str, bool], second: dict[str, bool]
) -> None:
    """The same file twice in one machine is the same case."""
    opened.append(open_disk(DiskImage(image, **first)))  # type: ignore[arg-type]
    if first and second:
        opened.append(open_disk(DiskImage(image, **second)))  # type: ignore[arg-type]
        return
    with pytest.raises(UsageError, match=IN_USE):
        open_disk(DiskImage(image, **second))  # type: ignore[arg-type]


def test_the_same_file_twice_in_one_machine_is_refused_and_leaves_no_lock(
    image: Path, opened: list[Disk], tmp_path: Path
) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(htif_exit(0))
    with pytest.raises(UsageError, match=IN_USE):
        Machine(memory="16M", kernel=kernel, disks=[DiskImage(image), DiskImage(image)])
    opened.append(open_disk(DiskImage(image)))


def test_share_insists(image: Path, opened: list[Disk]) -> None:
    opened.append(open_disk(DiskImage(image)))
    opened.append(open_disk(DiskImage(image, share=True)))


def test_a_closed_disk_is_free_again(image: Path, opened: list[Disk]) -> None:
    open_disk(DiskImage(image)).close()
    opened.append(open_disk(DiskImage(image)))


def test_a_refused_disk_leaves_no_lock(image: Path, opened: list[Disk]) -> None:
    reader = open_disk(DiskImage(image, readonly=True))
    with pytest.raises(UsageError, match=IN_USE):
        open_disk(DiskImage(image))
    reader.close()
    opened.append(open_disk(DiskImage(image)))


@pytest.mark.needs_qemu
def test_qemu_and_we_see_each_others_locks(image: Path, opened: list[Disk]) -> None:
    command = ["qemu-system-riscv64", "-M", "virt", "-display", "none", "-S", "-bios", "none"]
    command += ["-drive", f"file={image},format=raw,if=none,id=d"]
    command += ["-device", "virtio-blk-device,drive=d", "-monitor", "stdio"]
    opened.append(open_disk(DiskImage(image)))
    refused = subprocess.run(command, input=b"quit\n", capture_output=True, check=False)
    assert refused.returncode
    assert b'Failed to get "write" lock' in refused.stderr
    opened.pop().close()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as qemu:
        assert qemu.stdin is not None
        assert qemu.stdout is not None
        qemu.stdin.write(b"info block\n")
        said = b""
        while b"Attached to" not in said:  # its images are open then
            said += qemu.stdout.read(1)
        with pytest.raises(UsageError, match=IN_USE):
            open_disk(DiskImage(image))
        qemu.stdin.write(b"quit\n")
        qemu.stdout.read()
    opened.append(open_disk(DiskImage(image)))
