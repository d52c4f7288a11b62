"""What overlays, package managers and `setcap` ask of a file system: extended attributes, files
without names, whiteouts; and what the host does to files meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringzero.machine.fuse import protocol
from ringzero.machine.fuse.protocol import Init, Op, Set
from tests.fuse.guest import Guest, Refused

CAPABILITY = b"security.capability"
WHITEOUT = 4
DIRENT = protocol.DIRENT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "hello").write_bytes(b"hello, world\n")
    (folder / "link").symlink_to("hello")
    return folder


@pytest.fixture
def guest(root: Path) -> Iterator[Guest]:
    guest = Guest(root)
    yield guest
    guest.server.close()


def refused(code: int) -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, match=f"^{code}$")


# Extended attributes.


def test_user_attributes_are_the_hosts(guest: Guest, root: Path) -> None:
    node = guest.lookup(b"hello")
    os.setxattr(root / "hello", "user.host", b"1")
    guest.set_xattr(node, b"user.guest", b"\0two\0")
    assert guest.xattrs(node) == [b"user.guest", b"user.host"]
    assert guest.xattr(node, b"user.host") == b"1"
    assert os.getxattr(root / "hello", "user.guest") == b"\0two\0"
    assert guest.xattr(node, b"user.guest", 0) == protocol.GETXATTR_OUT.pack(5, 0)
    with refused(errno.ERANGE):
        guest.xattr(node, b"user.guest", 4)
    with refused(errno.EEXIST):
        guest.set_xattr(node, b"user.guest", b"3", os.XATTR_CREATE)
    guest.remove_xattr(node, b"user.guest")
    with refused(errno.ENODATA):
        guest.xattr(node, b"user.guest")
    with refused(errno.ENODATA):
        guest.set_xattr(node, b"user.guest", b"3", os.XATTR_REPLACE)


@pytest.mark.parametrize("name", [CAPABILITY, b"trusted.overlay.opaque"])
@pytest.mark.parametrize("file", [b"hello", b"link"])
def test_attributes_with_power_mean_nothing_to_the_host(
    guest: Guest, root: Path, name: bytes, file: bytes
) -> None:
    """A symbolic link cannot hold one on the host; the guest sees no difference."""
    node = guest.lookup(file)
    with refused(errno.ENODATA):
        guest.xattr(node, name)
    with refused(errno.ENODATA):
        guest.set_xattr(node, name, b"y", os.XATTR_REPLACE)
    guest.set_xattr(node, name, b"y")
    with refused(errno.EEXIST):
        guest.set_xattr(node, name, b"z", os.XATTR_CREATE)
    assert guest.xattr(node, name) == b"y"
    assert guest.xattrs(node) == [name]
    assert name.decode() not in os.listxattr(root / os.fsdecode(file), follow_symlinks=False)
    guest.remove_xattr(node, name)
    with refused(errno.ENODATA):
        guest.remove_xattr(node, name)
    assert guest.xattrs(node) == []
    assert os.listxattr(root / "hello") == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"user.ringzero.trusted.x", errno.EPERM),
        (b"system.posix_acl_access", errno.EOPNOTSUPP),
        (b"nonsense", errno.EOPNOTSUPP),
        (b"user." + b"n" * 300, errno.ERANGE),
    ],
)
def test_names_that_are_refused(guest: Guest, name: bytes, code: int) -> None:
    with refused(code):
        guest.set_xattr(guest.lookup(b"hello"), name, b"x")


def test_a_read_only_folder_keeps_its_attributes(root: Path) -> None:
    os.setxattr(root / "hello", "user.host", b"1")
    guest = Guest(root, read_only=True)
    node = guest.lookup(b"hello")
    assert guest.xattr(node, b"user.host") == b"1"
    with refused(errno.EROFS):
        guest.set_xattr(node, b"user.host", b"2")
    with refused(errno.EROFS):
        guest.remove_xattr(node, b"user.host")
    guest.server.close()


@pytest.mark.parametrize("change", ["write", "truncate", "chown", "open"])
def test_a_change_takes_capabilities_and_set_uid_away(guest: Guest, change: str) -> None:
    """HANDLE_KILLPRIV_V2 makes that the server's business, with a flag for set-uid."""
    node, handle = guest.create(b"program", mode=0o755)
    guest.setattr(node, Set.MODE, mode=0o6755)
    guest.set_xattr(node, CAPABILITY, b"all")
    if change == "write":
        guest.write(handle, b"x")
        assert guest.stat(node).mode & 0o7777 == 0o6755, "the writer may keep them"
        guest.write(handle, b"x", how=protocol.WRITE_KILL_SUIDGID)
    elif change == "truncate":
        guest.setattr(node, Set.SIZE | Set.KILL_SUIDGID, size=0)
    elif change == "chown":
        guest.setattr(node, Set.UID, uid=7)
    else:
        body = protocol.OPEN_IN.pack(os.O_RDWR | os.O_TRUNC, protocol.OPEN_KILL_SUIDGID)
        guest.call(Op.OPEN, node, body)
    with refused(errno.ENODATA):
        guest.xattr(node, CAPABILITY)
    assert guest.stat(node).mode & 0o7777 == 0o755


