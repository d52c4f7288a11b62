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
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringzero.machine.fuse import FuseServer
from tests.limits import HUNG

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
    subprocess.run([sys.executable, "-c", SCRIPT, str(mounted)], check=True, timeout=HUNG)
    assert os.stat(tmp_path / "root/null").st_mode == 0o100600


APPENDED = """
import mmap, os, sys
os.chdir(sys.argv[1])
fd = os.open("log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
os.write(fd, b"first line\\n")
with mmap.mmap(fd, 0) as view:
    view[0:5] = b"FIRST"
    view.flush()
os.write(fd, b"second line\\n")
assert os.pread(fd, 100, 0) == b"FIRST line\\nsecond line\\n"
"""


@pytest.mark.slow
def test_a_store_through_the_mapping_of_a_file_that_is_open_for_appending(
    mounted: Path, tmp_path: Path
) -> None:
    """It has its place in the file: once it was appended, and the old bytes stayed."""
    subprocess.run([sys.executable, "-c", APPENDED, str(mounted)], check=True, timeout=HUNG)
    assert (tmp_path / "root/log").read_bytes() == b"FIRST line\nsecond line\n"


HELD = """
import os, sys
fd = os.open(sys.argv[1] + "/held", os.O_RDONLY)
for line in sys.stdin:
    os.lseek(fd, 0, os.SEEK_SET)
    print(os.read(fd, 100).decode(), oct(os.fstat(fd).st_mode), flush=True)
"""


@pytest.mark.slow
def test_a_held_file_that_the_host_changes_in_place_is_seen(mounted: Path, tmp_path: Path) -> None:
    """Within the second for which attributes may be remembered."""
    file = tmp_path / "root/held"
    file.write_text("before")
    words = [sys.executable, "-c", HELD, str(mounted)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdin is not None
        assert held.stdout is not None

        def seen() -> str:
            assert held.stdin is not None
            assert held.stdout is not None
            print(file=held.stdin, flush=True)
            return held.stdout.readline().strip()

        assert seen() == "before 0o100644"
        time.sleep(1.1)
        with file.open("r+") as place:
            place.write("afters")
        file.chmod(0o640)
        time.sleep(1.1)
        assert seen() == "afters 0o100640"
        held.stdin.close()


CAPABILITIES = """
set -e
cd "$1"
cp /bin/true program
setcap cap_net_raw+ep program
test "$(getcap program)" = "program cap_net_raw=ep"
setfattr -n user.note -v text program
test "$(getfattr --only-values -n user.note program)" = text
echo more >>program
test -z "$(getcap program)"
test "$(getfattr --only-values -n user.note program)" = text
"""


@pytest.mark.slow
def test_programs_have_capabilities_until_they_are_written(mounted: Path, tmp_path: Path) -> None:
    for tool, package in (("setcap", "libcap2-bin"), ("setfattr", "attr")):
        if shutil.which(tool) is None:
            pytest.skip(f"this host has no {tool} (apt-get install {package})")
    subprocess.run(["sh", "-c", CAPABILITIES, "sh", str(mounted)], check=True, timeout=HUNG)
    host = os.listxattr(tmp_path / "root/program")
    assert "security.capability" not in host, "the host gives nobody power"


OVERLAY = """
set -e
cd "$1"
mkdir upper work merged
mount -t overlay none -o lowerdir="$2",upperdir=upper,workdir=work merged
trap 'umount merged' EXIT
test "$(cat merged/kept)" = lower
rm merged/gone
rm -r merged/folder
mkdir merged/folder
echo new >merged/folder/new
echo changed >>merged/changed
mv merged/moved merged/elsewhere
ln -s target merged/link
test "$(ls merged | xargs)" = "changed elsewhere folder kept link"
test "$(ls merged/folder)" = new
umount merged
mount -t overlay none -o lowerdir="$2",upperdir=upper,workdir=work merged
test "$(ls merged | xargs)" = "changed elsewhere folder kept link"
test "$(ls merged/folder)" = new
test "$(cat merged/changed | xargs)" = "lower changed"
"""


@pytest.mark.slow
def test_the_upper_layer_of_an_overlay(mounted: Path, tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "folder").mkdir(parents=True)
    for name in ("kept", "gone", "changed", "moved", "folder/old"):
        (lower / name).write_text("lower\n")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", OVERLAY, "sh", str(mounted), str(lower)],
        capture_output=True,
        timeout=HUNG,
        check=False,
    )
    if b"mount: " in done.stderr and b"unknown filesystem" in done.stderr:
        pytest.skip("the host's kernel has no overlays")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_tree_copied_in_is_the_same(mounted: Path, tmp_path: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "ringzero"
    copy = f"cp -a {source} {mounted}/copy && diff -r {source} {mounted}/copy"
    subprocess.run(["sh", "-c", copy], check=True, timeout=HUNG)
    if shutil.which("git"):
        work = "git init -q . && git add copy && git status --short | grep -c ^A"
        done = subprocess.run(["sh", "-c", work], cwd=mounted, check=True, timeout=HUNG)
        assert done.returncode == 0
