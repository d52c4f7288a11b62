"""Makes small Debian packages for tests, by the book and damaged."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
from pathlib import Path


def tar(files: dict[str, bytes | str | tuple[str, int, int]]) -> bytes:
    """A tar of files (bytes), links (str) and others: (kind, number, number)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.mode, data = 0o644, b""
            if isinstance(content, bytes):
                info.size, data = len(content), content
                info.mode = 0o4755 if name.endswith("su") else 0o644
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            elif content[0] == "folder":
                info.type, info.mode = tarfile.DIRTYPE, content[1]
            elif content[0].startswith("hard:"):
                info.type, info.linkname = tarfile.LNKTYPE, content[0][5:]
            else:
                info.type = tarfile.CHRTYPE
                info.devmajor, info.devminor = content[1:]
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def ar(members: dict[str, bytes]) -> bytes:
    """An ar archive."""
    out = bytearray(b"!<arch>\n")
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) & 1)
    return bytes(out)


def make(
    place: Path,
    name: str,
    files: dict[str, bytes | str | tuple[str, int, int]] | None = None,
    version: str = "1.0",
    packing: str = "xz",
    architecture: str = "riscv64",
    **fields: str,
) -> Path:
    """A package in a directory."""
    lines = {"Package": name, "Version": version, "Architecture": architecture, **fields}
    text = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in lines.items())
    packed = tar(files or {})
    if packing:
        packed = lzma.compress(packed) if packing == "xz" else gzip.compress(packed, mtime=0)
    suffix = f".{packing}" if packing else ""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": gzip.compress(tar({"control": text.encode()}), mtime=0),
        f"data.tar{suffix}": packed,
    }
    path = place / f"{name}_{version}_{architecture}.deb"
    path.write_bytes(ar(members))
    return path


APPLETS = [f"applet{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]


BUSYBOX = b"\x7fELF junk\0[\0[[\0" + b"".join(a.encode() + b"\0" for a in APPLETS) + b"\0rest"


def module(name: str, depends: str, *more: str) -> bytes:
    """A minimal ELF with a .modinfo section, as a kernel module has."""
    texts = ["license=GPL", f"depends={depends}", f"name={name}", *more]
    info = b"".join(text.encode() + b"\0" for text in texts)
    names = b"\0.modinfo\0.shstrtab\0"
    header = b"\x7fELF\2\1\1" + bytes(9)
    at = 64 + 3 * 64
    header += struct.pack("<HHIQQQIHHHHHH", 1, 243, 1, 0, 0, 64, 0, 64, 0, 0, 64, 3, 2)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, at, len(info), 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 10, 3, 0, 0, at + len(info), len(names), 0, 0, 1, 0)
    return header + sections + info + names
