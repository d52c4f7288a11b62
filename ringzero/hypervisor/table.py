"""The exit table as the hypervisor itself prints it, where no host reads `hv_status`."""

from __future__ import annotations

from ringzero.bare.text import put, put_decimal, put_hex
from ringzero.hypervisor import emulate
from ringzero.hypervisor.layout import Tally, config, status
from ringzero.isa.trap import CAUSES, INTERRUPT_NAMES
from ringzero.lang import native, ptr, typed_range, u8, u64

CAUSE_NAMES = tuple(CAUSES.items())
INTERRUPTS = tuple(INTERRUPT_NAMES.items())
KINDS = tuple(enumerate(emulate.KINDS))


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
            line(pair[1], one.exceptions[pair[0]])
        for pair in INTERRUPTS:
            line(pair[1], one.interrupts[pair[0]])
        for pair in KINDS:
            line(pair[1], one.instructions[pair[0]])
        for csr in typed_range(u64(4096)):
            if one.csrs[csr].count != 0:
                put("  csr ")
                put_hex(csr)
                line("", one.csrs[csr])
        for cause in typed_range(u64(32)):
            if one.reflected[cause] != 0:
                put("  reflected ")
                put_decimal(cause)
                number("", one.reflected[cause])
