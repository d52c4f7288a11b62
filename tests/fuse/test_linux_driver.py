"""Linux's own FUSE driver on the host, as an independent client of the server.

It needs root and /dev/fuse, which few test machines give; everywhere else it is skipped.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringzero.machine.fuse import FuseServer

LIBC = ctypes.CDLL(None, use_errno=True)
OPTIONS = "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"


def _serve(server: FuseServer, device: int) -> None:
    while True:
        try:
            message = os.read(device, 1 << 21)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return  # unmounted
            continue
        if answer := server.handle(message):
            try:
                os.write(device, answer)
            except OSError as error:
                assert error.errno == errno.ENOENT  # the question was taken back


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("mounting a FUSE server needs root and /dev/fuse")
    (tmp_path / "root").mkdir()
    place = tmp_path / "mounted"
    place.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = OPTIONS.format(device).encode()
    if LIBC.mount(b"ringzero-test", os.fsencode(place), b"fuse", 0, options):
        os.close(device)
        pytest.skip(f"mounting is not allowed here: {os.strerror(ctypes.get_errno())}")
    server = FuseServer(tmp_path / "root")
    thread = threading.Thread(target=_serve, args=(server, device), daemon=True)
    thread.start()
    yield place
    assert LIBC.umount2(os.fsencode(place), 2) == 0
    thread.join(10)
    os.close(device)
    server.close()


# The test process must not use the mount itself: its own thread answers, and may wait for the
# interpreter lock that a blocked system call of the test holds.
SCRIPT = """
import mmap, os, sqlite3, stat, sys
os.chdir(sys.argv[1])
base = sqlite3.connect("data.db")
base.execute("pragma journal_mode=wal")
base.execute("create table t(a)")
base.executemany("insert into t values(?)", [(i,) for i in range(2000)])
base.commit()
assert base.execute("select sum(a) from t").fetchone() == (1999000,)
base.close()
with open("mapped", "wb+") as file:
    file.truncate(8192)
    view = mmap.mmap(file.fileno(), 8192)
    view[5000:5003] = b"abc"
    view.flush()
    view.close()
    assert os.pread(file.fileno(), 3, 5000) == b"abc"
    os.unlink("mapped")
    file.write(b"still writable")
    file.flush()
    assert os.fstat(file.fileno()).st_nlink == 0
os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
os.chown("null", 12, 34)
os.chmod("null", 0o4755)
status = os.stat("null")
assert stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (12, 34, 0o4755)
os.makedirs("/".join(["deep"] * 100))
os.rename("deep", "deeper")
assert sum(1 for _ in os.walk("deeper")) == 100
os.symlink("nowhere", "link")
os.link("link", "link2")
assert os.readlink("link2") == "nowhere"
with open("log", "a") as log, open("log", "a") as other:
    for number in range(100):
        print(number, file=log, flush=True)
        print(-number, file=other, flush=True)
assert len(open("log").readlines()) == 200
"""


@pytest.mark.slow
def test_a_working_day_of_a_file_system(mounted: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT, str(mounted)], check=True, timeout=60)
    assert os.stat(tmp_path / "root/null").st_mode == 0o100600


@pytest.mark.slow
def test_a_tree_copied_in_is_the_same(mounted: Path, tmp_path: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "ringzero"
    copy = f"cp -a {source} {mounted}/copy && diff -r {source} {mounted}/copy"
    subprocess.run(["sh", "-c", copy], check=True, timeout=60)
    if shutil.which("git"):
        work = "git init -q . && git add copy && git status --short | grep -c ^A"
        done = subprocess.run(["sh", "-c", work], cwd=mounted, check=True, timeout=60)
        assert done.returncode == 0
