"""The full proof as a test: inside QEMU's SVM, where every exit and every ring is real."""

from __future__ import annotations

import shutil

import pytest

from ringzero.images import ImageError
from tests.kvm import nested


@pytest.mark.slow
def test_debian_cloud_kernel_boots_on_true_hardware_assistance() -> None:
    if shutil.which(nested.QEMU) is None:
        pytest.skip(f"{nested.QEMU} is not here (apt-get install qemu-system-x86)")
    try:
        nested.debian()
    except ImageError as error:
        pytest.skip(f"Debian's packages cannot be had: {error}")
    findings = nested.run("all", timeout=900)
    assert findings["kind"] == "svm"
    assert findings["reboot"] is True
    costs = findings["walk_ns"]
    assert isinstance(costs, dict)
    assert {"in", "vmmcall", "syscall", "page fault"} <= set(costs)
