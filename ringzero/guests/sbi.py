"""The supervisor's side of the SBI: console, timer, reset, over whatever firmware there is."""

from __future__ import annotations

from ringzero.bare.stubs import stub
from ringzero.board import sbi
from ringzero.lang import Array, Struct, address_of, field, native, u8, u64

# The C ABI passes eight numbers in a0–a7 and returns two in a0 and a1: the SBI's own convention.
call = stub("sbi_call", "ecall", [u64] * 8, tuple[u64, u64])


class Line(Struct):
    """What waits to be shown. It is passed by physical address, so it must be mapped as it is."""

    bytes: Array[u8] = field(128)
    count: u64
    has_console: bool
    probed: bool


line = Line()


@native
def ask(extension: u64, function: u64, a0: u64, a1: u64) -> tuple[u64, u64]:
    """An SBI call of two arguments: error and value."""
    error, value = call(a0, a1, u64(0), u64(0), u64(0), u64(0), function, extension)
    return error, value


@native
def probe(extension: u64) -> u64:
    """Whether the firmware has an extension."""
    _, value = ask(u64(sbi.BASE), u64(sbi.PROBE_EXTENSION), extension, u64(0))
    return value


@native
def put_byte(byte: u8) -> None:
    """Show one byte; a line goes out whole."""
    line.bytes[line.count] = byte
    line.count += 1
    if byte == 10 or line.count == 128:
        flush()


@native(inline=False)
def flush() -> None:
    """Show what waits."""
    if not line.probed:
        line.has_console = probe(u64(sbi.DBCN)) != 0
        line.probed = True
    if line.has_console:
        ask(u64(sbi.DBCN), u64(sbi.CONSOLE_WRITE), line.count, address_of(line))
    else:
        i = u64(0)
        while i < line.count:
            ask(u64(sbi.LEGACY_CONSOLE_PUTCHAR), u64(0), u64(line.bytes[i]), u64(0))
            i += 1
    line.count = 0


@native
def set_timer(time: u64) -> None:
    """The next timer interrupt."""
    ask(u64(sbi.TIME), u64(sbi.SET_TIMER), time, u64(0))


@native
def power_off(failed: bool) -> None:
    """End the machine; a failure gives it an exit code of 1."""
    flush()
    reason = u64(sbi.SYSTEM_FAILURE) if failed else u64(sbi.NO_REASON)
    ask(u64(sbi.SRST), u64(sbi.SYSTEM_RESET), u64(sbi.SHUTDOWN), reason)
    ask(u64(sbi.LEGACY_SHUTDOWN), u64(0), u64(0), u64(0))
    while True:
        pass
