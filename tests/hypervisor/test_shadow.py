"""Shadow tables under stress, and what VMs must not share: floating-point registers."""

from __future__ import annotations

from pathlib import Path

from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.host import report
from ringzero.hypervisor.host.build import build
from ringzero.hypervisor.vm.state import POOL_SIZE
from tests.hypervisor.carriers import CARRIERS, carrier, guest, technique

LEAF = 0xC7  # V R W A D

# One page at 1536 addresses, each in another 2 MiB: every one takes a shadow table of its own.
MANY = f"""
    la t0, middle
    la t1, low
    srli t2, t1, 2
    ori t2, t2, 1
    li t3, 512
1:  sd t2, 0(t0)
    addi t0, t0, 8
    addi t3, t3, -1
    bnez t3, 1b
    la t0, page
    srli t0, t0, 2
    ori t0, t0, {LEAF}
    sd t0, 0(t1)
    la t0, root
    la t1, middle
    srli t1, t1, 2
    ori t1, t1, 1
    sd t1, 0(t0)
    sd t1, 8(t0)
    sd t1, 24(t0)
    li t1, {RAM_BASE >> 2 | 0xCF}
    sd t1, 16(t0)
    srli t0, t0, 12
    li t1, {8 << 60}
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    li s2, 3                    # rounds
    li s1, 0                    # what the page holds
round:
    li s3, 0
gigabyte:
    slli s4, s3, 30
    li s5, 512
    li s6, {1 << 21}
2:  ld t0, 0(s4)
    bne t0, s1, wrong
    addi s1, s1, 1
    sd s1, 0(s4)
    add s4, s4, s6
    addi s5, s5, -1
    bnez s5, 2b
    addi s3, s3, 1
    li t0, 2
    bne s3, t0, 3f
    li s3, 3
3:  li t0, 4
    bne s3, t0, gigabyte
    addi s2, s2, -1
    bnez s2, round
    la t0, page
    ld t0, 0(t0)
    bne t0, s1, wrong
    li a0, 0
    call finish
wrong:
    li a0, 99
    call finish
"""
TABLES = "".join(
    f"\n.balign 4096\n{name}: .zero 4096" for name in ("root", "middle", "low", "page")
)


@carrier
def test_used_up_pool_begins_again(carrier: str, tmp_path: Path) -> None:
    assert POOL_SIZE // 4096 < 1536
    many = build([guest(MANY + TABLES + "\n")], report=True)
    ended = CARRIERS[carrier](many, tmp_path)
    assert ended.code == 0
    recycled = next(line for line in ended.output.splitlines() if "shadow recycles" in line)
    assert int(recycled.split()[-1]) >= 3


def floats(seed: int) -> str:
    fill = "".join(f"addi t0, t0, 1\nfmv.d.x f{i}, t0\n" for i in range(32))
    check = "".join(f"addi t0, t0, 1\nfmv.x.d t1, f{i}\nbne t0, t1, wrong\n" for i in range(32))
    return f"""
    li t0, 0x6000
    csrs sstatus, t0
    li t0, {seed}
    {fill}
    li t0, {seed & 7}
    csrw frm, t0
    li s1, 4000
again:
    li t0, {seed}
    {check}
    csrr t0, frm
    li t1, {seed & 7}
    bne t0, t1, wrong
    addi s1, s1, -1
    bnez s1, again
    li a0, 0
    call finish
wrong:
    li a0, 99
    call finish
"""


@technique
@carrier
def test_each_has_its_floats(carrier: str, technique: str, tmp_path: Path) -> None:
    sources = [floats(0x1111_0001), floats(0x2222_0002), floats(0x3333_0003)]
    built = build([guest(source, technique=technique) for source in sources], slice_ticks=100)
    assert CARRIERS[carrier](built, tmp_path).code == 0


@technique
def test_slices_are_shared_fairly(technique: str, tmp_path: Path) -> None:
    """Three guests that never stop: each gets its third of the instructions."""
    from ringzero import Machine

    spinning = guest("1: addi t0, t0, 1\n j 1b\n", technique=technique)
    built = build([spinning] * 3, slice_ticks=1000)
    file = tmp_path / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory="96M", clock="instructions") as machine:
        machine.run(instructions=40_000_000)
        reports = report.read(built.image, machine.memory.read)
    counts = [one.kernel for one in reports]
    assert min(counts) > 0.3 * sum(counts)
    assert sum(counts) > 0.95 * 39_000_000
