"""Guests on the hypervisor, on QEMU and on this package's machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import guests
from ringzero.hypervisor.host import report
from ringzero.hypervisor.host.build import Guest, GuestError, build
from tests.hypervisor.carriers import CARRIERS, MEGABYTE, carrier, on_qemu, small, technique
from tests.limits import HUNG

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


@technique
@carrier
def test_small_guest(carrier: str, technique: str, tmp_path: Path) -> None:
    ended = CARRIERS[carrier](small(HELLO, technique=technique), tmp_path)
    shown = [int(word, 16) for word in ended.output.split()]
    assert shown == [2, 0, 0x1234]
    assert ended.code == 7


FLAWS = {("qemu", "hardware"): {"sip shows a timer that is due"}}
"""Tests that a carrier makes fail: QEMU before 8.1 shows VS-mode no bit of sip but SSIP."""


@technique
@carrier
@pytest.mark.parametrize("updates", [False, True])
def test_kernel_passes_its_tests(
    carrier: str, updates: bool, technique: str, tmp_path: Path
) -> None:
    flat = guests.build("kernel").flat
    one = Guest(flat, memory=128 * MEGABYTE, updates_accessed=updates, technique=technique)
    built = build([one])
    ended = CARRIERS[carrier](built, tmp_path)
    lines = ended.output.splitlines()
    results = [line for line in lines if line.startswith("test ")]
    failed = {line[5:-5] for line in results if not line.endswith(" ok")}
    assert failed <= FLAWS.get((carrier, technique), set())
    count = len(results) - len(failed)
    assert f"kernel: {count} tests ok, {len(failed)} failed" in lines
    assert len(results) > 70
    assert ended.code == bool(failed)


def test_bad_wishes_are_refused() -> None:
    with pytest.raises(GuestError, match="1 to 8 are possible"):
        build([])
    with pytest.raises(GuestError, match="multiple of 2 MiB"):
        build([Guest(b"", memory=3 * MEGABYTE)])
    with pytest.raises(GuestError, match="no room"):
        build([Guest(bytes(16 * MEGABYTE), memory=8 * MEGABYTE)])


@pytest.mark.needs_qemu
def test_files_beside_the_hypervisor(tmp_path: Path) -> None:
    """The kernel stays a file, which QEMU's loader puts into the slice."""
    kernel = guests.build("kernel")
    file = tmp_path / "kernel"
    file.write_bytes(kernel.flat)
    built = build([Guest(file, memory=128 * MEGABYTE)], embed=False)
    assert [piece.content for piece in built.files] == [file]
    options = [
        word
        for piece in built.files
        for word in ("-device", f"loader,file={file},addr={piece.address:#x},force-raw=on")
    ]
    ended = on_qemu(built, tmp_path, *options)
    assert ended.code == 0
    assert "0 failed" in ended.output


def test_the_host_reads_the_exit_table(tmp_path: Path) -> None:
    from ringzero import Machine

    built = small(HELLO)
    file = tmp_path / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory="96M", clock="instructions") as machine:
        machine.run(timeout=HUNG)
        total = machine.harts.elapsed
        (one,) = report.read(built.image, machine.memory.read)
    assert (one.state, one.exit_code) == ("stopped", 7)
    counts = {(row.kind, row.name): row.count for row in one.exits}
    assert counts["csr", "sstatus"] == 4
    assert counts["csr", "sscratch"] == 2
    assert one.user == 0
    # what is neither the guest's nor spent on its exits is the start of the hypervisor itself
    assert one.kernel + one.hypervisor < total
    assert "sscratch" in report.text([one])
    assert one.data()["exits"][0]["count"] > 0


@technique
@carrier
def test_a_guest_whose_trap_handler_cannot_be_fetched_ends_with_a_sentence(
    carrier: str, technique: str, tmp_path: Path
) -> None:
    """A kernel for M-mode would trap for ever at address 0, where its stvec points."""
    ended = CARRIERS[carrier](small("csrr t0, mhartid\n", technique=technique), tmp_path)
    assert "vm0: its trap handler at 0x0 cannot be fetched (scause 1)" in ended.output
    assert ended.code == 1
