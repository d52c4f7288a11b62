"""The initramfs: busybox and `init.sh`, with kernel modules.

Built in memory from a package's files; nothing is unpacked on the host and no root is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ringzero.images import busybox, cpio, tree

MODULE_LIST = "usr/lib/ringzero-modules"


def initramfs(
    program: bytes, modules: Sequence[tree.Node] = (), extra: Iterable[tree.Node] = ()
) -> bytes:
    """A compressed archive that boots to a shell; `modules` are loaded in the order given."""
    nodes = [
        *busybox.skeleton(),
        *busybox.user_space(program),
        tree.symlink("init", "usr/sbin/init"),
        *modules,
        *extra,
    ]
    if modules:
        listing = "".join(f"/{module.path}\n" for module in modules)
        nodes.append(tree.file(MODULE_LIST, listing.encode()))
    return cpio.compressed(nodes)
