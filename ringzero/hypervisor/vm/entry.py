"""The hypervisor's assembly: reset, the world switch, and floating-point state.

While a guest runs, mscratch points to its Vm, whose first words are the virtual hart's registers:
the switch saves them where the isa's text looks for them. `quick_exit` may answer the exit at once
(dispatch/fast.py); otherwise `handle_exit` does, and says whose world to enter.
"""

from __future__ import annotations

from ringzero.bare.stubs import assembled, offsets, stub
from ringzero.hypervisor.vm.state import STACK_SIZE, Vm
from ringzero.isa.hart import Hart
from ringzero.isa.tools.names import X_NUMBERS
from ringzero.lang import Stub, u64
from ringzero.lang.host import view

CALLER_SAVED = ["ra", "t0", "t1", "t2", "t3", "t4", "t5", *(f"a{i}" for i in range(8))]
CALLEE_SAVED = ["gp", "tp", *(f"s{i}" for i in range(12))]
RESUMED = view(Vm).resumed.offset


def moves(operation: str, registers: list[str], base: str = "t6") -> str:
    """Loads or stores of guest registers, with `base` pointing to the Vm."""
    return "".join(f"{operation} {name}, {8 * X_NUMBERS[name]}({base})\n" for name in registers)


def _length(text: str) -> int:
    return sum(1 if isinstance(item, int) else 2 for item in assembled(text))


def save(registers: list[str]) -> str:
    """Save registers and, in a0, give the Vm; what is not saved must not be changed."""
    first = [name for name in [*registers, "sp", "t6"] if name != "a0"]
    return f"""
    csrrw a0, mscratch, a0
    {moves("sd", first, "a0")}
    csrrw t0, mscratch, a0
    sd t0, {8 * X_NUMBERS["a0"]}(a0)
    ld sp, {view(Vm).stack.offset}(a0)
    csrr a1, minstret
    csrr a2, mcause
    csrr a3, mtval
    csrr a4, mstatus
"""


SAVE = save([*CALLER_SAVED, *CALLEE_SAVED])
# Instructions of an exit before minstret is read: the three after it and `call` come later.
SWITCH_IN = _length(SAVE) - 4


def back(registers: list[str]) -> str:
    """Note when the guest goes on, in instructions retired; load its registers; go.

    SWITCH_IN is added, so that the difference to the minstret of the next exit is the guest's.
    """
    count = len(registers) + 4 + SWITCH_IN  # csrr, addi, sd before the loads, and mret
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

CLEAR = "".join(f"sd zero, {offset}(t0)\n" for offset in range(0, 64, 8))

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
    addi t2, t1, -64                # two megabytes, so eight words at a time
wide:
    bltu t2, t0, clear
    {CLEAR}
    addi t0, t0, 64
    j wide
clear:
    bgeu t0, t1, cleared
    sd zero, 0(t0)
    addi t0, t0, 8
    j clear
cleared:
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

ADVANCE = """
    csrr t0, mepc
    addi t0, t0, 4                  # what is answered quickly is never compressed
    csrw mepc, t0
"""
LOADS = (f"ld x{i}, {8 * i}(t6)" if i < 31 else "nop" for i in range(32))  # t6 is loaded later
KEPT = "".join(f"{load}\nj finish\n" for load in LOADS)


def entry(name: str, answer: str) -> Stub:
    """Where exits begin; `answer` is the function that is asked first."""
    return stub(name, f"{SAVE}\n    call {answer}\n{AFTER}")


AFTER = f"""
    # the answers: see dispatch/sensitive.py
    csrr t6, mscratch
    bnez a0, more
    {ADVANCE}
    {RESUME_SOON}
more:
    bltz a0, again
here:
    auipc t1, 0                     # a0 is the number of the register that was written, times 8
    add t1, t1, a0
    jalr zero, kept-here(t1)
again:
    li t0, -1
    beq a0, t0, slow
    {RESUME_SOON}
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
"""
trap = entry("trap", "quick_exit")
translate_trap = entry("translate_trap", "translate_exit")

# The same for a VM whose kernel shares a page: no answer needs s0 to s11, gp or tp
# (paravirt/shared_page.py), so they are saved for `handle_exit` only, and minstret is read by so
# many instructions sooner.
shared_trap = stub(
    "shared_trap",
    f"""
    {save(CALLER_SAVED)}
    addi a1, a1, {len(CALLEE_SAVED)}
    call shared_exit                # its answers: see paravirt/exits.py
    csrr t6, mscratch
    bnez a0, not_done
    {ADVANCE}
    {RESUME_SOON}
not_done:
    li t0, -1
    beq a0, t0, slow
    {RESUME_SOON}
slow:
    {moves("sd", CALLEE_SAVED)}
    mv a0, t6
    call handle_exit
    mv t6, a0
    csrw mscratch, t6
    {RESUME}
""",
)

# The same for guests in VS and VU (hardware/enter.py).
guest_trap = stub(
    "guest_trap",
    f"""
    {SAVE}
    call quick_guest_exit           # its answers: see hardware/exits.py
    csrr t6, mscratch
    bnez a0, changed
    {RESUME_SOON}
changed:
    bltz a0, slow
    {RESUME}
slow:
    mv a0, t6
    call handle_guest_exit
    mv t6, a0
    csrw mscratch, t6
    {RESUME}
""",
)

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

STUBS = (start, trap, shared_trap, guest_trap, translate_trap, stray)
