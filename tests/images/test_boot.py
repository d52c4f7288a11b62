"""What is fetched boots: Debian's kernel and our initramfs on QEMU, an independent machine."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.limits import HUNG

pytestmark = [pytest.mark.slow, pytest.mark.needs_qemu, pytest.mark.needs_debian]
MACHINE = ["qemu-system-riscv64", "-M", "virt", "-m", "512M", "-nographic", "-no-reboot"]


def _boot(kernel: Path, initrd: Path, append: str, more: Sequence[str] = ()) -> Any:
    files = ["-kernel", str(kernel), "-initrd", str(initrd)]
    command = [*MACHINE, *files, "-append", append, *more]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=HUNG, check=False
    )


def test_a_command_runs_and_its_status_is_the_machines(debian_image: Any) -> None:
    append = 'console=ttyS0 quiet ringzero.run="uname -a; id -u; exit 7"'
    done = _boot(debian_image.kernel, debian_image.initrd, append)
    assert done.returncode == 7
    assert f"{debian_image.version}-riscv64" in done.stdout.decode()
    assert b"\n0\r\n" in done.stdout


def test_a_shell_on_the_console(debian_image: Any) -> None:
    kernel, initrd = debian_image.kernel, debian_image.initrd
    process = subprocess.Popen(
        [*MACHINE, "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    limit = threading.Timer(120, process.kill)
    limit.start()
    assert process.stdin is not None
    assert process.stdout is not None
    said = b""
    while b"~ # " not in said and (more := process.stdout.read1(4096)):  # type: ignore[attr-defined]
        said += more
    process.stdin.write(b"echo $((6*7)) $(tty); exit\n")
    process.stdin.flush()
    said += process.stdout.read()
    limit.cancel()
    assert process.wait() == 0
    assert b"42 /dev/ttyS0" in said
    assert b"Power down" in said


def test_modules_are_loaded(debian_image: Any, tmp_path: Path) -> None:
    from ringzero.images import ImageError, fetch_debian

    try:
        image = fetch_debian(modules=("virtio_blk", "ext4"))
    except ImageError as error:
        pytest.skip(str(error))
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    drive = ["-drive", f"file={disk},format=raw,if=none,id=d"]
    drive += ["-device", "virtio-blk-pci,drive=d"]
    append = 'console=ttyS0 quiet ringzero.run="grep -c ext4$ /proc/filesystems; ls /dev/vda"'
    done = _boot(image.kernel, image.initrd, append, drive)
    assert done.returncode == 0
    assert b"/dev/vda" in done.stdout
    assert b"\n1\r\n" in done.stdout
