"""What a malicious guest sends stays in the folder: ways out, races, garbage, exhaustion."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringzero.machine.fuse import FuseServer, protocol
from ringzero.machine.fuse.protocol import Op
from tests.fuse.guest import Guest, Refused

SECRET = b"outside the folder"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_bytes(b"inside")
    (folder / "to-secret").symlink_to(tmp_path / "secret")
    (folder / "to-outside").symlink_to("../outside")
    return folder


@pytest.fixture
def guest(root: Path) -> Iterator[Guest]:
    guest = Guest(root)
    yield guest
    guest.server.close()


BAD_NAMES = [b"", b".", b"..", b"/", b"../secret", b"sub/../../secret", b"/etc/passwd", b"a/b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere(guest: Guest, root: Path, name: bytes) -> None:
    before = sorted(root.parent.rglob("*"))
    node = guest.lookup(b"file")
    calls = [
        (Op.LOOKUP, name + b"\0"),
        (Op.MKDIR, protocol.MKDIR_IN.pack(0o755, 0) + name + b"\0"),
        (Op.MKNOD, protocol.MKNOD_IN.pack(stat.S_IFREG | 0o644, 0, 0, 0) + name + b"\0"),
        (Op.CREATE, protocol.CREATE_IN.pack(2, 0o644, 0, 0) + name + b"\0"),
        (Op.SYMLINK, name + b"\0target\0"),
        (Op.LINK, protocol.LINK_IN.pack(node) + name + b"\0"),
        (Op.UNLINK, name + b"\0"),
        (Op.RMDIR, name + b"\0"),
        (Op.RENAME, protocol.RENAME_IN.pack(1) + b"file\0" + name + b"\0"),
        (Op.RENAME, protocol.RENAME_IN.pack(1) + name + b"\0new\0"),
    ]
    for op, body in calls:
        with pytest.raises(Refused) as refusal:
            guest.call(op, 1, body)
        assert refusal.value.code == errno.EINVAL
    assert sorted(root.parent.rglob("*")) == before


def test_long_names(guest: Guest) -> None:
    with pytest.raises(Refused, match=str(errno.ENAMETOOLONG)):
        guest.lookup(b"n" * 256)
    with pytest.raises(Refused, match=str(errno.ENOENT)):
        guest.lookup(b"n" * 255)


def test_symbolic_links_are_never_followed(guest: Guest, root: Path) -> None:
    link = guest.lookup(b"to-secret")
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_TRUNC):
        with pytest.raises(Refused):
            guest.open(link, flags)
    with pytest.raises(Refused):
        guest.create(b"to-secret")
    with pytest.raises(Refused):
        guest.setattr(link, protocol.Set.SIZE, size=0)
    guest.setattr(link, protocol.Set.MODE | protocol.Set.UID, mode=0o777, uid=0)
    folder = guest.lookup(b"to-outside")
    with pytest.raises(Refused):
        guest.open(folder, op=Op.OPENDIR)
    for call in (lambda: guest.create(b"x", folder), lambda: guest.lookup(b"x", folder)):
        with pytest.raises(Refused, match=str(errno.ENOTDIR)):
            call()
    assert (root.parent / "secret").read_bytes() == SECRET
    assert not list((root.parent / "outside").iterdir())


def test_a_file_replaced_by_a_link_is_not_the_link(guest: Guest, root: Path) -> None:
    node = guest.lookup(b"file")
    (root / "file").unlink()
    (root / "file").symlink_to(root.parent / "secret")
    # The handle still is the old file; what is opened is that or nothing.
    assert guest.read(guest.open(node)) == b"inside"


def test_a_folder_replaced_by_a_link_is_not_entered(guest: Guest, root: Path) -> None:
    folder = guest.lookup(b"sub")
    (root / "sub").rename(root / "old")
    (root / "sub").symlink_to("../outside")
    guest.create(b"new", folder)
    assert (root / "old/new").exists()
    assert not list((root.parent / "outside").iterdir())


def test_an_idle_handle_is_opened_again_only_as_the_same_file(root: Path) -> None:
    for number in range(40):
        (root / "sub" / f"f{number}").write_text(str(number))
    guest = Guest(root)
    guest.server.session.inodes._limit = 16
    folder = guest.lookup(b"sub")
    nodes = [guest.lookup(b"f%d" % number, folder) for number in range(40)]
    for number, node in enumerate(nodes):
        handle = guest.open(node)
        assert guest.read(handle) == str(number).encode()
        guest.release(handle)
    (root / "sub/f0").unlink()
    (root / "sub/f0").symlink_to(root.parent / "secret")
    new = guest.lookup(b"f0", folder)
    assert new != nodes[0]
    assert all(guest.stat(node).size for node in nodes[1:])
    with pytest.raises(Refused, match=str(errno.ESTALE)):
        guest.stat(nodes[0])


def test_moved_folders_are_found_again(root: Path) -> None:
    guest = Guest(root)
    node = guest.mkdir(b"a")
    for _ in range(60):
        node = guest.mkdir(b"d", node)
    guest.rename(b"a", b"b")
    inodes = guest.server.session.inodes
    for fd in inodes._handles.values():
        os.close(fd)
    inodes._handles.clear()
    assert stat.S_ISDIR(guest.stat(node).mode)
    assert inodes.get(node).path() == b"b" + b"/d" * 60


def test_a_folder_renamed_while_it_is_used(guest: Guest, root: Path) -> None:
    folder = guest.lookup(b"sub")
    node, handle = guest.create(b"busy", folder)
    guest.rename(b"sub", b"elsewhere")
    guest.write(handle, b"data")
    assert guest.stat(node).size == 4
    guest.create(b"second", folder)
    assert sorted(os.listdir(root / "elsewhere")) == ["busy", "second"]


def test_too_many_open_files_are_refused(guest: Guest) -> None:
    guest.server.session.open_limit = 20
    node = guest.lookup(b"file")
    handles = [guest.open(node) for _ in range(20)]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(Refused, match=str(errno.ENFILE)):
            guest.open(node)
        with pytest.raises(Refused, match=str(errno.ENFILE)):
            guest.create(b"one-more")
    assert len(os.listdir("/proc/self/fd")) == before
    guest.release(handles[0])
    assert guest.open(node)


def test_closing_gives_back_every_descriptor(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    guest = Guest(root)
    for number in range(30):
        guest.create(b"f%d" % number)
    guest.open(guest.lookup(b"sub"), op=Op.OPENDIR)
    guest.server.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_special_files_of_the_host_are_not_opened(guest: Guest, root: Path) -> None:
    os.mkfifo(root / "fifo")  # opening it would wait for a writer
    node = guest.lookup(b"fifo")
    assert stat.S_ISFIFO(guest.stat(node).mode)
    with pytest.raises(Refused, match=str(errno.ENXIO)):
        guest.open(node)
    with pytest.raises(Refused, match=str(errno.ENXIO)):
        guest.create(b"fifo")


@pytest.mark.parametrize("op", [op for op in Op if op not in (Op.INTERRUPT, Op.DESTROY)])
def test_bodies_cut_short(guest: Guest, op: Op) -> None:
    full = bytes(88) + b"name\0name\0"
    for length in (0, 1, 3, 7):
        message = guest.message(op, 1, full[:length])
        answer = guest.server.handle(message)
        assert answer == b"" or answer[:4] == len(answer).to_bytes(4, "little")
    lying = protocol.IN_HEADER.pack(1 << 20, op, 5, 1, 0, 0, 0, 0, 0)
    answer = guest.server.handle(lying)
    assert answer in (b"", protocol.reply(5, error=errno.EINVAL))


def test_messages_without_a_header(guest: Guest) -> None:
    for length in range(40):
        assert guest.server.handle(bytes(length)) == b""
    assert guest.server.serve(b"", []) == 0


def test_answers_never_exceed_the_room_given(guest: Guest) -> None:
    message = guest.message(Op.STATFS, 1, b"")
    assert guest.server.handle(message, 16) == protocol.reply(guest.unique, error=errno.ERANGE)
    assert guest.server.handle(message, 15) == b""
    memory = memoryview(bytearray(8))
    assert guest.server.serve(message, [memory]) == 0


def test_huge_numbers(guest: Guest) -> None:
    handle = guest.open(guest.lookup(b"file"), os.O_RDWR)
    most = (1 << 64) - 1
    for op, body in [
        (Op.READ, protocol.READ_IN.pack(handle, most, 4096, 0, 0, 0, 0)),
        (Op.WRITE, protocol.WRITE_IN.pack(handle, most, 0, 0, 0, 0, 0)),
        (Op.WRITE, protocol.WRITE_IN.pack(handle, 0, 0xFFFFFFFF, 0, 0, 0, 0)),
        (Op.FALLOCATE, protocol.FALLOCATE_IN.pack(handle, most, most, 0, 0)),
        (Op.LSEEK, protocol.LSEEK_IN.pack(handle, most, 3, 0)),
        (Op.COPY_FILE_RANGE, protocol.COPY_FILE_RANGE_IN.pack(handle, most, 0, handle, 0, 9, 0)),
    ]:
        with pytest.raises(Refused):
            guest.call(op, 1, body)
    with pytest.raises(Refused):
        guest.setattr(1, protocol.Set.SIZE, size=most)
    assert guest.read(handle, 0xFFFFFFFF) == b"inside"


NODES = st.one_of(st.integers(0, 8), st.integers(0, (1 << 64) - 1))
NAMES = st.sampled_from(
    [b"file", b"sub", b"new", b"..", b"to-secret", b"to-outside", b"a/b", b"", b"x" * 300]
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    numbers = st.one_of(st.integers(0, 6), st.sampled_from([1 << 31, 1 << 63, (1 << 64) - 1]))
    fixed = b"".join(n.to_bytes(8, "little") for n in draw(st.lists(numbers, max_size=11)))
    names = b"".join(name + b"\0" for name in draw(st.lists(NAMES, max_size=2)))
    return fixed[draw(st.integers(0, 7)) :] + names + draw(st.binary(max_size=16))


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    messages=st.lists(st.tuples(st.sampled_from(list(Op)), NODES, bodies()), min_size=1, max_size=8)
)
def test_any_sequence_of_messages(tmp_path: Path, messages: list[tuple[int, int, bytes]]) -> None:
    folder = tmp_path / "root"
    if not folder.exists():
        (tmp_path / "secret").write_bytes(SECRET)
        (tmp_path / "outside").mkdir()
    folder.mkdir(exist_ok=True)
    for name, target in (("to-secret", "../secret"), ("to-outside", "../outside")):
        if not (folder / name).is_symlink() and not (folder / name).exists():
            (folder / name).symlink_to(target)
    guest = Guest(folder)
    for link in (b"to-secret", b"to-outside"):
        guest.server.handle(guest.message(Op.LOOKUP, 1, link + b"\0"))
    for op, node, body in messages:
        answer = guest.server.handle(guest.message(op, node, body), 1 << 17)
        assert answer == b"" or protocol.OUT_HEADER.unpack_from(answer)[0] == len(answer)
    guest.server.close()
    assert (tmp_path / "secret").read_bytes() == SECRET
    assert not list((tmp_path / "outside").iterdir())


@settings(max_examples=200, deadline=None)
@given(garbage=st.binary(max_size=200))
def test_garbage(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    server = FuseServer(tmp_path_factory.getbasetemp())
    answer = server.handle(garbage)
    assert answer == b"" or answer[:4] == len(answer).to_bytes(4, "little")
    server.close()
