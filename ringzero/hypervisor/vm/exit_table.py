"""The exit table as the hypervisor itself prints it, where no host reads `hv_status`."""

from __future__ import annotations

from ringzero.bare.text import put, put_decimal, put_hex
from ringzero.hypervisor.vm.state import (
    CALL_KINDS,
    CALLS,
    EXCEPTIONS,
    INSTRUCTIONS,
    INTERRUPTS,
    KINDS,
    Tally,
    config,
    status,
)
from ringzero.isa.privileged.trap import CAUSES, INTERRUPT_NAMES
from ringzero.lang import native, ptr, typed_range, u8, u64

CAUSE_NAMES = tuple(CAUSES.items())
INTERRUPT_TABLE = tuple(INTERRUPT_NAMES.items())
KIND_TABLE = tuple(enumerate(KINDS))
CALL_TABLE = tuple(enumerate(CALL_KINDS))


@native(inline=False)
def number(name: ptr[u8], value: u64) -> None:
    """A name and a number."""
    put(name)
    put(" ")
    put_decimal(value)
    put("\r\n")


@native(inline=False)
def line(name: ptr[u8], tally: Tally) -> None:
    """A name, how often, and instructions each."""
    if tally.count == 0:
        return
    put("  ")
    put(name)
    put(": ")
    put_decimal(tally.count)
    put(" exits, ")
    put_decimal(tally.instructions // tally.count)
    put(" instructions each\r\n")


@native(inline=False)
def show() -> None:
    """Every VM's statistics."""
    for i in typed_range(config.count):
        one = status[i]
        number("\r\n[ringzero] vm", i)
        number("user instructions", one.user)
        number("kernel instructions", one.kernel)
        number("shadow fills", one.fills)
        number("shadow flushes", one.flushes)
        number("shadow recycles", one.recycles)
        number("switches", one.switches)
        for pair in CAUSE_NAMES:
            line(pair[1], one.tallies[EXCEPTIONS + pair[0]])
        for pair in INTERRUPT_TABLE:
            line(pair[1], one.tallies[INTERRUPTS + pair[0]])
        for pair in KIND_TABLE:
            line(pair[1], one.tallies[INSTRUCTIONS + pair[0]])
        for pair in CALL_TABLE:
            line(pair[1], one.tallies[CALLS + pair[0]])
        for csr in typed_range(u64(INSTRUCTIONS)):
            if one.tallies[csr].count != 0:
                put("  csr ")
                put_hex(csr)
                line("", one.tallies[csr])
        for cause in typed_range(u64(32)):
            if one.reflected[cause] != 0:
                put("  reflected ")
                put_decimal(cause)
                number("", one.reflected[cause])
