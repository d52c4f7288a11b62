"""Random sequences of operations: a folder behind the server and one of the host's must agree.

Both sides answer with a value or an errno, and at the end both trees are the same, as the guest
sees them and as they lie on the host's disk.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.fuse.guest import Refused
from tests.fuzz.fuse.local import Local, Name
from tests.fuzz.fuse.served import Served

ROOT = os.geteuid() == 0
"""Only root may give files away, so that only it can judge how the server does it."""

FOLDERS: tuple[Name, ...] = ((b"d",), (b"d", b"e"))
FILES: tuple[Name, ...] = ((b"a",), (b"b",), (b"d", b"a"), (b"d", b"e", b"b"))
folders = st.sampled_from([(), (), (b"d",), (b"d", b"e"), (b"a",), (b"c", b"d")])
names = st.tuples(folders, st.sampled_from([b"a", b"b", b"c", b"d", b"\xff\n"])).map(
    lambda pair: (*pair[0], pair[1])
)
modes = st.sampled_from([0o600, 0o644, 0o755, 0o700, 0o1777] + ([0o6755, 0o000] if ROOT else []))
kinds = st.sampled_from([stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK])
sizes = st.sampled_from([0, 1, 100, 4095, 4096, 5000, 70_000])
data = st.sampled_from([b"", b"x", b"hello world", b"q" * 5000])
keys = st.sampled_from([b"user.one", b"user.two", b"user."] + ([b"trusted.one"] if ROOT else []))
values = st.sampled_from([b"", b"value", b"\0" * 100])
handles = st.integers(0, 3)
rename_flags = st.sampled_from([0, 0, 0, 1, 2, 4] if ROOT else [0, 0, 1, 2])
open_flags = st.sampled_from([os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_TRUNC, os.O_WRONLY])
allocations = st.sampled_from([0, 1, 3, 0x10, 0x11])


def outcome(operation: Callable[..., Any], *arguments: Any) -> Any:
    """What an operation answers: a value, or the errno that it fails with."""
    try:
        return operation(*arguments)
    except Refused as refusal:
        return OSError, refusal.code
    except OSError as error:
        return OSError, error.errno


class Folders(RuleBasedStateMachine):
    """Each rule does one operation on both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="ringzero-fuzz-"))
        for name in ("local", "served"):
            (self.place / name).mkdir(mode=0o755)
        self.local, self.served = Local(self.place / "local"), Served(self.place / "served")
        for folder in FOLDERS:
            self.both("mkdir", folder, 0o755)
        for file in FILES:
            self.both("create", 0, file, 0o644)
            self.both("write", 0, 0, b"content", False)
            self.both("release", 0)

    def teardown(self) -> None:
        try:
            self.compare((), self.place / "served")
        finally:
            self.local.close()
            self.served.close()
            shutil.rmtree(self.place, ignore_errors=True)

    def both(self, operation: str, *arguments: Any) -> Any:
        """The answer that both sides give."""
        wanted = outcome(getattr(self.local, operation), *arguments)
        found = outcome(getattr(self.served, operation), *arguments)
        assert found == wanted, f"{operation}{arguments}: {found} behind the server, not {wanted}"
        return wanted

    def compare(self, name: Name, host: Path) -> None:
        """Everything below a name."""
        seen = self.both("stat", name)
        if stat.S_ISLNK(seen.mode):
            self.both("readlink", name)
            return
        self.both("xattrs", name)
        if stat.S_ISDIR(seen.mode):
            for part in self.both("listing", name):
                self.compare((*name, part), host / os.fsdecode(part))
        elif stat.S_ISREG(seen.mode):
            other = self.place.joinpath("local", *map(os.fsdecode, name))
            assert host.read_bytes() == other.read_bytes(), f"the content of {name}"

    def taken(self, number: int) -> bool:
        return number in self.local.files

    # Names.

    @rule(name=names, kind=kinds, mode=modes)
    def mknod(self, name: Name, kind: int, mode: int) -> None:
        self.both("mknod", name, kind | mode & 0o777)

    @rule(name=names, mode=modes)
    def mkdir(self, name: Name, mode: int) -> None:
        self.both("mkdir", name, mode & 0o1777)

    @rule(name=names, to=st.sampled_from([b"a", b"../..", b"/etc/passwd"]))
    def symlink(self, name: Name, to: bytes) -> None:
        self.both("symlink", name, to)

    @rule(old=names, new=names)
    def link(self, old: Name, new: Name) -> None:
        self.both("link", old, new)

    @rule(name=names, folder=st.booleans())
    def remove(self, name: Name, folder: bool) -> None:
        self.both("remove", name, folder)

    @rule(old=names, new=names, flags=rename_flags)
    def rename(self, old: Name, new: Name, flags: int) -> None:
        self.both("rename", old, new, flags)

    @rule(name=names)
    def readlink(self, name: Name) -> None:
        if stat.S_ISLNK(getattr(outcome(self.local.stat, name), "mode", 0)):
            self.both("readlink", name)

    # What a file is.

    @rule(name=names, mode=modes)
    def chmod(self, name: Name, mode: int) -> None:
        if self.regular(name) or self.folder(name):
            self.both("chmod", name, mode)

    @precondition(lambda self: ROOT)
    @rule(name=names, uid=st.sampled_from([0, 5, 70_000]), gid=st.sampled_from([0, 6]))
    def chown(self, name: Name, uid: int, gid: int) -> None:
        if self.regular(name) or self.folder(name):
            self.both("chown", name, uid, gid)

    @rule(name=names, size=sizes)
    def truncate(self, name: Name, size: int) -> None:
        if self.regular(name):
            self.both("truncate", name, size)

    @rule(name=names, time=st.sampled_from([0, 1_700_000_000_123_456_789]))
    def set_mtime(self, name: Name, time: int) -> None:
        if self.regular(name) or self.folder(name):
            self.both("set_mtime", name, time)

    @rule(name=names, key=keys, value=values, flags=st.sampled_from([0, 1, 2]))
    def set_xattr(self, name: Name, key: bytes, value: bytes, flags: int) -> None:
        if self.regular(name) or self.folder(name):
            self.both("set_xattr", name, key, value, flags)

    @rule(name=names, key=keys)
    def remove_xattr(self, name: Name, key: bytes) -> None:
        if self.regular(name) or self.folder(name):
            self.both("remove_xattr", name, key)

    def regular(self, name: Name) -> bool:
        return stat.S_ISREG(getattr(outcome(self.local.stat, name), "mode", 0))

    def folder(self, name: Name) -> bool:
        return stat.S_ISDIR(getattr(outcome(self.local.stat, name), "mode", 0))

    # Open files.

    @rule(number=handles, name=names, mode=modes)
    def create(self, number: int, name: Name, mode: int) -> None:
        if not self.taken(number):
            self.both("create", number, name, mode & 0o777)

    @rule(number=handles, folder=folders, mode=modes)
    def temporary(self, number: int, folder: Name, mode: int) -> None:
        if not self.taken(number) and self.folder(folder):
            self.both("temporary", number, folder, mode & 0o777)

    @rule(number=handles, name=names, flags=open_flags)
    def open(self, number: int, name: Name, flags: int) -> None:
        if not self.taken(number) and self.regular(name):
            self.both("open", number, name, flags)

    @rule(number=handles, name=names)
    def link_open(self, number: int, name: Name) -> None:
        if self.taken(number):
            self.both("link_open", number, name)

    @rule(number=handles, offset=sizes, size=sizes)
    def read(self, number: int, offset: int, size: int) -> None:
        if self.taken(number):
            self.both("read", number, offset, size)

    @rule(number=handles, offset=sizes, data=data, append=st.booleans())
    def write(self, number: int, offset: int, data: bytes, append: bool) -> None:
        if self.taken(number):
            self.both("write", number, offset, data, append)

    @rule(number=handles, size=sizes)
    def resize(self, number: int, size: int) -> None:
        if self.taken(number):
            self.both("resize", number, size)

    @rule(number=handles, mode=allocations, offset=sizes, length=sizes)
    def allocate(self, number: int, mode: int, offset: int, length: int) -> None:
        if self.taken(number):
            self.both("allocate", number, mode, offset, length)

    @rule(source=handles, start=sizes, other=handles, to=sizes, length=sizes)
    def copy(self, source: int, start: int, other: int, to: int, length: int) -> None:
        if self.taken(source) and self.taken(other):
            self.both("copy", source, start, other, to, length)

    @rule(number=handles)
    def release(self, number: int) -> None:
        if self.taken(number):
            self.both("release", number)

    @rule()
    def forget(self) -> None:
        self.served.forget()

    @invariant()
    def open_files_look_alike(self) -> None:
        for number in self.local.files:
            self.both("fstat", number)
