"""Files and options that make no sense: one sentence, 125 or 127, no traceback, no guest.

The cases run in this process; the first of each kind also in one of its own, as users run it.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ringzero.cli.main import main
from tests.guest_files import elf, htif_exit, image
from tests.limits import HUNG

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Done:
    """What the command left behind."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def ringzero(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, in this process."""
    monkeypatch.delenv("RINGZERO_DEBUG", raising=False)

    def call(*arguments: object) -> Done:
        words = [str(argument) for argument in arguments]
        if words[0] == "run":
            words[1:1] = ["--timeout", "20s", "--quiet"]  # a guest that runs after all must end
        code = main(words)
        said = capfd.readouterr()
        return Done(code, said.out, said.err)

    return call


def in_a_process(*arguments: object) -> Done:
    """The command as a user calls it."""
    environment = {key: value for key, value in os.environ.items() if key != "RINGZERO_DEBUG"}
    done = subprocess.run(
        [sys.executable, "-m", "ringzero", *map(str, arguments)],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=HUNG, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def assert_refused(done: Done, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "mistake in ringzero" not in done.stderr
    assert done.stderr.startswith("ringzero: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.elf"
    path.write_bytes(htif_exit(0))
    return path


KERNELS = {
    "empty": (b"", "is empty"),
    "garbage": (bytes(range(7, 256)) * 40, "of an unknown kind"),
    "text": (b"vmlinux\n" * 100, "of an unknown kind"),
    "truncated ELF": (elf(b"code" * 400)[:900], "is cut off"),
    "truncated Image": (image()[:62], "is cut off"),
    "ELF for x86-64": (elf(b"code", machine=62), "x86-64"),
    "ELF for 32 bits": (elf(b"code", bits=1), "32-bit"),
    "ELF outside RAM": (elf(b"code", address=0x1000), "RAM is from"),
    "truncated gzip": (gzip.compress(os.urandom(900), mtime=0)[:-9], "gzip"),
    "compressed garbage": (gzip.compress(bytes(range(7, 256)) * 40, mtime=0), "of an unknown kind"),
    "too large": (image(image_size=3 << 30), "more memory"),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels(ringzero: Command, name: str, tmp_path: Path) -> None:
    data, words = KERNELS[name]
    path = tmp_path / "kernel"
    path.write_bytes(data)
    assert_refused(ringzero("run", "--kernel", path), 125, str(path), words)


def test_as_users_run_it(tmp_path: Path) -> None:
    for name, code in (("garbage", 125), ("missing", 127)):
        path = tmp_path / name
        if name == "garbage":
            path.write_bytes(KERNELS[name][0])
        assert_refused(in_a_process("run", "--quiet", "--kernel", path), code, str(path))


INITRDS = {
    "empty": (b"", "is empty"),
    "garbage": (bytes(range(7, 256)) * 40, "neither a cpio archive"),
    "truncated": (gzip.compress(os.urandom(5000), mtime=0)[:3000], "cut off"),
}


@pytest.mark.parametrize("name", INITRDS)
def test_initial_ram_disks(ringzero: Command, name: str, tmp_path: Path) -> None:
    data, words = INITRDS[name]
    (tmp_path / "Image").write_bytes(image())
    path = tmp_path / "initrd"
    path.write_bytes(data)
    done = ringzero("run", "--kernel", tmp_path / "Image", "--initrd", path)
    assert_refused(done, 125, str(path), words)


def test_initial_ram_disk_that_does_not_fit(ringzero: Command, tmp_path: Path) -> None:
    (tmp_path / "Image").write_bytes(image())
    path = tmp_path / "initrd"
    path.write_bytes(b"070701" + bytes(30 << 20) + b"TRAILER!!!")
    done = ringzero("run", "--kernel", tmp_path / "Image", "--initrd", path, "-m", "16M")
    assert_refused(done, 125, "initial RAM disk", "memory")


@pytest.mark.parametrize("option", ["--kernel", "--initrd", "--bios", "--disk", "--mount"])
def test_missing_files_are_not_found(
    ringzero: Command, option: str, good: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing"
    value = f"tag={nothing}" if option == "--mount" else nothing
    kernel = () if option == "--kernel" else ("--kernel", good)
    assert_refused(ringzero("run", *kernel, option, value), 127, str(nothing))


@pytest.mark.parametrize("option", ["--kernel", "--initrd", "--bios", "--disk"])
def test_directories_are_no_files(
    ringzero: Command, option: str, good: Path, tmp_path: Path
) -> None:
    kernel = () if option == "--kernel" else ("--kernel", good)
    done = ringzero("run", *kernel, option, tmp_path)
    assert_refused(done, 125, str(tmp_path), "directory")


def test_a_file_is_no_folder_to_mount(ringzero: Command, good: Path) -> None:
    assert_refused(ringzero("run", "--kernel", good, "--mount", f"tag={good}"), 127, str(good))


def test_garbage_firmware(ringzero: Command, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "bios"
    path.write_bytes(b"")
    assert_refused(ringzero("run", "--kernel", good, "--bios", path), 125, str(path))


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"", "sector"), (bytes(511), "sector"), (b"QFI\xfb" + bytes(5000), "raw")],
    ids=["empty", "less than a sector", "qcow2"],
)
def test_disks(ringzero: Command, data: bytes, word: str, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(data)
    assert_refused(ringzero("run", "--kernel", good, "--disk", path), 125, str(path), word)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission(ringzero: Command, good: Path) -> None:
    good.chmod(0)
    assert_refused(ringzero("run", "--kernel", good), 125, str(good), "Permission denied")


@pytest.mark.parametrize("memory", ["1B", "1K", "999999G"])
def test_memory_that_cannot_be(ringzero: Command, memory: str, good: Path) -> None:
    assert_refused(ringzero("run", "--kernel", good, "-m", memory), 125)


def test_command_line_longer_than_linux_keeps(ringzero: Command, tmp_path: Path) -> None:
    (tmp_path / "Image").write_bytes(image())
    done = ringzero("run", "--kernel", tmp_path / "Image", "--", "echo", "x" * 2000)
    assert_refused(done, 125, "1023")


def test_cache_that_cannot_be_made(
    ringzero: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path / "file" / "cache"))
    assert_refused(ringzero("image", "list"), 127, "RINGZERO_CACHE")