# Files without names, and whiteouts.


def test_a_file_without_a_name_gets_one(guest: Guest, root: Path) -> None:
    node, handle = guest.temporary(mode=0o640)
    guest.write(handle, b"quiet")
    assert sorted(os.listdir(root)) == ["hello", "link"]
    assert guest.stat(node).nlink == 0
    assert guest.link(node, b"named") == node
    assert (root / "named").read_bytes() == b"quiet"
    guest.release(handle)
    assert guest.stat(node).mode == stat.S_IFREG | 0o640
    assert guest.lookup(b"named") == node


def test_a_file_without_a_name_goes_with_its_last_handle(guest: Guest, root: Path) -> None:
    node, handle = guest.temporary()
    guest.setattr(node, Set.UID, uid=5)
    assert guest.stat(node).uid == 5
    guest.release(handle)
    guest.silent(Op.FORGET, node, protocol.FORGET_IN.pack(1))
    assert sorted(os.listdir(root)) == ["hello", "link"]


def test_no_link_leads_a_file_without_a_name_or_an_attribute_out(
    guest: Guest, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "way").symlink_to(outside)
    node = guest.lookup(b"way")
    with refused(errno.ENOTDIR):
        guest.temporary(node)
    with refused(errno.EOPNOTSUPP):
        guest.set_xattr(node, b"user.x", b"1")
    guest.set_xattr(node, b"trusted.x", b"1")
    assert os.listxattr(outside) == []


def kinds(guest: Guest) -> dict[bytes, int]:
    """The names in the root, each with the kind that READDIR says."""
    handle = guest.open(1, op=Op.OPENDIR)
    data, found, at = guest.read(handle, op=Op.READDIR), {}, 0
    while at < len(data):
        _, _, length, kind = DIRENT.unpack_from(data, at)
        found[data[at + 24 : at + 24 + length]] = kind << 12
        at += 24 + length + (-(24 + length) % 8)
    guest.release(handle)
    return found


def test_a_rename_leaves_a_whiteout(guest: Guest, root: Path) -> None:
    guest.rename(b"hello", b"moved", flags=WHITEOUT)
    seen = guest.stat(guest.lookup(b"hello"))
    assert (seen.mode, seen.rdev) == (stat.S_IFCHR, 0)
    assert (root / "moved").read_bytes() == b"hello, world\n"
    assert sorted(os.listdir(root)) == ["hello", "link", "moved"]
    found = kinds(guest)
    assert found[b"hello"] == stat.S_IFCHR, "overlays look at the kind that a folder names"
    assert found[b"moved"] == stat.S_IFREG
    with refused(errno.EEXIST):
        guest.rename(b"moved", b"hello", flags=WHITEOUT | 1)
    with refused(errno.ENOENT):
        guest.rename(b"absent", b"x", flags=WHITEOUT)
    with refused(errno.EINVAL):
        guest.rename(b"moved", b"hello", flags=WHITEOUT | 2)
    assert sorted(os.listdir(root)) == ["hello", "link", "moved"]


