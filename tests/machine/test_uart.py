"""The serial port as Linux's 8250 driver uses it."""

from __future__ import annotations

from ringzero.board.uart import DATA, DLAB, IER, IIR_FCR, LCR, LSR, MCR, MSR, POLLING, SCR
from ringzero.machine.devices.uart import Uart


def make() -> tuple[Uart, bytearray]:
    printed = bytearray()
    return Uart(printed.extend), printed


def test_output_is_immediate_and_the_transmitter_always_empty() -> None:
    uart, printed = make()
    for byte in b"hi\n":
        assert uart.read(LSR, 1) & 0x60 == 0x60
        uart.write(0, 1, byte)
    assert printed == b"hi\n"


def test_divisor_hides_behind_dlab() -> None:
    uart, printed = make()
    uart.write(IER, 1, 1)
    uart.write(LCR, 1, DLAB | 3)
    uart.write(0, 1, 0x34)
    uart.write(1, 1, 0x12)
    assert (uart.read(0, 1), uart.read(1, 1)) == (0x34, 0x12)
    uart.write(LCR, 1, 3)
    assert uart.read(IER, 1) == 1
    assert not printed


def test_receive_interrupt_lasts_until_the_fifo_is_empty() -> None:
    uart, _ = make()
    uart.write(IIR_FCR, 1, 0x81)  # FIFO on, trigger at 8
    uart.write(IER, 1, 1)
    assert not uart.interrupt
    uart.feed(b"abc")
    assert not uart.interrupt, "input waits for the harts' thread"
    uart.poll()
    assert uart.interrupt
    assert uart.read(IIR_FCR, 1) == 0xCC, "fewer than the trigger: timeout"
    uart.feed(b"defgh")
    uart.poll()
    assert uart.read(IIR_FCR, 1) == 0xC4
    assert bytes(uart.read(0, 1) for _ in range(8)) == b"abcdefgh"
    assert not uart.interrupt
    assert uart.read(IIR_FCR, 1) == 0xC1
    assert not uart.read(LSR, 1) & 1


def test_pasted_text_is_not_lost() -> None:
    uart, _ = make()
    text = bytes(range(256)) * 40
    uart.feed(text)
    uart.poll()
    for _ in range(POLLING + 1):  # as a guest does that waits
        assert not uart.read(LSR, 1) & 1
    received = bytearray()
    while uart.read(LSR, 1) & 1:
        received.append(uart.read(0, 1))
    assert received == text


def test_transmit_interrupt_is_raised_by_enabling_and_cleared_by_reading_its_cause() -> None:
    uart, _ = make()
    uart.write(IER, 1, 2)
    assert uart.interrupt
    assert uart.read(IIR_FCR, 1) == 0x02
    assert not uart.interrupt
    uart.write(0, 1, 65)
    assert uart.interrupt
    uart.write(IER, 1, 0)
    assert not uart.interrupt
    assert uart.read(IIR_FCR, 1) == 0x01


def test_receive_cause_hides_the_transmitters_and_keeps_it() -> None:
    uart, _ = make()
    uart.write(IER, 1, 3)
    uart.feed(b"x")
    uart.poll()
    assert uart.read(IIR_FCR, 1) == 0x04
    uart.read(0, 1)
    assert uart.read(IIR_FCR, 1) == 0x02


def test_loopback_goes_to_the_receiver_and_shows_the_modem_lines() -> None:
    uart, printed = make()
    uart.write(IIR_FCR, 1, 1)
    uart.write(MCR, 1, 0x1F)
    assert uart.read(MSR, 1) & 0xF0 == 0xF0
    uart.write(MCR, 1, 0x12)  # Linux's probe: loop RTS to CTS
    assert uart.read(MSR, 1) & 0xF0 == 0x10
    uart.write(0, 1, 0x55)
    assert uart.read(0, 1) == 0x55
    for byte in range(17):
        uart.write(0, 1, byte)
    assert uart.read(LSR, 1) & 2, "the 17th byte overran the FIFO"
    assert not uart.read(LSR, 1) & 2
    assert not printed


