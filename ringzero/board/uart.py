"""The ns16550a: what the registers of the serial port do, with FIFOs, loopback and interrupts.

`Uart` is its state. A byte is sent the moment it is written: `write` says so, and its caller puts
the byte on the line. Input goes into the receive FIFO as far as there is `room`; what has to wait
outside is the caller's, and so is what comes before the guest listens, which would throw it away.
The interrupt line is a function of the state. The board runs this text in
CPython and the hypervisor compiles it. (National Semiconductor, PC16550D.)
"""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, native, u64

SIZE = 0x100
DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)
RECEIVED, SENT, LINE, MODEM = 1, 2, 4, 8  # bits of IER
CAUSE_MODEM, CAUSE_NONE, CAUSE_SENT, CAUSE_RECEIVED, CAUSE_LINE, CAUSE_TIMEOUT = 0, 1, 2, 4, 6, 12
FIFO_ON, CLEAR_RECEIVED, KEPT_OF_FCR, FIFOS_ARE_ON = 1, 2, 0xC9, 0xC0
EIGHT_BITS, DLAB = 0x03, 0x80  # LCR
LOOPBACK = 0x10  # MCR
DATA_READY, OVERRUN, BREAK, TRANSMITTER_EMPTY, EMPTY = 0x01, 0x02, 0x10, 0x20, 0x60  # LSR
LIVE_LINE, RING = 0xB0, 0x40  # MSR: clear to send, data set ready, carrier; the ring indicator
FIFO_SIZE = 16
TRIGGERS = (1, 4, 8, 14)  # bytes in the FIFO for the cause "received", by FCR's highest bits
POLLING = 4  # pairs of reads of LSR from which a guest is taken to poll for input
BREAK_MARK = 0x100  # on an entry of the FIFO: this is a break, not data


class Uart(Struct):
    """The state of one port."""

    ier: u64
    fcr: u64
    lcr: u64
    mcr: u64
    scr: u64
    divisor: u64
    overrun: u64  # a byte was lost since LSR was last read
    modem_delta: u64  # which lines have changed since MSR was last read
    sent: u64  # the transmitter's interrupt is pending
    looked: u64  # the access before was a read of LSR
    polls: u64  # how often another one followed, up to POLLING
    came_in: u64  # how many bytes at the front of the receive FIFO came from the line
    given_back: u64  # how many of them the guest has emptied without reading: `withdrawn`
    first: u64  # of the receive FIFO, which is a ring
    used: u64
    fifo: Array[u64] = field(FIFO_SIZE)


@native
def reset(uart: Uart) -> None:
    """The state after power-on, at 9600 bits per second."""
    uart.ier = 0
    uart.fcr = 0
    uart.lcr = 0
    uart.mcr = 0x08
    uart.scr = 0
    uart.divisor = 0x0C
    uart.overrun = 0
    uart.modem_delta = 0
    uart.sent = 0
    uart.looked = 0
    uart.polls = 0
    uart.came_in = 0
    uart.given_back = 0
    uart.first = 0
    uart.used = 0


@native
def depth(uart: Uart) -> u64:
    """How many bytes the receiver holds: FIFOs may be off."""
    return u64(FIFO_SIZE) if uart.fcr & FIFO_ON != 0 else u64(1)


@native
def room(uart: Uart) -> u64:
    """How many bytes can come in from the line now; none do while it is looped back.

    Drivers read and empty the receiver as they start. What was typed before would be lost, so
    nothing comes in before the guest listens: by the interrupt, or by polling. Who waits for the
    transmitter finds it empty and writes to it; LSR is read again by those who wait for input, and
    seldom by drivers while they set the port up.
    """
    if uart.mcr & LOOPBACK != 0 or (uart.ier & RECEIVED == 0 and uart.polls < POLLING):
        return u64(0)
    most = depth(uart)
    return most - uart.used if uart.used < most else u64(0)


@native
def arrive(uart: Uart, byte: u64) -> None:
    """A byte, or BREAK_MARK, comes in from the line, for which there is room."""
    receive(uart, byte)
    uart.came_in += 1


@native
def withdrawn(uart: Uart, index: u64) -> u64:
    """A byte of those that were given back, in their order; the caller lets it come in later."""
    return uart.fifo[uart.first + index & FIFO_SIZE - 1]


@native
def receive(uart: Uart, byte: u64) -> None:
    """A byte goes into the FIFO; one too many is lost."""
    if uart.used < depth(uart):
        uart.fifo[uart.first + uart.used & FIFO_SIZE - 1] = byte
        uart.used += 1
    else:
        uart.overrun = 1


@native
def line_error(uart: Uart) -> bool:
    """Whether LSR would tell of a lost byte or of a break."""
    return uart.overrun != 0 or (uart.used != 0 and uart.fifo[uart.first] & BREAK_MARK != 0)


@native
def interrupt(uart: Uart) -> bool:
    """The interrupt line: some cause that IER enables is there."""
    ier = uart.ier
    if ier == 0:
        return False
    if (ier & RECEIVED != 0 and uart.used != 0) or (ier & SENT != 0 and uart.sent != 0):
        return True
    return (ier & MODEM != 0 and uart.modem_delta != 0) or (ier & LINE != 0 and line_error(uart))


