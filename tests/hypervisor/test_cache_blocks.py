"""cbo.clean, cbo.flush and cbo.inval in guests: what a page must permit, and what they leave alone.

"A cache-block management instruction is permitted to access the specified cache block whenever a
load instruction or store instruction is permitted"; it "neither checks nor sets the dirty bit"
("CMO" 2.5.2, 2.5.3). What is refused is a store's fault with rs1 in stval. QEMU has no Zicbom
before 8.0, so this package's machine judges, whose own tests quote the same specification.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.host.build import Guest, build
from ringzero.isa.tools.program import assemble_text
from tests.hypervisor.carriers import ENTRY, RUNTIME, SMALL, on_machine, technique

V, R, W, X, A, D = 1, 2, 4, 8, 0x40, 0x80

# What stands in the pages' entries, and whether the operations are refused with Svade and Svadu.
PAGES = {
    "read-only": (V | R | A, False, False),
    "clean": (V | R | W | A, False, False),
    "dirty": (V | R | W | A | D, False, False),
    "not accessed": (V | R | W, True, False),
    "executable": (V | X | A, True, True),
    "invalid": (0, True, True),
}
FIRST, STORE_PAGE = 0x40_0000, 15

START = f"""
    la t0, handler
    csrw stvec, t0
    la t1, low
    la t2, page
    srli t2, t2, 2
    la t3, entries
    li t4, {len(PAGES)}
1:  lbu t5, 0(t3)
    or t5, t5, t2
    sd t5, 0(t1)
    addi t1, t1, 8
    addi t3, t3, 1
    addi t4, t4, -1
    bnez t4, 1b
    la t0, middle
    la t1, low
    srli t1, t1, 2
    ori t1, t1, 1
    sd t1, {8 * (FIRST >> 21)}(t0)
    srli t0, t0, 2
    ori t0, t0, 1
    la t1, root
    sd t0, 0(t1)
    li t0, {RAM_BASE >> 2 | 0xCF}
    sd t0, 16(t1)
    srli t1, t1, 12
    li t0, {8 << 60}
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    li s1, {FIRST + 8}
    li s2, {len(PAGES)}
next:
"""
EACH = """
    li s3, 0
    {operation} (s1)
    mv a0, s3
    call number
"""
END = """
    li t0, 4096
    add s1, s1, t0
    addi s2, s2, -1
    bnez s2, next
    call line
    la s1, low
    li s2, 6
2:  lbu a0, 0(s1)
    call number
    addi s1, s1, 8
    addi s2, s2, -1
    bnez s2, 2b
    li a0, 0
    call finish
.balign 4
handler:                        # s3: scause, and whether stval is what rs1 was
    csrr s3, scause
    csrr t0, stval
    sub t0, t0, s1
    snez t0, t0
    slli t0, t0, 8
    or s3, s3, t0
    csrr t0, sepc
    addi t0, t0, 4
    csrw sepc, t0
    sret
"""
TABLES = "".join(
    f"\n.balign 4096\n{name}: .zero 4096" for name in ("root", "middle", "low", "page")
)
OPERATIONS = ("cbo.clean", "cbo.flush", "cbo.inval")


@technique
@pytest.mark.parametrize("updates", [False, True], ids=["svade", "svadu"])
def test_cache_block_operations_need_only_a_readable_page_and_leave_d_alone(
    technique: str, updates: bool, tmp_path: Path
) -> None:
    each = "".join(EACH.format(operation=one) for one in OPERATIONS)
    entries = ", ".join(str(bits) for bits, _, _ in PAGES.values())
    source = f"{START}{each}{END}{RUNTIME}\nentries: .byte {entries}\n{TABLES}\n"
    guest = Guest(assemble_text(source, ENTRY), memory=SMALL, technique=technique,
                  updates_accessed=updates)  # fmt: skip
    ended = on_machine(build([guest]), tmp_path)
    faults, flags = ended.output.splitlines()[-2:]
    refused = {name: page[1 + updates] for name, page in PAGES.items()}
    expected = [STORE_PAGE * refused[name] for name in PAGES for _ in OPERATIONS]
    assert [int(one, 16) for one in faults.split()] == expected
    left = [bits | A * (updates and name == "not accessed") for name, (bits, *_) in PAGES.items()]
    assert [int(one, 16) for one in flags.split()] == left
    assert ended.code == 0
