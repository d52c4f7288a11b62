"""The firmware's assembly: reset, traps into M-mode, and the way down to S-mode."""

from __future__ import annotations

from ringzero.bare.stubs import offsets, stub
from ringzero.board import fw_dynamic
from ringzero.board.fw_dynamic import FirmwareInfo
from ringzero.firmware.layout import HARTS, STACK_SIZE
from ringzero.lang import Struct, u64


class Frame(Struct):
    """What a trap saves: the registers that compiled text may change, and sp."""

    ra: u64
    sp: u64
    t0: u64
    t1: u64
    t2: u64
    t3: u64
    t4: u64
    t5: u64
    t6: u64
    a0: u64
    a1: u64
    a2: u64
    a3: u64
    a4: u64
    a5: u64
    a6: u64
    a7: u64
    align: u64  # the stack pointer stays a multiple of 16


SAVED = [name for name in Frame.fields if name not in ("sp", "t0", "align")]

# a0 hart, a1 device tree, a2 fw_dynamic_info. One hart goes on; the others wait for it.
start = stub(
    "start",
    offsets(FirmwareInfo, "info.")
    + f"""
    csrw mie, zero
    la t0, stray
    csrw mtvec, t0
    li t0, {HARTS}
    bgeu a0, t0, asleep
    la sp, stacks
    li t0, {STACK_SIZE}
    addi t1, a0, 1
    mul t0, t0, t1
    add sp, sp, t0
    mv s0, a0
    mv s1, a1
    mv s2, a2

    li t0, {fw_dynamic.MAGIC}       # does the stage before choose the hart that boots?
    beqz a2, lottery
    ld t1, info.magic(a2)
    bne t0, t1, lottery
    ld t1, info.version(a2)
    li t0, {fw_dynamic.VERSION}
    bltu t1, t0, lottery
    ld t1, info.boot_hart(a2)
    beq t1, a0, chosen
    li t0, {fw_dynamic.ANY_HART}
    bne t1, t0, others
lottery:
    la t0, boot                     # boot.unclaimed
    amoswap.w t1, zero, (t0)
    beqz t1, others
chosen:
    la t0, _bss
    la t1, _end
clear:
    sd zero, 0(t0)
    addi t0, t0, 8
    bltu t0, t1, clear
    mv a0, s0
    mv a1, s1
    mv a2, s2
    call start_first
others:
    la t0, boot
held:
    lw t1, 4(t0)                    # boot.held
    bnez t1, held
    fence
    mv a0, s0
    call start_other
asleep:
    wfi
    j asleep
""",
)

trap = stub(
    "trap",
    offsets(Frame)
    + """
    csrrw sp, mscratch, sp          # mscratch: this hart's stack while S or U runs, else 0
    beqz sp, nested
    addi sp, sp, -size
    sd t0, t0(sp)
    csrrw t0, mscratch, zero
    sd t0, sp(sp)
"""
    + "\n".join(f"sd {name}, {name}(sp)" for name in SAVED)
    + """
    mv a0, sp
    call handle_trap
    addi t0, sp, size
    csrw mscratch, t0
"""
    + "\n".join(f"ld {name}, {name}(sp)" for name in SAVED)
    + """
    ld t0, t0(sp)
    ld sp, sp(sp)
    mret
nested:
    csrr sp, mscratch
    call stray
""",
)

# An exception inside the firmware itself: report it, and stop.
stray = stub(
    "stray",
    """
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    call fail
""",
)

# Leave for `mode` at `address` with a0 = hart, a1 = argument, and this hart's stack empty.
enter = stub(
    "enter",
    f"""
    csrw mepc, a0
    csrc mstatus, a4
    csrs mstatus, a3
    la t0, stacks
    li t1, {STACK_SIZE}
    addi t2, a1, 1
    mul t1, t1, t2
    add t0, t0, t1
    csrw mscratch, t0
    mv a0, a1
    mv a1, a2
    mret
""",
    [u64, u64, u64, u64, u64],
)

STUBS = (start, trap, stray, enter)
