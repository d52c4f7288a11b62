"""The image that x86-64 guests boot: Debian's cloud kernel, with the modules that this board needs.

The cloud flavour has its serial port, console and folders built in, and boots in half the time of
the usual one. Nothing else of Debian is fetched than that and busybox.
"""

from __future__ import annotations

from pathlib import Path

from ringzero.images import DebianImage, Progress, fetch_debian
from ringzero.images.cache import silent
from ringzero.kvm.board.layout import GUEST_MODULES

NAME = "debian-amd64"
"""What `ringzero image` calls it beside the RISC-V one."""
FLAVOUR = "cloud-amd64"


def fetch_cloud_debian(
    suite: str = "trixie",
    mirror: str | None = None,
    debs: Path | None = None,
    progress: Progress = silent,
    refresh: bool = False,
) -> DebianImage:
    """Debian's newest cloud kernel for amd64 and an initramfs with busybox."""
    return fetch_debian(
        "amd64",
        suite=suite,
        mirror=mirror,
        debs=debs,
        packages=None,
        modules=GUEST_MODULES,
        progress=progress,
        refresh=refresh,
        flavour=FLAVOUR,
    )
