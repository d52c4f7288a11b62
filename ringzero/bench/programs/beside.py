"""Stores into the 4 KiB page that holds the running loop, as small programs without a data
segment of their own, boot code and just-in-time compilers do."""

from __future__ import annotations

from ringzero.bare.stubs import stub
from ringzero.lang import ptr, u8, u64

beside = stub(
    "beside",
    """
    la t0, cells
    li t3, 1
again:
    andi t1, a0, 7
    slli t1, t1, 3
    add t1, t1, t0
    ld t2, 0(t1)
    add t2, t2, t3
    xor t3, t3, t2
    slli t4, t3, 13
    add t3, t3, t4
    sd t2, 0(t1)
    addi a0, a0, -1
    bnez a0, again
    mv a0, t3
    ret
    .balign 8
cells:
    .zero 64
    """,
    [u64, ptr[u8]],
    u64,
)
