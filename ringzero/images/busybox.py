"""A small user space around one statically linked busybox: its links, /etc, and /sbin/init.

The same nodes make the initramfs and the start of a virtio-fs root. Debian's busybox-static comes
without links to its applets, and cannot be asked for their names on a host of another
architecture, so they are read from the table in the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

from ringzero.images import tree
from ringzero.images.errors import ImageError

# libbb's applet_names: NUL-terminated names in order, an empty one at the end.
APPLETS = re.compile(rb"\[\0\[\[\0((?:[a-z0-9][\w.+-]*\0){20,})\0")

FOLDERS = {
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr/bin": 0o755,
    "usr/lib": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}
MERGED = ("bin", "sbin", "lib")
"""Debian's /bin, /sbin and /lib are links into /usr."""

SYSTEM_APPLETS = ("modprobe", "insmod", "poweroff", "reboot", "halt", "mdev", "switch_root")
"""What the kernel and scripts look for in /sbin."""

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "ringzero\n",
}


def applets(busybox: bytes) -> list[str]:
    """The names of the programs that a busybox is."""
    table = APPLETS.search(busybox)
    if table is None:
        raise ImageError("The busybox-static package holds a busybox without a table of applets.")
    return ["[", "[[", *table.group(1).decode().rstrip("\0").split("\0")]


def init_script() -> bytes:
    """The program that the kernel starts first; `init.sh` beside this file."""
    return resources.files("ringzero.images").joinpath("init.sh").read_bytes()


def skeleton() -> Iterator[tree.Node]:
    """The folders, links and device nodes that the first program needs."""
    yield tree.folder("")
    for path, permissions in FOLDERS.items():
        yield tree.folder(path, permissions)
    for name in MERGED:
        yield tree.symlink(name, f"usr/{name}")
    yield tree.character_device("dev/console", 5, 1)
    yield tree.character_device("dev/null", 1, 3, 0o666)


def user_space(busybox: bytes) -> Iterator[tree.Node]:
    """busybox with a link for every applet, a minimal /etc and /sbin/init."""
    yield tree.file("usr/bin/busybox", busybox, 0o755)
    for name in applets(busybox):
        if name not in ("busybox", "init"):
            yield tree.symlink(f"usr/bin/{name}", "busybox")
    for name in SYSTEM_APPLETS:
        yield tree.symlink(f"usr/sbin/{name}", "../bin/busybox")
    for path, text in FILES.items():
        yield tree.file(path, text.encode())
    yield tree.file("usr/sbin/init", init_script(), 0o755)
