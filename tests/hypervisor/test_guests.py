"""Guests on the hypervisor, on QEMU and on this package's machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import guests
from ringzero.hypervisor.build import Guest, GuestError, build
from tests.hypervisor.carriers import CARRIERS, MEGABYTE, small

carrier = pytest.mark.parametrize(
    "carrier", [pytest.param("qemu", marks=pytest.mark.needs_qemu), "machine"]
)

HELLO = """
    csrr t0, sstatus
    csrsi sstatus, 2
    csrrci s1, sstatus, 2
    andi a0, s1, 2
    call number
    csrr a0, sstatus
    andi a0, a0, 2
    call number
    li s1, 0x1234
    csrw sscratch, s1
    csrr a0, sscratch
    call number
    call line
    li a0, 7
    call finish
"""


@carrier
def test_small_guest(carrier: str, tmp_path: Path) -> None:
    ended = CARRIERS[carrier](small(HELLO), tmp_path)
    shown = [int(word, 16) for word in ended.output.split()]
    assert shown == [2, 0, 0x1234]
    assert ended.code == 7


@carrier
@pytest.mark.parametrize("updates", [False, True])
def test_kernel_passes_its_tests(carrier: str, updates: bool, tmp_path: Path) -> None:
    kernel = guests.build("kernel")
    built = build([Guest(kernel.flat, memory=128 * MEGABYTE, updates_accessed=updates)])
    ended = CARRIERS[carrier](built, tmp_path)
    lines = ended.output.splitlines()
    results = [line for line in lines if line.startswith("test ")]
    assert not [line for line in results if not line.endswith(" ok")]
    assert f"kernel: {len(results)} tests ok, 0 failed" in lines
    assert len(results) > 70
    assert ended.code == 0


def test_bad_wishes_are_refused() -> None:
    with pytest.raises(GuestError, match="1 to 8 are possible"):
        build([])
    with pytest.raises(GuestError, match="multiple of 2 MiB"):
        build([Guest(b"", memory=3 * MEGABYTE)])
    with pytest.raises(GuestError, match="no room"):
        build([Guest(bytes(16 * MEGABYTE), memory=8 * MEGABYTE)])
