"""What all tests share: reasons to skip where the host lacks something, and fetched images.

A test says what it needs with a marker `needs_…`; here stands how that is found out, and the
sentence that the summary shows where it is missing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

OPENSBI = Path("/usr/lib/riscv64-linux-gnu/opensbi/generic")
UBOOT = Path("/usr/lib/u-boot/qemu-riscv64_smode")


def _debian_is_here() -> bool:
    from ringzero.cli.views.inventory import inventory

    return any(entry.name == "debian" for entry in inventory())


NEEDS: dict[str, tuple[Callable[[], object], str]] = {
    "needs_qemu": (
        lambda: shutil.which("qemu-system-riscv64"),
        "this host has no qemu-system-riscv64 (apt-get install qemu-system-misc)",
    ),
    "needs_opensbi": (
        lambda: (OPENSBI / "fw_dynamic.bin").exists(),
        "this host has no OpenSBI for riscv64 (apt-get install opensbi)",
    ),
    "needs_uboot": (
        lambda: UBOOT.is_dir(),
        "this host has no U-Boot for QEMU's board (apt-get install u-boot-qemu)",
    ),
    "needs_dtc": (
        lambda: shutil.which("dtc"),
        "this host has no device tree compiler (apt-get install device-tree-compiler)",
    ),
    "needs_binutils": (
        lambda: shutil.which("riscv64-linux-gnu-objdump"),
        "this host has no binutils for riscv64 (apt-get install binutils-riscv64-linux-gnu)",
    ),
    "needs_spike": (
        lambda: importlib.util.find_spec("riscv"),
        "the Python package spike is not installed (make setup-dev)",
    ),
    "needs_debian": (
        _debian_is_here,
        "no Debian image was fetched (ringzero image fetch debian)",
    ),
    "needs_kvm": (
        lambda: os.access("/dev/kvm", os.R_OK | os.W_OK),
        "this host has no usable /dev/kvm (ringzero doctor says what to do)",
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip each test whose needs this host does not meet; each need is looked up once."""
    lacking: dict[str, bool] = {}
    for item in items:
        for name, (look, reason) in NEEDS.items():
            if item.get_closest_marker(name) is None:
                continue
            if name not in lacking:
                lacking[name] = not look()
            if lacking[name]:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def debian_image() -> object:
    """Debian's kernel and initramfs from the cache; for tests marked `needs_debian`."""
    from ringzero.images import fetch_debian

    if not _debian_is_here():
        pytest.skip(NEEDS["needs_debian"][1])
    return fetch_debian()
