"""Debian packages: an `ar` archive of a control tar and a data tar (deb(5)).

Read as a stream and only as far as needed, so that a kernel is taken from the front of a package of
a hundred megabytes without unpacking the rest.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from ringzero.images.errors import ImageError
from ringzero.images.tree import Node, clean_path

AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60

Watch = Callable[[int], None]


class Member(io.RawIOBase):
    """The bytes of one member of an `ar` archive as a file."""

    def __init__(self, file: IO[bytes], start: int, size: int, watch: Watch) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0
        self._watch = watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        self._file.seek(self._start + self._at)
        data = self._file.read(min(len(view), self._size - self._at))
        view[: len(data)] = data
        self._at += len(data)
        self._watch(self._start + self._at)
        return len(data)


def _unwatched(position: int) -> None:
    pass


def _members(file: IO[bytes], name: Path) -> Iterator[tuple[str, int, int]]:
    """Names, offsets and sizes of an `ar` archive's members."""
    if file.read(8) != AR_MAGIC:
        raise ImageError(f"{name} is not a Debian package; remove it or fetch it again.")
    position, end = 8, os.fstat(file.fileno()).st_size
    while True:
        file.seek(position)
        header = file.read(AR_HEADER)
        if not header:
            return
        digits = header[48:58].strip()
        if header[58:60] != b"`\n" or not digits.isdigit():
            raise ImageError(f"{name} is cut short or damaged; remove it and fetch it again.")
        size = int(digits)
        if position + AR_HEADER + size > end:
            raise ImageError(f"{name} is cut short; remove it and fetch it again.")
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), position + AR_HEADER, size
        position += AR_HEADER + size + (size & 1)


@contextlib.contextmanager
def _tar(package: Path, part: str, watch: Watch = _unwatched) -> Iterator[tarfile.TarFile]:
    """The `control` or the `data` tar of a package, as a stream."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(package.open("rb"))
        for name, start, size in _members(file, package):
            if name.partition(".")[0] == part and ".tar" in name:
                member = cast(io.RawIOBase, Member(file, start, size, watch))
                raw = cast(IO[bytes], io.BufferedReader(member, 1 << 16))
                stream = _decompressed(raw, name, package)
                yield stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))
                return
    raise ImageError(f"{package} has no {part} archive; remove it and fetch it again.")


def _decompressed(raw: IO[bytes], name: str, package: Path) -> IO[bytes]:
    match name.rpartition(".")[2]:
        case "xz" | "lzma":
            return cast(IO[bytes], lzma.LZMAFile(raw))
        case "gz":
            return cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb"))
        case "tar":
            return raw
        case "zst":
            return _unzstd(raw, package)
        case other:
            raise ImageError(f"{package} is compressed with {other}, which is not known here.")


def _unzstd(raw: IO[bytes], package: Path) -> IO[bytes]:
    program = shutil.which("zstd")
    if program is None:
        raise ImageError(f"{package} is compressed with zstd; install the program `zstd`.")
    done = subprocess.run([program, "-dcq"], input=raw.read(), capture_output=True, check=False)
    if done.returncode:
        raise ImageError(f"{package} is damaged ({done.stderr.decode().strip()}); fetch it again.")
    return io.BytesIO(done.stdout)


@contextlib.contextmanager
def _readable(package: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, lzma.LZMAError, EOFError, gzip.BadGzipFile, OSError) as error:
        raise ImageError(
            f"{package} cannot be unpacked ({error}); remove it and fetch it again."
        ) from error


def control(package: Path) -> dict[str, str]:
    """The fields of a package's control file."""
    with _readable(package), _tar(package, "control") as tar:
        for member in tar:
            if clean_path(member.name) == "control":
                content = tar.extractfile(member)
                assert content is not None
                return fields(content.read().decode("utf-8", "replace"))
    raise ImageError(f"{package} has no control file; remove it and fetch it again.")


def fields(paragraph: str) -> dict[str, str]:
    """One paragraph of deb822 text; continuation lines are joined to their field."""
    result: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line[:1] in (" ", "\t"):
            result[name] = result.get(name, "") + "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            result[name] = value.strip()
    return result


def contents(
    package: Path,
    wanted: Callable[[str], bool] = lambda path: True,
    watch: Watch = _unwatched,
) -> Iterator[Node]:
    """The files of a package whose path is wanted, in the package's order.

    `watch` is told how many bytes of the package have been read; who has what they wanted stops
    iterating, and no more is unpacked.
    """
    with _readable(package), _tar(package, "data", watch) as tar:
        for member in tar:
            path = clean_path(member.name)
            if wanted(path):
                yield _node(tar, member, path)


KINDS = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


def _node(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> Node:
    data = b""
    if member.isreg():
        content = tar.extractfile(member)
        assert content is not None
        data = content.read()
    elif member.issym():
        data = member.linkname.encode()
    return Node(
        path=path,
        mode=KINDS.get(member.type, stat.S_IFREG) | member.mode,
        data=data,
        uid=member.uid,
        gid=member.gid,
        rdev=(member.devmajor, member.devminor) if member.isdev() else (0, 0),
        hardlink=clean_path(member.linkname) if member.islnk() else None,
        mtime=int(member.mtime),
    )
