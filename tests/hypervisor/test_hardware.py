"""Guests in VS-mode: beside others of any technique, with large pages, and where there is no H."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import Machine, guests
from ringzero.hypervisor.host import report
from ringzero.hypervisor.host.build import Guest, build
from ringzero.hypervisor.vm.state import SLICES
from ringzero.outcome import PoweredOff
from tests.hypervisor.carriers import CARRIERS, MEGABYTE, carrier, guest, small
from tests.limits import HUNG

GIGABYTE = 1 << 30


@carrier
@pytest.mark.parametrize("other", ["hardware", "trap"])
def test_kernels_side_by_side(carrier: str, other: str, tmp_path: Path) -> None:
    """Two kernels test themselves while slices end within their tests."""
    flat = guests.build("kernel").flat
    pair = [Guest(flat, memory=64 * MEGABYTE, technique=one) for one in ("hardware", other)]
    ended = CARRIERS[carrier](build(pair, slice_ticks=2000), tmp_path)
    for index, technique in enumerate(("hardware", other)):
        own = [line for line in ended.output.splitlines() if line.startswith(f"[vm{index}] test")]
        failed = [line for line in own if not line.endswith(" ok")]
        flawed = carrier == "qemu" and technique == "hardware"  # see test_guests.FLAWS
        assert len(own) > 70
        assert all(flawed and "sip shows a timer" in line for line in failed), failed


@pytest.mark.parametrize("engine", ["interpreter", "auto"])
def test_without_h_it_is_refused(engine: str, tmp_path: Path) -> None:
    built = build([guest("1: j 1b\n", technique="hardware"), guest("li a0, 0\ncall finish\n")])
    file = tmp_path / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory="96M", engine=engine, hypervisor_extension=False) as machine:
        outcome = machine.run(timeout=HUNG)
        output = machine.recorder.data.decode()
        states = [
            (one.state, one.exit_code) for one in report.read(built.image, machine.memory.read)
        ]
    assert outcome == PoweredOff(126)
    assert "vm0: --cpu hardware needs the hypervisor extension (H)" in output
    assert states == [("crashed", 126), ("stopped", 0)]  # the other one ran


TOUCH = """
    li t0, 0xFFE00000           # near the end of the first two gigabytes
    sd t0, 0(t0)
    ld t1, 0(t0)
    bne t0, t1, 9f
    li t0, 0xC0000000
    sd t0, 8(t0)
    li t0, 0x80100000
    sd t0, 8(t0)
    li a0, 0
    call finish
9:  li a0, 99
    call finish
"""


def test_pages_as_large_as_their_place_permits(tmp_path: Path) -> None:
    """A VM whose slice begins 1 GiB after where the guest sees it: whole gigabytes are mapped."""
    first = guest("li a0, 0\ncall finish\n", 3 * GIGABYTE - SLICES)
    built = build([first, guest(TOUCH, 2 * GIGABYTE, "hardware")])
    file = tmp_path / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory=built.memory, clock="instructions") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)
        _, one = report.read(built.image, machine.memory.read)
    # each of its two gigabytes is mapped whole when it is first touched
    assert one.shadow["fills"] == 2


ACCESSES = """
    li s0, 0x10000000
    lbu t0, 5(s0)               # LSR
    andi a0, t0, 0x60
    call number
    li t1, 0x5A
    sb t1, 7(s0)
    lb s1, 7(s0)                # into a register that calls preserve
    mv a0, s1
    call number
    li a5, 0x02004000
    .word 0x00014398            # c.lw a4, 0(a5): a guest has no CLINT; c.nop
    li a0, 7
    call finish
.align 2
trapped:
    csrr a0, scause
    call number
    csrr a0, stval
    call number
    li a0, 0
    call finish
"""


@carrier
def test_devices(carrier: str, tmp_path: Path) -> None:
    source = "la t0, trapped\ncsrw stvec, t0\n" + ACCESSES
    ended = CARRIERS[carrier](small(source, technique="hardware"), tmp_path)
    assert [int(word, 16) for word in ended.output.split()] == [0x60, 0x5A, 5, 0x200_4000]
    assert ended.code == 0


def test_every_exit_is_in_one_row(tmp_path: Path) -> None:
    """Guest and hypervisor together are all that the hart retired, but for its start."""
    built = small(
        "csrr t0, instret\n" + ACCESSES.replace(".word 0x00014398", ""), technique="hardware"
    )
    file = tmp_path / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory="96M", clock="instructions") as machine:
        machine.run(timeout=HUNG)
        retired = machine.counters().instructions
        (one,) = report.read(built.image, machine.memory.read)
    counts = {(row.kind, row.name): row.count for row in one.exits}
    assert counts["csr", "instret"] == 1
    assert counts["instruction", "load"] == 2
    assert counts["instruction", "store"] == 1
    assert one.kernel == retired["VS"] + 4  # with the instructions that were executed for it
    assert one.user == 0
    shown = report.text([one])
    assert f"guest      {one.kernel:15,} instructions" in shown
    assert "G-stage tables: fills 1" in shown