@native
def read(uart: Uart, offset: u64) -> u64:
    """What a load from a register gives."""
    if offset == LSR:
        return read_line_status(uart)
    uart.looked = 0
    if offset == DATA:
        return uart.divisor & 0xFF if uart.lcr & DLAB != 0 else take(uart)
    if offset == IIR_FCR:
        return read_cause(uart)
    if offset == IER:
        return uart.divisor >> 8 if uart.lcr & DLAB != 0 else uart.ier
    if offset == LCR:
        return uart.lcr
    if offset == MCR:
        return uart.mcr
    if offset == MSR:
        return read_modem_status(uart)
    return uart.scr if offset == SCR else u64(0)


@native
def take(uart: Uart) -> u64:
    """The byte that came in first, or zero."""
    if uart.used == 0:
        return u64(0)
    if uart.came_in != 0:
        uart.came_in -= 1
    byte = uart.fifo[uart.first]
    uart.first = uart.first + 1 & FIFO_SIZE - 1
    uart.used -= 1
    return byte & 0xFF


@native
def read_line_status(uart: Uart) -> u64:
    """LSR: reading it takes note of a lost byte and of a break."""
    if uart.looked != 0 and uart.polls < POLLING:
        uart.polls += 1
    uart.looked = 1
    status = u64(EMPTY)
    if uart.used != 0:
        status |= DATA_READY
        if uart.fifo[uart.first] & BREAK_MARK != 0:
            uart.fifo[uart.first] = 0
            status |= BREAK
    if uart.overrun != 0:
        uart.overrun = 0
        status |= OVERRUN
    return status


@native
def read_cause(uart: Uart) -> u64:
    """IIR: the most urgent cause; reading clears the transmitter's one if it is that."""
    fifo = u64(FIFOS_ARE_ON) if uart.fcr & FIFO_ON != 0 else u64(0)
    if uart.ier & LINE != 0 and line_error(uart):
        return fifo | CAUSE_LINE
    if uart.ier & RECEIVED != 0 and uart.used != 0:
        if uart.used >= trigger(uart):
            return fifo | CAUSE_RECEIVED
        return fifo | CAUSE_TIMEOUT
    if uart.ier & SENT != 0 and uart.sent != 0:
        uart.sent = 0
        return fifo | CAUSE_SENT
    if uart.ier & MODEM != 0 and uart.modem_delta != 0:
        return fifo | CAUSE_MODEM
    return fifo | CAUSE_NONE


@native
def trigger(uart: Uart) -> u64:
    """How many bytes make the cause "received" rather than "timeout"."""
    level = u64(1)
    if uart.fcr & FIFO_ON != 0:
        for index in range(4):
            if uart.fcr >> 6 == index:
                level = u64(TRIGGERS[index])
    return level


@native
def read_modem_status(uart: Uart) -> u64:
    """MSR: reading it clears what has changed."""
    status = modem_lines(uart) | uart.modem_delta
    uart.modem_delta = 0
    return status


@native
def modem_lines(uart: Uart) -> u64:
    """CTS, DSR, RI, DCD in bits 4-7: our own outputs when looped back, else a live line's."""
    mcr = uart.mcr
    if mcr & LOOPBACK == 0:
        return u64(LIVE_LINE)
    return (mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 | (mcr & 8) << 4


@native
def write(uart: Uart, offset: u64, value: u64) -> bool:
    """A store of a byte to a register; true if that byte goes out on the line."""
    uart.looked = 0
    if offset != DATA:
        uart.polls = 0
    if offset == DATA:
        if uart.lcr & DLAB != 0:
            uart.divisor = uart.divisor & 0xFF00 | value
            return False
        uart.sent = 1
        if uart.mcr & LOOPBACK == 0:
            return True
        receive(uart, value)
    elif offset == IER:
        write_enables(uart, value)
    elif offset == IIR_FCR:
        write_fifo_control(uart, value)
    elif offset == LCR:
        uart.lcr = value
    elif offset == MCR:
        write_modem_control(uart, value & 0x1F)
    elif offset == SCR:
        uart.scr = value
    return False


@native
def write_enables(uart: Uart, value: u64) -> None:
    """IER. Enabling the transmitter's interrupt raises it: there is always room."""
    if uart.lcr & DLAB != 0:
        uart.divisor = uart.divisor & 0xFF | value << 8
        return
    if value & SENT == 0:
        uart.sent = 0
    elif uart.ier & SENT == 0:
        uart.sent = 1
    uart.ier = value & 0x0F


@native
def write_fifo_control(uart: Uart, value: u64) -> None:
    """FCR: bit 1 empties the receive FIFO, and so does every change of bit 0.

    A driver does that as it starts. What it has not read has not come in yet.
    """
    if value & CLEAR_RECEIVED != 0 or (value ^ uart.fcr) & FIFO_ON != 0:
        uart.used = 0
        uart.given_back = uart.came_in
        uart.came_in = 0
    uart.fcr = value & KEPT_OF_FCR if value & FIFO_ON != 0 else u64(0)


@native
def write_modem_control(uart: Uart, value: u64) -> None:
    """MCR: looping back, and outputs while looped back, change what MSR sees."""
    before = modem_lines(uart)
    uart.mcr = value
    after = modem_lines(uart)
    changed = (before ^ after) & LIVE_LINE | before & ~after & RING  # the end of ringing only
    uart.modem_delta = uart.modem_delta | changed >> 4
