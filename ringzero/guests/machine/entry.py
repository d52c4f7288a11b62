"""What programs for M-mode stand on: their start, their console and their end, by HTIF.

The host watches the word `tohost` (see Spike's fesvr): device 1 command 1 shows a byte, an odd word
of device 0 ends the run with the code above bit 0. No firmware is below such a program.
"""

from __future__ import annotations

from ringzero.bare.stubs import stub
from ringzero.guests.entry import STACK_SIZE, enter_stub, trap_stub
from ringzero.lang import Array, Struct, atomic, field, native, u8, u64

WRITE_CHARACTER = 1 << 56 | 1 << 48


class Mailbox(Struct):
    """One of the two words; the host changes it, so it is read by atomic accesses only."""

    word: Array[u64] = field(1)


tohost, fromhost = Mailbox(), Mailbox()

# Only hart 0 runs; the others sleep. a0 is the hart, a1 the device tree if there is one.
start = stub(
    "start",
    f"""
    csrw mie, zero
    csrw mscratch, zero
    la t0, trap
    csrw mtvec, t0
    csrr a0, mhartid
    bnez a0, asleep
    la sp, stack
    li t0, {STACK_SIZE}
    add sp, sp, t0
    call main
    call finish
asleep:
    wfi
    j asleep
""",
)
enter_lower = enter_stub("enter_lower", "m")
trap = trap_stub("m")


@native
def send(command: u64) -> None:
    """Give the host a command, once it has taken the one before."""
    while atomic("or", u64, tohost.word, 0, 0) != 0:
        atomic("xchg", u64, fromhost.word, 0, 0)
    atomic("xchg", u64, tohost.word, 0, command)


@native
def put_byte(byte: u8) -> None:
    """Show one byte."""
    send(u64(byte) | WRITE_CHARACTER)


@native
def finish(code: u64) -> None:
    """End the run with an exit code."""
    send(code << 1 | 1)
    while True:
        pass


STUBS = (start, trap, enter_lower)
EXPORTED = {"tohost": tohost, "fromhost": fromhost}
