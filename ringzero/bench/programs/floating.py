"""Floating point in doubles. Typed Python has no floats, so these are assembly.

Every operation is one of IEEE 754's, so the checksums are exact everywhere.
"""

from __future__ import annotations

from ringzero.bare.stubs import stub
from ringzero.lang import ptr, u8, u64

# z = z² + c from c = -2 + 3·x/256, y rows between -1.2 and 1.2; at most 256 steps each.
mandelbrot = stub(
    "mandelbrot",
    """
    li a2, 0                        # the sum of steps
    li a3, 0                        # row
    li t0, 256
    fcvt.d.w ft6, t0                # 256
    li t0, 4
    fcvt.d.w ft7, t0                # 4
    li t0, 3
    fcvt.d.w fa7, t0
    fdiv.d fa7, fa7, ft6            # 3/256
    li t0, 12
    fcvt.d.w fa6, t0
    li t0, 10
    fcvt.d.w ft0, t0
    fdiv.d fa6, fa6, ft0            # 1.2
    fcvt.d.l ft0, a0
    fadd.d ft1, fa6, fa6
    fdiv.d fa5, ft1, ft0            # 2.4/rows
    li t0, 2
    fcvt.d.w fa4, t0                # 2
row:
    fcvt.d.l ft0, a3
    fmul.d fa1, ft0, fa5
    fsub.d fa1, fa1, fa6            # imaginary part of c
    li a4, 0                        # column
column:
    fcvt.d.l ft0, a4
    fmul.d fa0, ft0, fa7
    fsub.d fa0, fa0, fa4            # real part of c
    fmv.d ft0, fa0
    fmv.d ft1, fa1
    li a5, 256
step:
    fmul.d ft2, ft0, ft0
    fmul.d ft3, ft1, ft1
    fadd.d ft4, ft2, ft3
    flt.d t0, ft7, ft4
    bnez t0, outside
    fmul.d ft5, ft0, ft1
    fsub.d ft0, ft2, ft3
    fadd.d ft0, ft0, fa0
    fadd.d ft1, ft5, ft5
    fadd.d ft1, ft1, fa1
    addi a2, a2, 1
    addi a5, a5, -1
    bnez a5, step
outside:
    addi a4, a4, 4
    li t0, 256
    bltu a4, t0, column
    addi a3, a3, 1
    bltu a3, a0, row
    mv a0, a2
    ret
    """,
    [u64, ptr[u8]],
    u64,
)

# A light body around a heavy one in three dimensions: a = -r/|r|³, semi-implicit Euler.
orbits = stub(
    "orbits",
    """
    li t0, 1
    fcvt.d.w fa0, t0                # x = 1
    fcvt.d.w ft11, t0               # the mass, 1
    fcvt.d.w fa1, zero              # y = 0
    li t0, 1024
    fcvt.d.w ft10, t0
    fdiv.d ft10, ft11, ft10         # the time step, 1/1024
    li t0, 7
    fcvt.d.w ft0, t0
    fdiv.d fa2, ft11, ft0           # z = 1/7
    fcvt.d.w fa3, zero              # vx = 0
    fmv.d fa4, ft11                 # vy = 1
    fmul.d fa5, fa2, fa2            # vz = 1/49
again:
    fmul.d ft0, fa0, fa0
    fmul.d ft1, fa1, fa1
    fmul.d ft2, fa2, fa2
    fadd.d ft0, ft0, ft1
    fadd.d ft0, ft0, ft2            # |r|²
    fsqrt.d ft1, ft0
    fmul.d ft1, ft1, ft0
    fdiv.d ft1, ft10, ft1           # step / |r|³
    fmul.d ft2, fa0, ft1
    fsub.d fa3, fa3, ft2
    fmul.d ft2, fa1, ft1
    fsub.d fa4, fa4, ft2
    fmul.d ft2, fa2, ft1
    fsub.d fa5, fa5, ft2
    fmul.d ft2, fa3, ft10
    fadd.d fa0, fa0, ft2
    fmul.d ft2, fa4, ft10
    fadd.d fa1, fa1, ft2
    fmul.d ft2, fa5, ft10
    fadd.d fa2, fa2, ft2
    addi a0, a0, -1
    bnez a0, again
    fmv.x.d a0, fa0
    fmv.x.d t0, fa1
    fmv.x.d t1, fa2
    xor a0, a0, t0
    xor a0, a0, t1
    ret
    """,
    [u64, ptr[u8]],
    u64,
)

# The product of two arrays of 1024 doubles, `count` times; every round changes one element.
dot = stub(
    "dot",
    """
    li t0, 1024
    fcvt.d.w ft7, t0
    li t1, 0
    mv t2, a1
fill:
    addi t1, t1, 1
    fcvt.d.w ft0, t1
    fdiv.d ft1, ft0, ft7
    fsd ft1, 0(t2)
    fdiv.d ft2, ft7, ft0
    li t3, 8192
    add t3, t3, t2
    fsd ft2, 0(t3)
    addi t2, t2, 8
    bltu t1, t0, fill
    fcvt.d.w fa1, zero              # the sum of all products
again:
    fcvt.d.w fa0, zero
    mv t2, a1
    li t3, 8192
    add t3, t3, a1
    li t1, 256
four:
    fld ft0, 0(t2)
    fld ft1, 0(t3)
    fmadd.d fa0, ft0, ft1, fa0
    fld ft0, 8(t2)
    fld ft1, 8(t3)
    fmadd.d fa0, ft0, ft1, fa0
    fld ft0, 16(t2)
    fld ft1, 16(t3)
    fmadd.d fa0, ft0, ft1, fa0
    fld ft0, 24(t2)
    fld ft1, 24(t3)
    fmadd.d fa0, ft0, ft1, fa0
    addi t2, t2, 32
    addi t3, t3, 32
    addi t1, t1, -1
    bnez t1, four
    fadd.d fa1, fa1, fa0
    fadd.d ft0, fa0, ft7
    fdiv.d ft0, fa0, ft0            # less than 1, whatever the sum
    andi t1, a0, 1023
    slli t1, t1, 3
    add t1, t1, a1
    fsd ft0, 0(t1)
    addi a0, a0, -1
    bnez a0, again
    fmv.x.d a0, fa1
    ret
    """,
    [u64, ptr[u8]],
    u64,
)
