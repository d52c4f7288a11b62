"""The kernel's assembly: the image header, traps, and the way to user mode and back.

`enter_user(frame)` returns when the user next traps, so the kernel is plain sequential text with
one stack. sscratch holds the frame while the user runs, and zero while the kernel does. Programs
for M-mode use the same text with M-mode's registers.
"""

from __future__ import annotations

from ringzero.bare.stubs import offsets, stub
from ringzero.lang import Array, Struct, Stub, field, u64

STACK_SIZE = 0x8000
IMAGE_SIZE = 0x80_0000  # memory that the kernel takes: itself, then its pool of pages


class Frame(Struct):
    """A context: its registers, and why it stopped."""

    x: Array[u64] = field(32)
    pc: u64
    status: u64
    cause: u64
    value: u64
    kernel_sp: u64


class Stack(Struct):
    words: Array[u64] = field(STACK_SIZE // 8)


stack = Stack()

CALLEE_SAVED = ["ra", *(f"s{i}" for i in range(12))]
EQUATES = offsets(Frame, "frame.")


def every(operation: str, base: str, but: tuple[int, ...]) -> str:
    """Loads or stores of all registers of a Frame but some."""
    registers = [number for number in range(1, 32) if number not in but]
    return "\n".join(f"{operation} x{n}, {8 * n}({base})" for n in registers)


def kept(operation: str) -> str:
    """Loads or stores of what a function keeps for its caller."""
    return "\n".join(f"{operation} {name}, {8 * i}(sp)" for i, name in enumerate(CALLEE_SAVED))


# The header is Linux's (Documentation/arch/riscv/boot-image-header.rst), so loaders know it.
start = stub(
    "start",
    f"""
    j begin
    nop
    .dword 0x200000                 # text_offset
    .dword {IMAGE_SIZE}
    .dword 0                        # flags: little-endian
    .word 2                         # header version 0.2
    .word 0
    .dword 0
    .ascii "RISCV"
    .byte 0, 0, 0
    .ascii "RSC"
    .byte 5
    .word 0
begin:
    csrw sie, zero
    csrw sscratch, zero
    la t0, trap
    csrw stvec, t0
    la t0, _bss
    la t1, _end
clear:
    sd zero, 0(t0)
    addi t0, t0, 8
    bltu t0, t1, clear
    la sp, stack
    li t0, {STACK_SIZE}
    add sp, sp, t0
    call main
""",
)


def enter_stub(name: str, mode: str) -> Stub:
    """`enter(frame)` from mode "s" or "m": goes down to the frame, returns at the next trap."""
    return stub(
        name,
        EQUATES
        + f"""
    addi sp, sp, -112
{kept("sd")}
    sd sp, frame.kernel_sp(a0)
    csrw {mode}scratch, a0
    ld t0, frame.pc(a0)
    csrw {mode}epc, t0
    ld t0, frame.status(a0)
    csrw {mode}status, t0
{every("ld", "a0", (10,))}
    ld a0, 80(a0)
    {mode}ret
""",
        [Frame],
    )


def _save_causes(mode: str, base: str) -> str:
    pairs = (("pc", "epc"), ("status", "status"), ("cause", "cause"), ("value", "tval"))
    return "".join(
        f"csrr t0, {mode}{register}\nsd t0, frame.{field}({base})\n" for field, register in pairs
    )


def trap_stub(mode: str) -> Stub:
    """Where traps to mode "s" or "m" arrive, from below or from that mode itself."""
    return stub(
        "trap",
        EQUATES
        + f"""
    csrrw a0, {mode}scratch, a0
    bnez a0, from_below
    csrrw a0, {mode}scratch, a0     # from the kernel itself: all goes on its stack
    addi sp, sp, -frame.size
{every("sd", "sp", (2,))}
    addi t0, sp, frame.size
    sd t0, 16(sp)
{_save_causes(mode, "sp")}
    mv a0, sp
    call handle_kernel_trap
    ld t0, frame.pc(sp)
    csrw {mode}epc, t0
    ld t0, frame.status(sp)
    csrw {mode}status, t0
{every("ld", "sp", (2,))}
    ld sp, 16(sp)
    {mode}ret
from_below:
{every("sd", "a0", (10,))}
    csrrw t0, {mode}scratch, zero
    sd t0, 80(a0)
{_save_causes(mode, "a0")}
    ld sp, frame.kernel_sp(a0)
{kept("ld")}
    addi sp, sp, 112
    ret
""",
    )


enter_user = enter_stub("enter_user", "s")
trap = trap_stub("s")
STUBS = (start, trap, enter_user)
