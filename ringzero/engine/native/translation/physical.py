"""The ports of `isa.ports` over a machine's memory and devices, for native engines."""

from __future__ import annotations

from ringzero.board import clint
from ringzero.engine.native.code.invalidate import forget_code
from ringzero.engine.native.state import Core, Shared, core_of, hart_bit
from ringzero.engine.native.threads.epochs import IN_DEVICE, RUNNING, set_quiescence
from ringzero.engine.native.threads.wakeups import Timespec, kick
from ringzero.isa.hart import Hart
from ringzero.isa.privileged.trap import MSI, MTI
from ringzero.lang import (
    Fixed,
    address_of,
    atomic,
    call_pointer,
    compare_exchange,
    native,
    read_once,
    u64,
    unlikely,
    write_once,
)

NOWHERE = 0xFFFF_FFFF_FFFF_FFFF
CLOCK_MONOTONIC = 1


@native
def backing(shared: Shared, address: u64, size: u64) -> u64:
    """Where a physical range lies in the backing memory, or NOWHERE."""
    offset = address - shared.ram_base
    if offset < shared.ram_size and shared.ram_size - offset >= size:
        return offset
    return NOWHERE


@native
def physical_read(hart: Hart, kind: type[Fixed], address: u64) -> tuple[u64, bool]:
    """RAM here, devices in Python."""
    core = core_of(hart)
    where = backing(core.shared[0], address, kind.bits // 8)
    if where != NOWHERE:
        return u64(read_once(kind, core.memory, where)), True
    return device_read(core, address, kind.bits // 8)


@native(cold=True)
def device_read(core: Core, address: u64, size: u64) -> tuple[u64, bool]:
    """Ask Python's bus; but the CLINT's registers are at hand."""
    shared = core.shared[0]
    offset = address - shared.clint_base
    if offset < shared.clint_size and shared.clint_size - offset >= size:
        return clint.read_register(shared.clint, shared.harts, now(core.hart), offset, size), True
    core.answered = False
    set_quiescence(core, u64(IN_DEVICE))
    value = call_pointer(u64, core.shared[0].read_device, address, size, address_of(core))
    set_quiescence(core, u64(RUNNING))
    take_wires(core)
    return value, core.answered


@native
def physical_write(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> bool:
    """RAM here, devices in Python."""
    core = core_of(hart)
    where = backing(core.shared[0], address, kind.bits // 8)
    if where == NOWHERE:
        return device_write(core, address, kind.bits // 8, value)
    write_once(kind, core.memory, where, kind(value))
    written(core, where, kind.bits // 8)
    return True


@native(cold=True)
def device_write(core: Core, address: u64, size: u64, value: u64) -> bool:
    """Hand it to Python's bus; but the CLINT's registers are at hand, the clock aside."""
    shared = core.shared[0]
    offset = address - shared.clint_base
    if offset < shared.clint_size and shared.clint_size - offset >= size:
        if offset & ~u64(7) != clint.MTIME:
            changed = clint.write_register(shared.clint, shared.harts, offset, size, value)
            if changed < shared.harts:
                kick(shared, changed)
            take_wires(core)
            take_timer(core)
            return True
    core.answered = False
    set_quiescence(core, u64(IN_DEVICE))
    call_pointer(None, core.shared[0].write_device, address, size, value, address_of(core))
    set_quiescence(core, u64(RUNNING))
    take_wires(core)
    return core.answered


@native
def take_wires(core: Core) -> None:
    """Take over the interrupt lines that devices drive, from whichever thread.

    The CLINT's are not among them: its registers tell, and the timer's line is looked at with time.
    """
    shared, lines = core.shared[0], core.hart.lines
    kept = lines & (1 << MTI)
    if shared.parallel != 0:
        lines = core.wires
    if clint.software(shared.clint, core.number) != 0:
        kept |= 1 << MSI
    core.hart.lines = (lines & ~(1 << MTI | 1 << MSI)) | kept


@native
def take_timer(core: Core) -> None:
    """The timer's line, as it is now."""
    lines = core.hart.lines & ~(1 << MTI)
    if now(core.hart) >= clint.deadline(core.shared[0].clint, core.number):
        lines |= 1 << MTI
    core.hart.lines = lines


@native
def written(core: Core, where: u64, size: u64) -> None:
    """Memory changed past the write tables: drop what was decoded from it, notify who watches."""
    shared = core.shared[0]
    forget_code(shared, where, size, hart_bit(core))
    if unlikely(where >> 12 == shared.watched):
        set_quiescence(core, u64(IN_DEVICE))
        call_pointer(None, shared.notify, where + shared.ram_base, address_of(core))
        set_quiescence(core, u64(RUNNING))


@native
def atomically(core: Core, operation: str, kind: type[Fixed], where: u64, operand: u64) -> u64:
    """The read-modify-write itself, on backed memory."""
    return u64(atomic(operation, kind, core.memory, where, kind(operand)))


@native
def physical_amo(
    hart: Hart, operation: str, kind: type[Fixed], address: u64, operand: u64
) -> tuple[u64, bool]:
    """Atomic operations work on RAM only (the PMA of devices: AMONone)."""
    core = core_of(hart)
    where = backing(core.shared[0], address, kind.bits // 8)
    if where == NOWHERE:
        return u64(0), False
    old = atomically(core, operation, kind, where, operand)
    written(core, where, kind.bits // 8)
    return old, True


@native
def physical_compare_exchange(
    hart: Hart, kind: type[Fixed], address: u64, expected: u64, value: u64
) -> tuple[bool, bool]:
    """For sc and for the A and D bits of page tables; RAM only."""
    core = core_of(hart)
    where = backing(core.shared[0], address, kind.bits // 8)
    if where == NOWHERE:
        return False, False
    swapped = compare_exchange(kind, core.memory, where, kind(expected), kind(value))
    if swapped:
        written(core, where, kind.bits // 8)
    return swapped, True


@native
def source(core: Core) -> u64:
    """Nanoseconds of whatever drives guest time: the host's clock, or instructions retired."""
    shared = core.shared[0]
    if shared.clock == 0:
        return shared.elapsed + (core.hart.retired - core.seen)
    at = Timespec()
    call_pointer(None, shared.clock, u64(CLOCK_MONOTONIC), address_of(at))
    return u64(at.seconds) * 1_000_000_000 + u64(at.nanoseconds)


@native
def now(hart: Hart) -> u64:
    """mtime: 10 MHz."""
    core = core_of(hart)
    return source(core) // 100 + core.shared[0].clock_offset


@native
def until(core: Core, deadline: u64) -> u64:
    """Nanoseconds until mtime reaches a deadline; NEVER if it has, or never will."""
    at = source(core)
    ticks = deadline - core.shared[0].clock_offset
    if ticks < NEVER // 100 and ticks * 100 > at:
        return ticks * 100 - at
    return NEVER


NEVER = 0xFFFF_FFFF_FFFF_FFFF
