"""What all programs share: how they start, what they print, and how they end."""

from __future__ import annotations

from ringzero.bare.stubs import stub
from ringzero.bare.text import put_byte, put_decimal, put_hex
from ringzero.board.addresses import CLINT_BASE, FINISHER_BASE, RAM_BASE, UART_BASE
from ringzero.board.clint import MTIME
from ringzero.board.finisher import PASS
from ringzero.isa.privileged.trap import STATUS_FS
from ringzero.lang import Stub, load, native, store, u8, u32, u64

BASE = RAM_BASE
STACK_TOP = 0x8080_0000
ARENA = 0x8100_0000  # memory for the program's data: the rest of 128 MB
TICKS = CLINT_BASE + MTIME

__all__ = ["ARENA", "BASE", "finish", "put_byte", "start", "start_all", "uart_write"]


def start(name: str, count: int) -> Stub:
    """Calls `name(count, arena)` with a stack and floats on, then `finish(result, began)`."""
    return stub(
        "start",
        f"""
        li sp, {STACK_TOP}
        li t0, {STATUS_FS}          # Dirty
        csrs mstatus, t0
        li s0, {TICKS}
        ld s1, 0(s0)
        li a0, {count}
        li a1, {ARENA}
        call {name}
        mv a1, s1
        call finish
        """,
    )


def start_all(name: str, count: int) -> Stub:
    """The same on every hart, with a stack and a megabyte of the arena each; hart 0 finishes."""
    return stub(
        "start",
        f"""
        slli t0, a0, 16
        li sp, {STACK_TOP}
        sub sp, sp, t0
        mv s2, a0
        li s0, {TICKS}
        ld s1, 0(s0)
        slli t0, a0, 20
        li a0, {count}
        li a1, {ARENA}
        add a1, a1, t0
        call {name}
        bnez s2, sleep
        mv a1, s1
        call finish
        sleep:
        wfi
        j sleep
        """,
    )


@native
def uart_write(byte: u8) -> None:
    """Send one byte."""
    store(u8, UART_BASE, byte)


@native(inline=False)
def finish(result: u64, began: u64) -> None:
    """Print the result and the ticks that it took, and power off."""
    ticks = load(u64, TICKS) - began
    put_hex(result)
    put_byte(32)
    put_decimal(ticks)
    put_byte(10)
    store(u32, FINISHER_BASE, PASS)
    while True:
        pass
