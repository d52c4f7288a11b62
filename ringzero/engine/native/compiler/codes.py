"""The numbers of the compiler's operations and operands, for what makes its tables and itself."""

from __future__ import annotations

# Operations (`state.Operation.code`).
(
    MOVE, ADD, SUB, AND, OR, XOR, MUL, SHL, SHR, SAR, ROR, ROL, MULH, MULHU, CLZ, CTZ, POPCOUNT,
    BYTESWAP, SEXT, ZEXT, SET, SELECT, COMPARE, LOAD, STORE,
) = range(1, 26)  # fmt: skip

# Operands. Registers of the guest, what is decoded, two temporaries, and where results go.
(
    RS1, RS2, RS3, FRS1, FRS2, FRS3, IMM, SMALL, PC, SIZE, NUMBER, T0, T1, RD, FRD,
) = range(1, 16)  # fmt: skip

SIGNED = 16  # with the size of a load

# What an instruction is to the compiler: the low bits of `Compiler.kinds`, and flags above.
INTERPRETED, PLAIN, BRANCH, CALL, INDIRECT = range(5)  # in this order: leaders.py compares
# CALL: to pc + imm; INDIRECT: to a register
KIND = 7
FLOATS, DIRTIES = 8, 16  # needs mstatus.FS; makes it Dirty
PIECE = 32  # not lowered: a piece of LLVM's stands for it
READS_RS1, READS_RS2, GIVES_RD = 64, 128, 256  # of a piece: x registers that it uses

USES_RBX, USES_RBP = 1, 2  # of a piece: registers of the host that it does not hold
