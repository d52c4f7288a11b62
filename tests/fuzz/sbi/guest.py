"""A supervisor that makes the calls of a table, one after the other, and shows what came of each.

It is the smallest there can be: no paging, no interrupts taken. A software interrupt is always
pending, so that a suspended hart goes on at once. Whatever a call does to it (return, resume
elsewhere, trap) becomes a `Result`; registers that a call may not change are looked at.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ringzero.board import sbi
from ringzero.board.addresses import KERNEL_BASE
from ringzero.isa.tools.program import assemble_text

RESUME, PARK = KERNEL_BASE + 4, KERNEL_BASE + 8  # where suspended and started harts may go on
TABLE = 0x4000  # behind the code
STATE, RESULTS, BUFFER = KERNEL_BASE + 0x18_0000, KERNEL_BASE + 0x20_0000, KERNEL_BASE + 0x10_0000
MEMORY = 0x40_0000  # that the guest takes from KERNEL_BASE on
MOST_CALLS = 4000
RETURNED, RESUMED, TRAPPED, CLOBBERED = range(4)
KINDS = ("returned", "resumed", "trapped", "clobbered a register")
KEPT = ["ra", "gp", "tp", *(f"t{i}" for i in range(7)), *(f"s{i}" for i in range(12))]


@dataclass(frozen=True)
class Call:
    """Registers a0 to a7."""

    registers: tuple[int, ...]

    @property
    def extension(self) -> int:
        return self.registers[7]

    @property
    def function(self) -> int:
        return self.registers[6]

    def __str__(self) -> str:
        return " ".join(f"a{i}={value:#x}" for i, value in enumerate(self.registers))


def call(extension: int, function: int, *arguments: int) -> Call:
    """A call of up to six arguments."""
    given = [value & (1 << 64) - 1 for value in arguments]
    return Call((*given, *[0] * (6 - len(given)), function, extension))


@dataclass(frozen=True)
class Result:
    """What came of a call; `error` is signed, `value` and `extra` are as KINDS says."""

    kind: int
    error: int
    value: int
    extra: int

    def __str__(self) -> str:
        return f"{KINDS[self.kind]}: {self.error} {self.value:#x} {self.extra:#x}"


def _source(count: int) -> str:
    return f"""
    j main
    j resume
    j park
    nop
trapped:
    li sp, {STATE}
    csrr a0, scause
    csrr a1, stval
    csrr a3, sepc
    li a2, {TRAPPED}
    j record
park:
    wfi
    j park
resume:
    li sp, {STATE}
    csrr a3, satp
    csrr a4, sstatus
    andi a4, a4, 2
    or a3, a3, a4
    li a2, {RESUMED}
    j record
main:
    li sp, {STATE}
    li t0, {KERNEL_BASE + TABLE}
    sd t0, 0(sp)
    li t0, {RESULTS}
    sd t0, 8(sp)
next:
    li sp, {STATE}
    la t0, trapped
    csrw stvec, t0
    li t0, 0x222
    csrw sie, t0
    csrsi sip, 2
    ld t0, 0(sp)
    li t1, {KERNEL_BASE + TABLE + 64 * count}
    bgeu t0, t1, report
    mv a0, t0
    li ra, 0x0123456789ABCDEF
{chr(10).join(f"    mv {name}, ra" for name in KEPT[1:])}
    ld a1, 8(a0)
    ld a2, 16(a0)
    ld a3, 24(a0)
    ld a4, 32(a0)
    ld a5, 40(a0)
    ld a6, 48(a0)
    ld a7, 56(a0)
    ld a0, 0(a0)
    ecall
    sd a0, 16(sp)
    sd a1, 24(sp)
    li a0, 0x0123456789ABCDEF
    li a1, 0
{chr(10).join(f"    xor {name}, {name}, a0{chr(10)}    or a1, a1, {name}" for name in KEPT)}
    ld a0, 0(sp)
    ld t0, 16(a0)
    xor a2, a2, t0
    ld t0, 24(a0)
    xor a3, a3, t0
    ld t0, 32(a0)
    xor a4, a4, t0
    ld t0, 40(a0)
    xor a5, a5, t0
    ld t0, 48(a0)
    xor a6, a6, t0
    ld t0, 56(a0)
    xor a7, a7, t0
    or a1, a1, a2
    or a1, a1, a3
    or a1, a1, a4
    or a1, a1, a5
    or a1, a1, a6
    or a1, a1, a7
    mv a3, a1
    li a2, {RETURNED}
    beqz a3, clean
    li a2, {CLOBBERED}
clean:
    ld a0, 16(sp)
    ld a1, 24(sp)
record:
    ld t0, 8(sp)
    sd a2, 0(t0)
    sd a0, 8(t0)
    sd a1, 16(t0)
    sd a3, 24(t0)
    addi t0, t0, 32
    sd t0, 8(sp)
    ld t0, 0(sp)
    addi t0, t0, 64
    sd t0, 0(sp)
    j next
report:
    li s0, {RESULTS}
    ld s1, 8(sp)
    call mark
line:
    bgeu s0, s1, ended
    li s2, 4
number:
    ld s3, 0(s0)
    addi s0, s0, 8
    li s4, 60
digit:
    srl a0, s3, s4
    andi a0, a0, 15
    li t0, 10
    blt a0, t0, decimal
    addi a0, a0, 39
decimal:
    addi a0, a0, 48
    call put
    addi s4, s4, -4
    bgez s4, digit
    li a0, 32
    call put
    addi s2, s2, -1
    bnez s2, number
    li a0, 10
    call put
    j line
ended:
    call mark
    li sp, {KERNEL_BASE + TABLE + 64 * count}
    ld a0, 0(sp)
    ld a1, 8(sp)
    ld a6, 48(sp)
    ld a7, 56(sp)
    ecall
    li a0, 0                        # who does not know the reason
    li a1, 0
    li a6, 0
    li a7, {sbi.SRST}
    ecall
    j park
mark:
    mv s5, ra
    li s6, 8
1:  li a0, 126
    call put
    addi s6, s6, -1
    bnez s6, 1b
    li a0, 10
    call put
    jr s5
put:
    li a7, {sbi.LEGACY_CONSOLE_PUTCHAR}
    ecall
    ret
"""


def build(calls: Sequence[Call], last: Call) -> bytes:
    """The guest's memory from KERNEL_BASE on: it makes `calls`, reports, and ends with `last`."""
    assert len(calls) <= MOST_CALLS
    code = assemble_text(_source(len(calls)), KERNEL_BASE)
    assert len(code) <= TABLE
    rows = b"".join(struct.pack("<8Q", *each.registers) for each in (*calls, last))
    return code + bytes(TABLE - len(code)) + rows


LINE = re.compile(r"^([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f]{16}) $", re.MULTILINE)


def results(output: str) -> list[Result]:
    """What the guest showed, between its last two marks; nothing if it did not come that far."""
    parts = output.replace("\r", "").rsplit("~~~~~~~~\n", 2)
    if len(parts) != 3:
        return []
    found = []
    for words in LINE.findall(parts[1]):
        kind, error, value, extra = (int(word, 16) for word in words)
        signed = error - (1 << 64) if error >> 63 and kind != TRAPPED else error
        found.append(Result(kind, signed, value, extra))
    return found
