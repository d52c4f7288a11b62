"""The cache of compiled code: what is damaged or foreign reads as absent; its size has a limit."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringzero.errors import UsageError
from ringzero.lang import cache
from ringzero.lang.cache_limit import DEFAULT, kept, limit, trim
from tests.limits import HUNG


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path))
    return tmp_path


def test_what_is_written_is_read(folder: Path) -> None:
    cache.write("objects", "a", b"code")
    assert cache.read("objects", "a") == b"code"
    assert cache.read("objects", "b") is None


@pytest.mark.parametrize("at", [0, 40, -1], ids=["digest", "inside", "end"])
def test_a_changed_byte_makes_it_absent(folder: Path, at: int) -> None:
    cache.write("objects", "a", b"code" * 20)
    data = bytearray((folder / "objects" / "a").read_bytes())
    data[at] ^= 1
    (folder / "objects" / "a").write_bytes(data)
    assert cache.read("objects", "a") is None
    assert cache.cached("objects", "a", lambda: b"again") == b"again"
    assert cache.read("objects", "a") == b"again"


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 400], ids=["empty", "short", "foreign"])
def test_foreign_files_are_absent(folder: Path, content: bytes) -> None:
    (folder / "objects").mkdir()
    (folder / "objects" / "a").write_bytes(content)
    assert cache.read("objects", "a") is None


def test_a_torn_file_is_absent(folder: Path) -> None:
    cache.write("objects", "a", b"code" * 100)
    os.truncate(folder / "objects" / "a", 100)
    assert cache.read("objects", "a") is None


def test_a_folder_in_place_of_a_file_costs_only_time(folder: Path) -> None:
    (folder / "objects" / "a").mkdir(parents=True)
    assert cache.cached("objects", "a", lambda: b"made") == b"made"


def keep(folder: Path, name: str, size: int, age: float) -> Path:
    cache.write("objects", name, bytes(size))
    path = folder / "objects" / name
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_what_was_not_used_for_longest_goes(folder: Path) -> None:
    old, older, new = (keep(folder, n, 1000, age) for n, age in [("a", 20), ("b", 30), ("c", 10)])
    assert trim(2200) == 1
    assert [old.exists(), older.exists(), new.exists()] == [True, False, True]


def test_reading_is_use(folder: Path) -> None:
    first, second = keep(folder, "a", 1000, 30), keep(folder, "b", 1000, 20)
    assert cache.read("objects", "a") is not None
    trim(1100)
    assert first.exists()
    assert not second.exists()


def test_images_are_not_counted(folder: Path) -> None:
    (folder / "images" / "kernels").mkdir(parents=True)
    image = folder / "images" / "kernels" / "vmlinux"
    image.write_bytes(bytes(5000))
    keep(folder, "a", 1000, 0)
    assert trim(1100) == 0
    assert image.exists()
    assert [one.kind for one in kept()] == ["objects"]


def test_torn_writes_go_in_the_end(folder: Path) -> None:
    keep(folder, "a", 10, 0)
    torn = [folder / "objects" / name for name in ("tmpabc", "tmpnew")]
    for path in torn:
        path.write_bytes(b"half")
    os.utime(torn[0], (0, 0))
    trim()
    assert [path.exists() for path in torn] == [False, True]  # one may still be being written


def test_the_limit_is_a_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit() == DEFAULT
    monkeypatch.setenv("RINGZERO_CACHE_LIMIT", "3M")
    assert limit() == 3 << 20
    monkeypatch.setenv("RINGZERO_CACHE_LIMIT", "much")
    with pytest.raises(UsageError, match="256M"):
        limit()


WORK = """
import random, sys
from ringzero.lang import cache
from ringzero.lang.cache_limit import trim
pick = random.Random(sys.argv[1])
for turn in range(300):
    key = f"k{pick.randrange(20)}"
    data = cache.cached("objects", key, lambda: key.encode() * 200)
    assert data == key.encode() * 200, key
    if turn % 10 == 0:
        trim(3000)
"""


def test_several_processes_at_once(folder: Path) -> None:
    """Each reads what it expects or makes it again, while others write and remove the same."""
    command = [sys.executable, "-c", WORK]
    running = [subprocess.Popen([*command, str(seed)]) for seed in range(3)]
    assert [process.wait(timeout=HUNG) for process in running] == [0, 0, 0]
    assert sum(one.size for one in kept()) < 20 * 1000


def test_settle_waits_for_what_is_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path))
    begun, go_on = threading.Event(), threading.Event()

    def make() -> bytes:
        begun.set()
        go_on.wait(HUNG)
        return b"made"

    maker = threading.Thread(target=cache.cached, args=("kind", "key", make))
    maker.start()
    assert begun.wait(HUNG)
    threading.Timer(0.05, go_on.set).start()
    cache.settle()
    assert cache.read("kind", "key") == b"made"
    maker.join()


FULL = """
import resource, signal, sys
from pathlib import Path
from ringzero.lang import cache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
cache.write("objects", "old", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
cache.write("objects", "old", b"new" * 5000)
cache.write("objects", "a", b"code" * 5000)
assert cache.cached("objects", "b", lambda: b"made" * 5000) == b"made" * 5000
"""


def test_a_full_disk_leaves_no_torn_file(folder: Path) -> None:
    """The host refuses to write more than a page of any file, as a full one would."""
    assert subprocess.run([sys.executable, "-c", FULL], check=False).returncode == 0
    assert os.listdir(folder / "objects") == ["old"]
    assert cache.read("objects", "old") == b"old"


def test_another_user_may_read_what_was_kept(folder: Path) -> None:
    before = os.umask(0o022)
    try:
        cache.write("objects", "a", b"code")
    finally:
        os.umask(before)
    assert (folder / "objects" / "a").stat().st_mode & 0o777 == 0o644


MAKE = """
import sys
from ringzero import Machine
from ringzero.guests import build
from ringzero.lang import cache
made = []
cache.announce = made.append
with Machine(memory="64M", kernel=build("hello")) as machine:
    print(machine.run(timeout=120))
print("made", len(made))
"""


def ran(folder: Path) -> list[str]:
    """What a run with a cache says: how it ended, and how many objects it made."""
    environment = {**os.environ, "RINGZERO_CACHE": str(folder)}
    command = [sys.executable, "-c", MAKE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_cache_that_was_copied_or_moved_is_used(tmp_path: Path) -> None:
    first = ran(tmp_path / "first")
    assert first[0] == "PoweredOff(code=0)"
    assert first[1] != "made 0"
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    (tmp_path / "first").rename(tmp_path / "moved")
    for place in ("copy", "moved"):
        assert ran(tmp_path / place) == ["PoweredOff(code=0)", "made 0"]


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    """Of another user's, say; what is not in it is made each time."""
    place = tmp_path / "cache"
    ran(place)
    kept_files = sorted(path for path in place.rglob("*") if path.is_file())
    kept_files[0].unlink()
    with read_only(place):
        assert ran(place)[0] == "PoweredOff(code=0)"
    assert sorted(path for path in place.rglob("*") if path.is_file()) == kept_files[1:]


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    """A folder that nobody may write to: for root that takes a mount."""
    if os.geteuid() != 0:
        for path in (place, *(p for p in place.rglob("*") if p.is_dir())):
            path.chmod(0o555)
        yield
        return
    command = ["mount", "--bind", "-o", "ro", str(place), str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("root cannot mount here, and may write to any folder that it sees")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)
