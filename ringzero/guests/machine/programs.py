"""Programs that run alone in M-mode: a greeting, the workloads, and tests of machine mode."""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.bare.text import put, put_byte, put_decimal, put_hex
from ringzero.guests.entry import Frame
from ringzero.guests.machine.entry import finish
from ringzero.guests.verdicts import put_trap
from ringzero.guests.workloads import WORKLOADS
from ringzero.lang import native, u64

CRASHED = 255


@native
def crash(frame: Frame) -> None:
    """Any trap at all is a mistake of the program or of what runs it."""
    put_trap("unexpected trap", frame)
    finish(u64(CRASHED))


@native
def hello(hart: u64) -> u64:
    """Say hello."""
    put("hello from machine mode\n")
    return hart


@native
def workloads(hart: u64) -> u64:
    """Run each workload once: name, checksum, instructions, cycles."""
    for name, work, rounds in WORKLOADS:
        instructions, cycles = csr.minstret.read(), csr.mcycle.read()
        result = work(u64(rounds))
        instructions = csr.minstret.read() - instructions
        cycles = csr.mcycle.read() - cycles
        put("work ")
        put(name)
        put_byte(32)
        put_hex(result)
        put_byte(32)
        put_decimal(instructions)
        put_byte(32)
        put_decimal(cycles)
        put_byte(10)
    return hart
