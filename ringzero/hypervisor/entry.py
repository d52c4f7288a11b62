"""The hypervisor's assembly: reset, the world switch, and floating-point state.

While a guest runs, mscratch points to its Vm, whose first words are the virtual hart's registers:
the switch saves them where the isa's text looks for them. `quick_exit` may answer the exit at once
(quick.py); otherwise `handle_exit` does, and says whose world to enter.
"""

from __future__ import annotations

from ringzero.bare.stubs import assembled, offsets, stub
from ringzero.hypervisor.layout import STACK_SIZE, Vm
from ringzero.isa.hart import Hart
from ringzero.isa.names import X_NUMBERS
from ringzero.lang import u64
from ringzero.lang.host import view

CALLER_SAVED = ["ra", "t0", "t1", "t2", "t3", "t4", "t5", *(f"a{i}" for i in range(8))]
CALLEE_SAVED = ["gp", "tp", *(f"s{i}" for i in range(12))]
RESUMED = view(Vm).resumed.offset


def moves(operation: str, registers: list[str]) -> str:
    """Loads or stores of guest registers, with t6 pointing to the Vm."""
    return "".join(f"{operation} {name}, {8 * X_NUMBERS[name]}(t6)\n" for name in registers)


def back(registers: list[str]) -> str:
    """Note when the guest goes on, in instructions retired; load its registers; go."""
    count = len(registers) + 4  # csrr, addi, sd before the loads, and mret
    return f"""
    csrr t0, minstret
    addi t0, t0, {count}
    sd t0, {RESUMED}(t6)
    {moves("ld", registers)}
    mret
"""


RESUME = back([*CALLER_SAVED, *CALLEE_SAVED, "sp", "t6"])
RESUME_SOON = back([*CALLER_SAVED, "sp", "t6"])
TOP_OF_STACK = f"""
    la sp, stack
    li t0, {STACK_SIZE}
    add sp, sp, t0
"""

# a0 hart, a1 the board's device tree. One hart is enough; others sleep.
start = stub(
    "start",
    f"""
    csrw mie, zero
    la t0, stray
    csrw mtvec, t0
    bnez a0, asleep
    la t0, _bss
    la t1, _end
clear:
    sd zero, 0(t0)
    addi t0, t0, 8
    bltu t0, t1, clear
    {TOP_OF_STACK}
    call start_all
    mv t6, a0
    csrw mscratch, t6
    {RESUME}
asleep:
    wfi
    j asleep
""",
)

SAVE = f"""
    csrrw t6, mscratch, t6
    {moves("sd", [*CALLER_SAVED, *CALLEE_SAVED, "sp"])}
    csrrw t5, mscratch, t6
    sd t5, {8 * X_NUMBERS["t6"]}(t6)
    mv a0, t6
    ld sp, {view(Vm).stack.offset}(t6)
    csrr a1, minstret
    csrr a2, mcause
    csrr a3, mtval
    csrr a4, mstatus
"""
ADVANCE = """
    csrr t0, mepc
    addi t0, t0, 4                  # what is answered quickly is never compressed
    csrw mepc, t0
"""
KEPT = "".join(f"ld x{i}, {8 * i}(t6)\nj finish\n" for i in range(31))
trap = stub(
    "trap",
    f"""
    {SAVE}
    call quick_exit                 # its answers: see quick.py
    csrr t6, mscratch
    bnez a0, more
    {ADVANCE}
    {RESUME_SOON}
more:
    li t0, 1
    beq a0, t0, slow
    li t0, 2
    bne a0, t0, one
    {RESUME_SOON}
one:                                # the number of a preserved register, times 8
    la t1, kept
    add t1, t1, a0
    jr t1
kept:
    {KEPT}
finish:
    {ADVANCE}
    {RESUME_SOON}
slow:
    mv a0, t6
    call handle_exit
    mv t6, a0
    csrw mscratch, t6
    {RESUME}
""",
)


def _length(text: str) -> int:
    return sum(1 if isinstance(item, int) else 2 for item in assembled(text))


# Instructions of an exit before minstret is read: the three after it and `call` come later.
SWITCH_IN = _length(SAVE) - 4

# An exception before the first guest runs.
stray = stub(
    "stray",
    """
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    call fail
""",
)

FLOATS = [(f"f{i}", f"hart.f+{8 * i}(a0)") for i in range(32)]
save_floats = stub(
    "save_floats",
    offsets(Hart, "hart.")
    + "".join(f"fsd {name}, {place}\n" for name, place in FLOATS)
    + """
    csrr t0, fcsr
    sd t0, hart.fcsr(a0)
    ret
""",
    [u64],
)

load_floats = stub(
    "load_floats",
    offsets(Hart, "hart.")
    + "".join(f"fld {name}, {place}\n" for name, place in FLOATS)
    + """
    ld t0, hart.fcsr(a0)
    csrw fcsr, t0
    ret
""",
    [u64],
)

STUBS = (start, trap, stray)