def test_a_whiteout_of_two_names_of_one_file_changes_nothing(guest: Guest, root: Path) -> None:
    guest.link(guest.lookup(b"hello"), b"same")
    guest.rename(b"hello", b"same", flags=WHITEOUT)
    assert sorted(os.listdir(root)) == ["hello", "link", "same"]
    assert guest.stat(guest.lookup(b"hello")).size == 13


# Appending, and what the host does.


def test_appending_finds_the_end_and_writing_back_finds_its_place(guest: Guest, root: Path) -> None:
    """The guest's idea of the size is old where the host has appended too."""
    handle = guest.open(guest.lookup(b"hello"), os.O_RDWR | os.O_APPEND)
    with (root / "hello").open("a") as file:
        file.write("host\n")
    guest.write(handle, b"guest\n", 13, flags=os.O_RDWR | os.O_APPEND)
    guest.write(handle, b"HELLO", 0, how=protocol.WRITE_CACHE, flags=os.O_RDWR | os.O_APPEND)
    assert (root / "hello").read_text() == "HELLO, world\nhost\nguest\n"


def test_what_the_host_changes_on_files_that_the_guest_owned_is_seen(
    guest: Guest, root: Path
) -> None:
    node = guest.lookup(b"hello")
    guest.setattr(node, Set.MODE | Set.UID | Set.GID, mode=0o4750, uid=33, gid=44)
    (root / "hello").chmod(0o604)
    seen = guest.stat(node)
    assert (seen.mode & 0o7777, seen.uid, seen.gid) == (0o604, 33, 44)
    guest.setattr(node, Set.UID, uid=34)
    seen = guest.stat(node)
    assert (seen.mode & 0o7777, seen.uid, seen.gid) == (0o604, 34, 44)


def test_the_guest_is_told_to_look_for_changes_where_others_make_them(root: Path) -> None:
    for exclusive in (False, True):
        guest = Guest(root, exclusive=exclusive)
        answer = guest.call(Op.INIT, 0, protocol.INIT_IN.pack(7, 38, 1 << 17, 0xFFFFFFFF))
        flags = protocol.INIT_OUT.unpack(answer)[3]
        assert bool(flags & Init.AUTO_INVAL_DATA) != exclusive
        guest.server.close()


def test_the_next_machine_finds_owners_nodes_and_whiteouts(root: Path) -> None:
    """A folder that anybody may change has no manifest; each file keeps its own label."""
    first = Guest(root)
    first.mknod(b"null", stat.S_IFCHR | 0o666, protocol.encode_device(1, 3))
    first.setattr(first.lookup(b"hello"), Set.MODE | Set.UID, mode=0o4711, uid=12)
    first.setattr(1, Set.GID, gid=50)
    first.create(b"moved")
    first.rename(b"moved", b"else", flags=WHITEOUT)
    first.server.close()
    (root / "null").rename(root / "renamed")
    guest = Guest(root)
    found = kinds(guest)
    assert found[b"moved"] == found[b"renamed"] == stat.S_IFCHR
    assert found[b"hello"] == stat.S_IFREG
    node = guest.stat(guest.lookup(b"renamed"))
    assert (node.mode, node.rdev) == (stat.S_IFCHR | 0o666, protocol.encode_device(1, 3))
    hello = guest.stat(guest.lookup(b"hello"))
    assert (hello.mode & 0o7777, hello.uid) == (0o4711, 12)
    assert guest.stat(1).gid == 50
    assert guest.xattrs(guest.lookup(b"hello")) == []
    assert not (root / "hello").stat().st_mode & stat.S_ISUID
    guest.server.close()


def test_a_label_that_makes_no_sense_is_none(root: Path) -> None:
    for number, text in enumerate((b"", b"1 2", b"x y z", b"1 2 3 4 5 6 7 8 9 10", b"-1 " * 8)):
        os.setxattr(root / "hello", "user.ringzero.owner", text)
        guest = Guest(root)
        seen = guest.stat(guest.lookup(b"hello"))
        assert stat.S_ISREG(seen.mode), number
        guest.server.close()
