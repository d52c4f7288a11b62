"""A hart in S-mode whose loop steps from one page of data onto the next, with entries to choose."""

from __future__ import annotations

from typing import Any

from ringzero.isa.tools.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.machines import begin, open_memory
from tests.engine.random_programs import BASE

TABLES = BASE + 0x10_0000
SATP = 8 << 60 | TABLES >> 12  # Sv39
FRAMES = BASE + 0x20_0000
CODE, DATA = 0x40_0000, 0x41_0000  # virtual
ALL, READ_ONLY = 0xCF, 0xC3  # of a page table entry
BACKWARDS = 3  # pages of data lie in memory in the other order
PROGRAM = """
loop:
    li s3, 80
    mv t0, s2
    mv t4, s4
again:
    ld t1, 0(t0)
    lbu t2, 13(t0)
    add a0, a0, t1
    xor a1, a1, t2
    sw a0, 0(t4)
    sb a1, 9(t4)
    lwu t3, 4(t0)
    sh t3, -20(t4)
    add t0, t0, s8
    add t4, t4, s8
    sd a0, 8(sp)
    addi s3, s3, -1
    bnez s3, again
    {change}
    addi s9, s9, -1
    bnez s9, loop
end:
    wfi
    j end
.align 9
handler:
    csrr t6, sepc
    addi t6, t6, 4
    csrw sepc, t6
    sret
"""


REMAP = """
    ld t5, 0(s5)
    ld t6, 8(s5)
    sd t6, 0(s5)
    sd t5, 8(s5)
    sfence.vma
"""


def _write(memory: GuestMemory, address: int, value: int) -> None:
    memory.write(address, value.to_bytes(8, "little"))


def machine(make: Any, step: int, second: int, change: str) -> tuple[Any, GuestMemory]:
    """A hart in S-mode that steps from one page of data to the second, whose entry is given."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(BASE, assemble_text(PROGRAM.format(change=change), CODE))
    lowest = TABLES + 0x2000
    _write(memory, TABLES, (TABLES + 0x1000) >> 2 | 1)
    _write(memory, TABLES + 0x1000 + 8 * 2, lowest >> 2 | 1)
    _write(memory, lowest, BASE >> 2 | ALL)
    _write(memory, lowest + 8, lowest >> 2 | ALL)
    frames = [FRAMES + 4096 * (BACKWARDS - i) for i in range(4)]
    for index, frame in enumerate(frames):
        memory.write(frame, bytes((7 * i + index) & 0xFF for i in range(4096)))
        _write(memory, lowest + 8 * (16 + index), frame >> 2 | (second if index == 1 else ALL))
    hart = begin(
        harts, CODE, mode=1, satp=8 << 60 | TABLES >> 12, stvec=CODE + 0x200, medeleg=0xFFFF
    )
    end = DATA + 4096
    for number, value in ((2, DATA + 0x3100), (18, end - 40 * step - 16), (20, end - 41 * step),
                          (21, CODE + 4096 + 8 * 16), (24, step), (25, 30)):  # fmt: skip
        hart.x[number] = value
    open_memory(hart)
    return harts, memory