def test_only_the_end_of_ringing_is_a_change_of_the_modem() -> None:
    """PC16550D, table II: MSR bit 2 is the trailing edge of the ring indicator."""
    uart, _ = make()
    uart.write(MCR, 1, 0x10)
    uart.read(MSR, 1)
    uart.write(MCR, 1, 0x14)
    assert uart.read(MSR, 1) == 0x40
    uart.write(MCR, 1, 0x10)
    assert uart.read(MSR, 1) == 0x04
    assert uart.read(MSR, 1) == 0


def test_break_is_a_line_status() -> None:
    uart, _ = make()
    uart.write(IER, 1, 5)
    uart.send_break()
    uart.feed(b"h")
    uart.poll()
    assert uart.read(IIR_FCR, 1) == 0x06
    assert uart.read(LSR, 1) & 0x11 == 0x11
    assert uart.read(0, 1) == 0
    assert uart.read(0, 1) == ord("h")
    assert not uart.interrupt


def test_fifo_control_clears_the_receiver() -> None:
    uart, _ = make()
    uart.write(IIR_FCR, 1, 1)
    uart.feed(b"abc")
    uart.poll()
    uart.write(IIR_FCR, 1, 3)
    assert not uart.read(LSR, 1) & 1
    assert uart.read(IIR_FCR, 1) & 0xC0 == 0xC0
    uart.write(SCR, 1, 0xA5)
    assert uart.read(SCR, 1) == 0xA5


def test_state_round_trip() -> None:
    uart, _ = make()
    uart.write(IIR_FCR, 1, 1)
    uart.write(IER, 1, 7)
    uart.feed(b"abcdefghijklmnopqrstuvwxyz")
    uart.poll()
    other, _ = make()
    other.restore(uart.state())
    assert other.state() == uart.state()
    assert bytes(other.read(0, 1) for _ in range(26)) == b"abcdefghijklmnopqrstuvwxyz"


def start_as_linux_does(uart: Uart) -> None:
    """Linux 6.12, drivers/tty/serial/8250/8250_port.c: autoconfig, do_startup, set_termios."""
    for offset, value in ((IER, 0), (IER, 0x0F), (IER, 0), (MCR, 0x1A), (MCR, 0x08), (IIR_FCR, 1)):
        uart.write(offset, 1, value)
    for offset, value in ((IIR_FCR, 1), (IIR_FCR, 7), (IIR_FCR, 0)):
        uart.write(offset, 1, value)
    for offset in (LSR, DATA, IIR_FCR, MSR, LSR, LSR):
        uart.read(offset, 1)
    uart.write(IER, 1, 2)
    uart.read(IIR_FCR, 1)
    uart.write(IER, 1, 0)
    for offset in (LSR, DATA, IIR_FCR, MSR):
        uart.read(offset, 1)
    for offset, value in ((IER, 5), (LCR, 0x93), (0, 0x18), (1, 0), (LCR, 0x13), (IIR_FCR, 0x81)):
        uart.write(offset, 1, value)


def test_input_that_came_before_the_driver_is_not_lost() -> None:
    uart, _ = make()
    text = bytes(range(1, 256))
    uart.feed(text)
    uart.poll()
    start_as_linux_does(uart)
    received = bytearray()
    while uart.interrupt:
        received.append(uart.read(DATA, 1))
    assert received == text


def test_bytes_of_loopback_do_not_come_back_when_the_fifo_is_emptied() -> None:
    uart, _ = make()
    uart.write(IIR_FCR, 1, 1)
    uart.write(IER, 1, 1)
    uart.feed(b"ab")
    uart.poll()
    uart.write(MCR, 1, 0x10)
    uart.write(DATA, 1, 0x55)
    uart.write(MCR, 1, 0x08)
    assert uart.read(DATA, 1) == ord("a")
    uart.write(IIR_FCR, 1, 3)
    assert bytes(uart.read(DATA, 1) for _ in range(2)) == b"b\0"


def test_a_guest_that_prints_while_it_polls_gets_its_input() -> None:
    uart, _ = make()
    uart.feed(b"x")
    uart.poll()
    for _ in range(10):
        ready = uart.read(LSR, 1) & 1
        uart.read(LSR, 1)
        uart.write(DATA, 1, ord("."))
    assert ready
