"""The full proof as a test: inside QEMU's SVM, where every exit and every ring is real."""

from __future__ import annotations

import os
import shutil

import pytest

from ringzero.images import ImageError
from tests.kvm import nested


def test_without_qemu_a_sentence_and_126(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["nested"])
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert nested.main() == 126
    assert "apt-get install qemu-system-x86" in capsys.readouterr().err


@pytest.mark.slow
def test_debian_cloud_kernel_boots_on_true_hardware_assistance() -> None:
    if not os.environ.get("RINGZERO_TEST_KVM"):
        pytest.skip(
            "takes minutes of both cores; `make test-kvm` is the same, or RINGZERO_TEST_KVM=1"
        )
    if shutil.which(nested.QEMU) is None:
        pytest.skip(f"{nested.QEMU} is not here (apt-get install qemu-system-x86)")
    try:
        nested.debian()
    except ImageError as error:
        pytest.skip(f"Debian's packages cannot be had: {error}")
    findings = nested.run("all", timeout=900)
    assert findings["kind"] == "svm"
    assert findings["reboot"] is True
    assert findings["command_exit_code"] == 5
    costs = findings["walk_ns"]
    assert isinstance(costs, dict)
    assert {"in", "vmmcall", "syscall", "page fault"} <= set(costs)
