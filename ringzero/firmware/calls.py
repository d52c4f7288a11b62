"""The SBI calls that concern one hart: base, timer, console, reset, features; and all dispatch."""

from __future__ import annotations

from ringzero.bare.stubs import csr, wait
from ringzero.board import finisher, sbi
from ringzero.board.addresses import CLINT_BASE, FINISHER_BASE
from ringzero.board.clint import MTIMECMP
from ringzero.board.sbi import arguments
from ringzero.firmware import harts, memory, requests, uart
from ringzero.firmware.entry import Frame
from ringzero.firmware.layout import shared
from ringzero.isa.privileged.paging import ADUE
from ringzero.isa.privileged.trap import MTI, STI
from ringzero.lang import load, native, store, u8, u16, u32, u64


@native
def describe(function: u64, extension: u64) -> tuple[u64, u64]:
    """The base extension (SBI 2.0, chapter 4)."""
    if function == sbi.GET_MVENDORID:
        return u64(sbi.SUCCESS), csr.mvendorid.read()
    if function == sbi.GET_MARCHID:
        return u64(sbi.SUCCESS), csr.marchid.read()
    if function == sbi.GET_MIMPID:
        return u64(sbi.SUCCESS), csr.mimpid.read()
    error, value = arguments.describe(function, extension)
    return error, value


@native
def set_timer(time: u64) -> None:
    """TIME: the next supervisor timer interrupt, and none until then."""
    if shared.has_stimecmp:
        csr.stimecmp.write(time)
        return
    store(u64, CLINT_BASE + MTIMECMP + (csr.mhartid.read() << 3), time)
    csr.mip.clear(u64(1 << STI))
    csr.mie.set(u64(1 << MTI))


@native
def timer_fired() -> None:
    """The machine's timer, on behalf of the supervisor's."""
    csr.mie.clear(u64(1 << MTI))
    csr.mip.set(u64(1 << STI))


@native
def console(function: u64, a0: u64, a1: u64, a2: u64) -> tuple[u64, u64]:
    """DBCN (SBI 2.0, chapter 12): a0 bytes at the physical address a2:a1."""
    if function == sbi.CONSOLE_WRITE_BYTE:
        uart.write(u8(a0))
        return u64(sbi.SUCCESS), u64(0)
    if function > sbi.CONSOLE_WRITE_BYTE:
        return u64(sbi.NOT_SUPPORTED), u64(0)
    if not memory.is_open(a1, a2, a0):
        return u64(sbi.INVALID_PARAM), u64(0)
    done, size = u64(0), a0
    if size > arguments.MOST_CONSOLE_BYTES:
        size = u64(arguments.MOST_CONSOLE_BYTES)
    if function == sbi.CONSOLE_WRITE:
        uart.take()
        while done < size:
            uart.write(load(u8, a1 + done))
            done += 1
        uart.release()
    else:
        while done < size and uart.is_ready():
            store(u8, a1 + done, uart.read())
            done += 1
    return u64(sbi.SUCCESS), done


@native
def reset(kind: u64, reason: u64) -> u64:
    """SRST (SBI 2.0, chapter 10), by the SiFive test finisher."""
    error = arguments.reset_error(kind, reason)
    if error != sbi.SUCCESS:
        return error
    if kind != sbi.SHUTDOWN:
        end(u32(finisher.RESET))
    elif reason == sbi.SYSTEM_FAILURE:
        finish(u64(1))
    else:
        finish(reason & 0xFF)
    return u64(sbi.FAILED)


@native
def finish(code: u64) -> None:
    """End the machine with an exit code. Does not return."""
    end(u32(finisher.PASS) if code == 0 else u32(u16(code)) << 16 | finisher.FAIL)


@native
def end(how: u32) -> None:
    """Tell the finisher. The machine may run on for a moment, in which nobody says otherwise."""
    store(u32, FINISHER_BASE, how)
    while True:
        wait()


@native
def feature(function: u64, number: u64, value: u64, flags: u64) -> tuple[u64, u64]:
    """FWFT (SBI 3.0, chapter 18): whether the hart updates A and D bits itself."""
    error = arguments.feature_error(function, number)
    if error != sbi.SUCCESS:
        return error, u64(0)
    if function == sbi.FWFT_GET:
        on = number == sbi.MISALIGNED_EXC_DELEG or csr.menvcfg.read() & ADUE != 0
        return u64(sbi.SUCCESS), u64(on)
    hart = csr.mhartid.read()
    error = arguments.feature_value_error(number, value, flags, shared.locked[hart])
    if error != sbi.SUCCESS:
        return error, u64(0)
    if number == sbi.PTE_AD_HW_UPDATING:
        csr.menvcfg.clear(u64(ADUE))
        if value == 1:
            csr.menvcfg.set(u64(ADUE))
            if csr.menvcfg.read() & ADUE == 0:  # the hart has no Svadu
                return u64(sbi.NOT_SUPPORTED), u64(0)
    if flags & sbi.FWFT_LOCK != 0:
        shared.locked[hart] = shared.locked[hart] | u64(1) << number
    return u64(sbi.SUCCESS), u64(0)


@native
def legacy(number: u64, a0: u64) -> u64:
    """The calls of SBI 0.1 that small programs still make; they answer in a0 alone."""
    if number == sbi.LEGACY_CONSOLE_PUTCHAR:
        uart.write(u8(a0))
    elif number == sbi.LEGACY_CONSOLE_GETCHAR:
        return u64(uart.read()) if uart.is_ready() else ~u64(0)
    elif number == sbi.LEGACY_SET_TIMER:
        set_timer(a0)
    elif number == sbi.LEGACY_SHUTDOWN:
        finish(u64(0))
    else:
        return u64(sbi.NOT_SUPPORTED)
    return u64(0)


@native
def answer(frame: Frame) -> tuple[u64, u64]:
    """Error and value of an SBI call."""
    extension, function = frame.a7, frame.a6
    if extension == sbi.TIME and function == sbi.SET_TIMER:
        set_timer(frame.a0)
        return u64(sbi.SUCCESS), u64(0)
    if extension == sbi.IPI and function == sbi.SEND_IPI:
        return requests.send(frame.a0, frame.a1), u64(0)
    if extension == sbi.RFENCE:
        start, size, space = frame.a2, frame.a3, frame.a4
        return requests.remote_fence(function, frame.a0, frame.a1, start, size, space), u64(0)
    if extension == sbi.DBCN:
        return console(function, frame.a0, frame.a1, frame.a2)
    if extension == sbi.BASE:
        return describe(function, frame.a0)
    if extension == sbi.HSM:
        return harts.manage(function, frame.a0, frame.a1, frame.a2)
    if extension == sbi.SRST and function == sbi.SYSTEM_RESET:
        return reset(u64(u32(frame.a0)), u64(u32(frame.a1))), u64(0)
    if extension == sbi.FWFT:
        return feature(function, u64(u32(frame.a0)), frame.a1, frame.a2)
    return u64(sbi.NOT_SUPPORTED), u64(0)
