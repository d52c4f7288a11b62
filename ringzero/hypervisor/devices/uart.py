"""Each VM's own ns16550a. Its output is taken at once; its input is 256 bytes deep."""

from __future__ import annotations

from ringzero.hypervisor.devices import console, plic
from ringzero.hypervisor.vm.state import UART_SOURCE, Vm
from ringzero.lang import native, u8, u64

DATA, ENABLE, IDENTIFY, LINE, MODEM, LINE_STATUS, MODEM_STATUS, SCRATCH = range(8)
RECEIVED, EMPTIED = 1, 2  # IER
NOTHING, SENT, ARRIVED = 1, 2, 4  # IIR
FIFOS = 0xC0
DIVISOR_LATCH = 0x80  # LCR
LOOP = 0x10  # MCR
READY, EMPTY = 1, 0x60  # LSR
CARRIER = 0xB0  # MSR: carrier, data set ready, clear to send
DEPTH = 256


@native
def reason(vm: Vm) -> u64:
    """Why the UART interrupts, as IIR tells it."""
    serial = vm.serial
    if serial.enable & RECEIVED != 0 and serial.used != 0:
        return u64(ARRIVED)
    if serial.enable & EMPTIED != 0 and serial.empty_pending != 0:
        return u64(SENT)
    return u64(NOTHING)


@native
def update(vm: Vm) -> None:
    """The interrupt line is a function of the state."""
    plic.set_level(vm, UART_SOURCE, reason(vm) != NOTHING)


@native(inline=False)
def receive(vm: Vm, byte: u8) -> None:
    """A byte for this guest; one too many is lost, as on a wire."""
    serial = vm.serial
    if serial.used < DEPTH:
        serial.input[serial.first + serial.used & DEPTH - 1] = byte
        serial.used += 1
    update(vm)


@native
def take(vm: Vm) -> u64:
    """The byte that came in first, or zero."""
    serial = vm.serial
    if serial.used == 0:
        return u64(0)
    byte = serial.input[serial.first]
    serial.first = serial.first + 1 & DEPTH - 1
    serial.used -= 1
    return u64(byte)


@native
def read(vm: Vm, offset: u64) -> u64:
    """A register."""
    serial = vm.serial
    value = u64(0)
    if offset == DATA:
        value = serial.divisor & 0xFF if serial.control & DIVISOR_LATCH != 0 else take(vm)
    elif offset == ENABLE:
        value = serial.divisor >> 8 if serial.control & DIVISOR_LATCH != 0 else serial.enable
    elif offset == IDENTIFY:
        value = reason(vm)
        if value == SENT:
            serial.empty_pending = 0
        value = value | FIFOS
    elif offset == LINE:
        value = serial.control
    elif offset == MODEM:
        value = serial.modem
    elif offset == LINE_STATUS:
        value = u64(EMPTY)
        if serial.used != 0:
            value = value | READY
    elif offset == MODEM_STATUS:
        value = u64(CARRIER)
        if serial.modem & LOOP != 0:  # its own outputs come back
            value = (serial.modem & 0xC) << 4 | (serial.modem & 2) << 3 | (serial.modem & 1) << 5
    elif offset == SCRATCH:
        value = serial.scratch
    update(vm)
    return value


@native
def write(vm: Vm, offset: u64, value: u64) -> None:
    """A register."""
    serial = vm.serial
    if offset == DATA:
        if serial.control & DIVISOR_LATCH != 0:
            serial.divisor = serial.divisor & 0xFF00 | value
        else:
            console.write_for(vm, u8(value))
            serial.empty_pending = 1
    elif offset == ENABLE:
        if serial.control & DIVISOR_LATCH != 0:
            serial.divisor = serial.divisor & 0xFF | value << 8
        else:
            if value & EMPTIED & ~serial.enable != 0:
                serial.empty_pending = 1
            serial.enable = value & 15
    elif offset == LINE:
        serial.control = value
    elif offset == MODEM:
        serial.modem = value & 0x1F
    elif offset == SCRATCH:
        serial.scratch = value
    update(vm)
