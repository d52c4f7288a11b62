"""The FUSE server does what a file system does, and the host sees it."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringzero.errors import NotFound
from ringzero.machine.fuse import FuseServer, protocol
from ringzero.machine.fuse.protocol import Op, Set
from tests.fuse.guest import Guest, Refused, entries, entry


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "hello").write_bytes(b"hello, world\n")
    (folder / "sub").mkdir()
    (folder / "sub/deep").write_bytes(b"deep")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


@pytest.fixture
def guest(root: Path) -> Iterator[Guest]:
    guest = Guest(root)
    yield guest
    guest.server.close()


def refused(code: int) -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, match=f"^{code}$")


def test_init_agrees_on_a_version(root: Path) -> None:
    guest = Guest(root)
    answer = guest.call(Op.INIT, 0, protocol.INIT_IN.pack(7, 36, 1 << 17, 0xFFFFFFFF))
    major, minor = protocol.INIT_OUT.unpack(answer)[:2]
    assert (len(answer), major, minor) == (64, 7, 36)
    with refused(errno.EPROTO):
        guest.call(Op.INIT, 0, protocol.INIT_IN.pack(7, 20, 0, 0))


def test_nothing_is_answered_before_init(root: Path) -> None:
    server = FuseServer(root)
    message = protocol.IN_HEADER.pack(40, Op.STATFS, 9, 1, 0, 0, 0, 0, 0)
    assert server.handle(message) == protocol.reply(9, error=errno.ENOTCONN)


def test_lookup_and_read(guest: Guest) -> None:
    node = guest.lookup(b"hello")
    handle = guest.open(node)
    assert guest.read(handle) == b"hello, world\n"
    assert guest.read(handle, 3, 7) == b"wor"
    assert guest.read(handle, 10, 1000) == b""
    assert guest.stat(node).size == 13
    with refused(errno.ENOENT):
        guest.lookup(b"absent")
    with refused(errno.ENOTDIR):
        guest.lookup(b"below", node)


def test_own_files_are_roots(guest: Guest) -> None:
    seen = guest.stat(guest.lookup(b"hello"))
    assert (seen.uid, seen.gid) == (0, 0)


def test_create_write_and_read_back(guest: Guest, root: Path) -> None:
    node, handle = guest.create(b"new", mode=0o600)
    assert guest.write(handle, b"abc") == 3
    assert guest.write(handle, b"X", 5) == 1
    assert guest.read(handle) == b"abc\0\0X"
    assert (root / "new").read_bytes() == b"abc\0\0X"
    assert guest.setattr(node, Set.SIZE, size=2).size == 2
    guest.release(handle)
    with refused(errno.EBADF):
        guest.read(handle)


def test_create_takes_a_file_that_is_there_unless_exclusive(guest: Guest) -> None:
    _, handle = guest.create(b"hello")
    assert guest.read(handle) == b"hello, world\n"
    with refused(errno.EEXIST):
        guest.create(b"hello", flags=os.O_RDWR | os.O_EXCL)


def test_folders(guest: Guest, root: Path) -> None:
    node = guest.mkdir(b"folder", mode=0o750)
    guest.create(b"inside", node)
    assert (root / "folder/inside").exists()
    with refused(errno.ENOTEMPTY):
        guest.call(Op.RMDIR, 1, b"folder\0")
    guest.call(Op.UNLINK, node, b"inside\0")
    guest.call(Op.RMDIR, 1, b"folder\0")
    assert not (root / "folder").exists()


def test_listing_survives_changes_and_small_buffers(guest: Guest, root: Path) -> None:
    for number in range(100):
        (root / "sub" / f"file{number}").touch()
    node = guest.lookup(b"sub")
    handle = guest.open(node, op=Op.OPENDIR)
    names: list[bytes] = []
    offset = 0
    while data := guest.read(handle, 200, offset, Op.READDIR):
        found = entries(data)
        names += [name for name, _ in found]
        offset = found[-1][1]
        (root / "sub" / "file50").unlink(missing_ok=True)
    assert len(names) == len(set(names)) == 103
    assert guest.listing(node, 300) == sorted({*names} - {b".", b"..", b"file50"})


def test_readdirplus_counts_lookups(guest: Guest) -> None:
    handle = guest.open(guest.lookup(b"sub"), op=Op.OPENDIR)
    data = guest.read(handle, 4096, 0, Op.READDIRPLUS)
    found = {}
    while data:
        node, seen = entry(data)
        length = protocol.DIRENT.unpack_from(data, 128)[2]
        found[data[152 : 152 + length]] = (node, seen)
        data = data[128 + 24 + length + (-(24 + length) % 8) :]
    node, seen = found[b"deep"]
    assert seen.size == 4
    assert guest.stat(node).size == 4
    assert found[b"."][0] == found[b".."][0] == 0
    guest.silent(Op.FORGET, node, protocol.FORGET_IN.pack(1))
    with refused(errno.ESTALE):
        guest.stat(node)


def test_forgetting(guest: Guest) -> None:
    node = guest.lookup(b"hello")
    assert guest.lookup(b"hello") == node
    batch = protocol.BATCH_FORGET_IN.pack(2, 0) + protocol.FORGET_ONE.pack(node, 1)
    guest.silent(Op.BATCH_FORGET, 0, batch + protocol.FORGET_ONE.pack(999, 5))
    assert guest.stat(node).size == 13
    guest.silent(Op.FORGET, node, protocol.FORGET_IN.pack(1))
    with refused(errno.ESTALE):
        guest.stat(node)


def test_symbolic_links_are_data(guest: Guest) -> None:
    node = guest.lookup(b"link")
    assert guest.call(Op.READLINK, node) == b"/etc/passwd"
    assert stat.S_ISLNK(guest.stat(node).mode)
    made = guest.symlink(b"up", b"../../../x")
    assert guest.call(Op.READLINK, made) == b"../../../x"
    assert guest.setattr(made, Set.MTIME, mtime=77).mtime == 77
    assert guest.setattr(made, Set.UID, uid=5).uid == 5


def test_links(guest: Guest, root: Path) -> None:
    node = guest.lookup(b"hello")
    same, seen = entry(guest.call(Op.LINK, 1, protocol.LINK_IN.pack(node) + b"again\0"))
    assert (same, seen.nlink) == (node, 2)
    guest.call(Op.UNLINK, 1, b"hello\0")
    assert guest.stat(node).nlink == 1
    assert (root / "again").read_bytes() == b"hello, world\n"
    link = guest.lookup(b"link")
    guest.call(Op.LINK, 1, protocol.LINK_IN.pack(link) + b"link2\0")
    assert os.readlink(root / "link2") == "/etc/passwd"


def test_an_unlinked_open_file_lives_on(guest: Guest) -> None:
    node, handle = guest.create(b"temporary")
    guest.write(handle, b"still here")
    guest.call(Op.UNLINK, 1, b"temporary\0")
    assert guest.read(handle) == b"still here"
    assert guest.stat(node).nlink == 0
    assert guest.setattr(node, Set.SIZE, size=5).size == 5
    assert guest.read(handle) == b"still"


def test_rename(guest: Guest, root: Path) -> None:
    sub = guest.lookup(b"sub")
    node = guest.lookup(b"hello")
    guest.rename(b"hello", b"moved", 1, sub)
    assert (root / "sub/moved").exists()
    assert guest.lookup(b"moved", sub) == node
    with refused(errno.EEXIST):
        guest.rename(b"moved", b"deep", sub, sub, flags=1)
    guest.rename(b"moved", b"deep", sub, sub, flags=2)
    assert (root / "sub/deep").read_bytes() == b"hello, world\n"
    assert (root / "sub/moved").read_bytes() == b"deep"
    with refused(errno.EINVAL):
        guest.rename(b"moved", b"x", sub, 1, flags=8)


def test_modes_and_owners_stay_in_the_guest(guest: Guest, root: Path) -> None:
    node, _ = guest.create(b"program", mode=0o755)
    seen = guest.setattr(node, Set.MODE | Set.UID | Set.GID, mode=0o4711, uid=12, gid=34)
    assert (seen.mode, seen.uid, seen.gid) == (stat.S_IFREG | 0o4711, 12, 34)
    host = (root / "program").stat()
    assert stat.S_IMODE(host.st_mode) == 0o711
    assert host.st_uid == os.geteuid()
    guest.setattr(node, Set.MODE, mode=0)
    assert guest.read(guest.open(node)) == b""  # guest root may


def test_new_files_belong_to_the_caller(guest: Guest) -> None:
    guest.uid, guest.gid = 1000, 1001
    node, _ = guest.create(b"mine")
    assert (guest.stat(node).uid, guest.stat(node).gid) == (1000, 1001)
    guest.uid = guest.gid = 0
    shared = guest.mkdir(b"shared")
    guest.setattr(shared, Set.MODE | Set.GID, mode=0o2775, gid=50)
    inner = guest.mkdir(b"inner", shared)
    assert (guest.stat(inner).gid, guest.stat(inner).mode & 0o7777) == (50, 0o2755)


def test_device_nodes_are_empty_files_on_the_host(guest: Guest, root: Path) -> None:
    node = guest.mknod(b"console", stat.S_IFCHR | 0o620, protocol.encode_device(5, 1))
    seen = guest.stat(node)
    assert (seen.mode, seen.rdev) == (stat.S_IFCHR | 0o620, protocol.encode_device(5, 1))
    assert stat.S_ISREG((root / "console").stat().st_mode)
    with refused(errno.ENXIO):
        guest.open(node)
    pipe = guest.mknod(b"pipe", stat.S_IFIFO | 0o600)
    assert stat.S_ISFIFO(guest.stat(pipe).mode)
    assert stat.S_ISREG((root / "pipe").stat().st_mode)


def test_a_new_file_does_not_inherit_what_was_recorded_of_an_old_one(guest: Guest) -> None:
    for number in range(50):  # file systems give an inode number again soon
        name = b"file%d" % number
        node = guest.mknod(name, stat.S_IFREG | 0o644)
        assert guest.stat(node).mode == stat.S_IFREG | 0o644
        guest.setattr(node, Set.MODE | Set.UID, mode=0o4755, uid=7)
        guest.silent(Op.FORGET, node, protocol.FORGET_IN.pack(1))
        guest.call(Op.UNLINK, 1, name + b"\0")


def test_the_manifest_keeps_what_was_recorded(root: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(
        json.dumps({"version": 1, "entries": {"hello": {"mode": 0o104755, "uid": 3, "gid": 4}}})
    )
    first = Guest(root, manifest=manifest)
    node = first.lookup(b"hello")
    assert (first.stat(node).mode, first.stat(node).uid) == (0o104755, 3)
    first.mknod(b"null", stat.S_IFCHR | 0o666, protocol.encode_device(1, 3), first.lookup(b"sub"))
    first.rename(b"sub", b"dev")
    first.rename(b"hello", b"hallo")
    first.server.close()
    assert set(json.loads(manifest.read_text())["entries"]) == {"hallo", "dev/null"}
    second = Guest(root, manifest=manifest)
    seen = second.stat(second.walk("dev/null"))
    assert (seen.mode, seen.rdev) == (stat.S_IFCHR | 0o666, 0x103)
    assert second.stat(second.lookup(b"hallo")).mode == 0o104755
    second.call(Op.UNLINK, 1, b"hallo\0")
    second.server.close()
    assert set(json.loads(manifest.read_text())["entries"]) == {"dev/null"}


def test_exchanged_folders_exchange_their_records(root: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    guest = Guest(root, manifest=manifest)
    guest.mknod(b"first", stat.S_IFCHR | 0o666, 0x103, guest.lookup(b"sub"))
    other = guest.mkdir(b"other")
    guest.mknod(b"second", stat.S_IFCHR | 0o666, 0x105, other)
    guest.rename(b"sub", b"other", flags=2)
    guest.server.close()
    assert set(json.loads(manifest.read_text())["entries"]) == {"other/first", "sub/second"}


def test_read_only_refuses_every_change(root: Path) -> None:
    guest = Guest(root, read_only=True)
    node = guest.lookup(b"hello")
    assert guest.read(guest.open(node)) == b"hello, world\n"
    before = sorted(root.rglob("*"))
    name = protocol.LINK_IN.pack(node) + b"n\0"
    for op, body in [
        (Op.CREATE, protocol.CREATE_IN.pack(2, 0o644, 0, 0) + b"n\0"),
        (Op.MKDIR, protocol.MKDIR_IN.pack(0o755, 0) + b"n\0"),
        (Op.MKNOD, protocol.MKNOD_IN.pack(stat.S_IFREG, 0, 0, 0) + b"n\0"),
        (Op.SYMLINK, b"n\0t\0"),
        (Op.LINK, name),
        (Op.UNLINK, b"hello\0"),
        (Op.RMDIR, b"sub\0"),
        (Op.RENAME, protocol.RENAME_IN.pack(1) + b"hello\0n\0"),
        (Op.RENAME2, protocol.RENAME2_IN.pack(1, 0, 0) + b"hello\0n\0"),
        (Op.SETATTR, bytes(protocol.SETATTR_IN.size)),
        (Op.WRITE, bytes(protocol.WRITE_IN.size)),
        (Op.FALLOCATE, bytes(protocol.FALLOCATE_IN.size)),
        (Op.COPY_FILE_RANGE, bytes(protocol.COPY_FILE_RANGE_IN.size)),
    ]:
        with refused(errno.EROFS):
            guest.call(op, 1, body)
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC):
        with refused(errno.EROFS):
            guest.open(node, flags)
    assert sorted(root.rglob("*")) == before


def test_space_and_holes(guest: Guest) -> None:
    node, handle = guest.create(b"sparse")
    guest.call(Op.FALLOCATE, node, protocol.FALLOCATE_IN.pack(handle, 0, 1 << 16, 0, 0))
    assert guest.stat(node).size == 1 << 16
    with refused(errno.EOPNOTSUPP):
        guest.call(Op.FALLOCATE, node, protocol.FALLOCATE_IN.pack(handle, 0, 4096, 8, 0))
    guest.write(handle, b"end", 1 << 20)
    answer = guest.call(Op.LSEEK, node, protocol.LSEEK_IN.pack(handle, 1 << 20, 3, 0))
    assert protocol.LSEEK_OUT.unpack(answer) == (1 << 20,)
    with refused(errno.ENXIO):
        guest.call(Op.LSEEK, node, protocol.LSEEK_IN.pack(handle, 1 << 30, 3, 0))
    other = guest.create(b"copy")[1]
    body = protocol.COPY_FILE_RANGE_IN.pack(handle, 1 << 20, 0, other, 2, 3, 0)
    assert protocol.WRITE_OUT.unpack(guest.call(Op.COPY_FILE_RANGE, node, body)) == (3, 0)
    assert guest.read(other) == b"\0\0end"


def test_a_manifest_that_cannot_be_saved_is_whole_and_stops_no_machine(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"entries": {}}')
    guest = Guest(root, manifest=manifest)
    guest.setattr(guest.lookup(b"hello"), Set.UID, uid=7)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with refused(errno.ENOSPC):
        guest.call(Op.SYNCFS, 1, bytes(8))
    with pytest.warns(RuntimeWarning, match="could not be saved"):
        guest.server.reset()
    assert manifest.read_text() == '{"entries": {}}'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "root"]
    with pytest.warns(RuntimeWarning, match="could not be saved"):
        guest.server.close()


def test_the_rest_of_a_file_systems_duties(guest: Guest) -> None:
    node, handle = guest.create(b"file")
    guest.call(Op.FSYNC, node, protocol.FSYNC_IN.pack(handle, 1, 0))
    guest.call(Op.FSYNC, node, protocol.FSYNC_IN.pack(handle, 0, 0))
    guest.call(Op.FLUSH, node, bytes(24))
    guest.call(Op.ACCESS, node, bytes(8))
    guest.call(Op.SYNCFS, 1, bytes(8))
    numbers = protocol.STATFS_OUT.unpack(guest.call(Op.STATFS, 1))
    assert numbers[0] > 0
    assert len(guest.call(Op.STATFS, 1)) == 80
    with refused(errno.ENOSYS):
        guest.call(4711, node)
    guest.call(Op.DESTROY, 0)
    with refused(errno.ENOTCONN):
        guest.stat(1)


def test_reading_straight_into_guest_memory(guest: Guest) -> None:
    handle = guest.open(guest.lookup(b"hello"))
    memory = memoryview(bytearray(64))
    body = protocol.READ_IN.pack(handle, 0, 4096, 0, 0, 0, 0)
    parts = [memory[:10], memory[10:20], memory[20:64]]
    message = guest.message(Op.READ, 1, body)
    assert guest.server.serve(message, parts) == 29
    assert bytes(memory[:29]) == protocol.reply(guest.unique, b"hello, world\n")
    short = guest.message(Op.READ, 1, protocol.READ_IN.pack(99, 0, 4096, 0, 0, 0, 0))
    assert guest.server.serve(short, parts) == 16
    assert bytes(memory[:16]) == protocol.reply(guest.unique, error=errno.EBADF)


def test_an_exclusive_folder_remembers_absent_names(root: Path) -> None:
    guest = Guest(root, exclusive=True)
    node, _ = entry(guest.call(Op.LOOKUP, 1, b"absent\0"))
    assert node == 0


def test_a_folder_that_cannot_be_shared(root: Path) -> None:
    with pytest.raises(NotFound, match="not a folder"):
        FuseServer(root / "hello")
