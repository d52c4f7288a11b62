"""The paravirtual Linux, where it was built: under the hypervisor, bare, and on QEMU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringzero.compare.measure import Workload, workload
from ringzero.compare.techniques import TECHNIQUES, Task
from ringzero.hypervisor.host.build import Guest, build
from ringzero.images.paravirt_linux import find_paravirt_linux
from tests.hypervisor.carriers import MEGABYTE, on_qemu
from tests.limits import HUNG

pytestmark = [pytest.mark.slow, pytest.mark.needs_debian]
APPEND = "console=hvc0 panic=-1 ringzero.run=true"


@pytest.fixture(scope="module")
def image() -> Path:
    found = find_paravirt_linux()
    if found is None:
        pytest.skip("needs the Image that `ringzero image build paravirt-linux` makes")
    return found.kernel


def booted(technique: str, image: Path, initrd: Path) -> Workload:
    return workload(TECHNIQUES[technique], Task("boot", image, initrd, APPEND, 256 * MEGABYTE))


def test_few_exits_and_few_instructions_more(image: Path, debian_image: Any) -> None:
    runs = {
        name: booted(name, image, debian_image.initrd) for name in ("native", "trap", "paravirt")
    }
    exits = {name: sum(run.exits.values()) for name, run in runs.items()}
    assert exits["paravirt"] < 0.04 * exits["trap"]
    assert runs["paravirt"].total < 1.04 * runs["native"].total


@pytest.mark.needs_qemu
def test_boots_on_qemu(image: Path, debian_image: Any, tmp_path: Path) -> None:
    one = Guest(image, debian_image.initrd, APPEND, 256 * MEGABYTE, technique="paravirt")
    ended = on_qemu(build([one], report=True), tmp_path, timeout=HUNG)
    assert "ringzero: hypercalls 1.0" in ended.output
    assert ended.code == 0
