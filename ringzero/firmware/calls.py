"""The SBI calls that concern one hart: base, timer, console, reset, features; and all dispatch."""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.board import finisher, sbi
from ringzero.board.addresses import CLINT_BASE, FINISHER_BASE
from ringzero.board.clint import MTIMECMP
from ringzero.firmware import harts, uart
from ringzero.firmware.entry import Frame
from ringzero.firmware.layout import shared
from ringzero.isa.privileged.paging import ADUE
from ringzero.lang import load, native, store, u8, u16, u32, u64

MTIE, STIP = 1 << 7, 1 << 5
EXTENSIONS = (
    sbi.BASE, sbi.TIME, sbi.IPI, sbi.RFENCE, sbi.HSM, sbi.SRST, sbi.DBCN, sbi.FWFT,
    sbi.LEGACY_SET_TIMER, sbi.LEGACY_CONSOLE_PUTCHAR, sbi.LEGACY_CONSOLE_GETCHAR,
    sbi.LEGACY_SHUTDOWN,
)  # fmt: skip


@native
def describe(function: u64, extension: u64) -> tuple[u64, u64]:
    """The base extension (SBI 2.0, chapter 4)."""
    value = u64(0)
    if function == 0:
        value = u64(sbi.SPECIFICATION)
    elif function == 1:
        value = u64(sbi.IMPLEMENTATION)
    elif function == 2:
        value = u64(sbi.IMPLEMENTATION_VERSION)
    elif function == 3:
        for known in EXTENSIONS:
            if extension == known:
                value = u64(1)
    elif function == 4:
        value = csr.mvendorid.read()
    elif function == 5:
        value = csr.marchid.read()
    elif function == 6:
        value = csr.mimpid.read()
    else:
        return u64(sbi.NOT_SUPPORTED), u64(0)
    return u64(sbi.SUCCESS), value


@native
def set_timer(time: u64) -> None:
    """TIME: the next supervisor timer interrupt, and none until then."""
    if shared.has_stimecmp:
        csr.stimecmp.write(time)
        return
    store(u64, CLINT_BASE + MTIMECMP + (csr.mhartid.read() << 3), time)
    csr.mip.clear(STIP)
    csr.mie.set(MTIE)


@native
def timer_fired() -> None:
    """The machine's timer, on behalf of the supervisor's."""
    csr.mie.clear(MTIE)
    csr.mip.set(STIP)


@native
def console(function: u64, a0: u64, a1: u64, a2: u64) -> tuple[u64, u64]:
    """DBCN (SBI 2.0, chapter 12): a0 bytes at the physical address a2:a1."""
    if function == 2:
        uart.write(u8(a0))
        return u64(sbi.SUCCESS), u64(0)
    if function > 2:
        return u64(sbi.NOT_SUPPORTED), u64(0)
    if a2 != 0 or harts.is_ours(a1, a0):
        return u64(sbi.INVALID_PARAM), u64(0)
    done = u64(0)
    if function == 0:
        uart.take()
        while done < a0:
            uart.write(load(u8, a1 + done))
            done += 1
        uart.release()
    else:
        while done < a0 and uart.is_ready():
            store(u8, a1 + done, uart.read())
            done += 1
    return u64(sbi.SUCCESS), done


@native
def reset(kind: u64, reason: u64) -> u64:
    """SRST (SBI 2.0, chapter 10), by the SiFive test finisher."""
    if kind == sbi.SHUTDOWN:
        code = u64(0)
        if reason == sbi.SYSTEM_FAILURE:
            code = u64(1)
        elif reason & ~u64(0xFF) == sbi.EXIT_CODE_REASON:
            code = reason & 0xFF
        elif reason != sbi.NO_REASON:
            return u64(sbi.INVALID_PARAM)
        finish(code)
    elif kind == sbi.COLD_REBOOT or kind == sbi.WARM_REBOOT:
        store(u32, FINISHER_BASE, finisher.RESET)
    else:
        return u64(sbi.INVALID_PARAM)
    return u64(sbi.FAILED)


@native
def finish(code: u64) -> None:
    """End the machine with an exit code."""
    failure = u32(u16(code)) << 16 | finisher.FAIL
    store(u32, FINISHER_BASE, u32(finisher.PASS) if code == 0 else failure)


@native
def feature(function: u64, number: u64, value: u64, flags: u64) -> tuple[u64, u64]:
    """FWFT (SBI 3.0, chapter 18): whether the hart updates A and D bits itself."""
    if number != sbi.PTE_AD_HW_UPDATING and number != sbi.MISALIGNED_EXC_DELEG:
        return u64(sbi.NOT_SUPPORTED), u64(0)
    if function == 1:
        on = number == sbi.MISALIGNED_EXC_DELEG or csr.menvcfg.read() & ADUE != 0
        return u64(sbi.SUCCESS), u64(on)
    if function != 0:
        return u64(sbi.NOT_SUPPORTED), u64(0)
    if value > 1 or flags != 0:
        return u64(sbi.INVALID_PARAM), u64(0)
    if number == sbi.MISALIGNED_EXC_DELEG:  # misaligned accesses never come here
        return u64(sbi.SUCCESS) if value == 1 else u64(sbi.DENIED), u64(0)
    if value == 0:
        csr.menvcfg.clear(ADUE)
        return u64(sbi.SUCCESS), u64(0)
    csr.menvcfg.set(ADUE)
    if csr.menvcfg.read() & ADUE == 0:  # the hart has no Svadu
        return u64(sbi.NOT_SUPPORTED), u64(0)
    return u64(sbi.SUCCESS), u64(0)


@native
def legacy(frame: Frame) -> bool:
    """The calls of SBI 0.1 that small programs still make; they answer in a0 alone."""
    if frame.a7 == sbi.LEGACY_CONSOLE_PUTCHAR:
        uart.write(u8(frame.a0))
        frame.a0 = 0
    elif frame.a7 == sbi.LEGACY_CONSOLE_GETCHAR:
        frame.a0 = u64(uart.read()) if uart.is_ready() else ~u64(0)
    elif frame.a7 == sbi.LEGACY_SET_TIMER:
        set_timer(frame.a0)
        frame.a0 = 0
    elif frame.a7 == sbi.LEGACY_SHUTDOWN:
        finish(u64(0))
    else:
        return False
    return True


@native
def answer(frame: Frame) -> tuple[u64, u64]:
    """Error and value of an SBI call."""
    extension, function = frame.a7, frame.a6
    if extension == sbi.TIME and function == 0:
        set_timer(frame.a0)
        return u64(sbi.SUCCESS), u64(0)
    if extension == sbi.IPI and function == sbi.SEND_IPI:
        return harts.send(frame.a0, frame.a1), u64(0)
    if extension == sbi.RFENCE:
        error = harts.remote_fence(function, frame.a0, frame.a1, frame.a2, frame.a3, frame.a4)
        return error, u64(0)
    if extension == sbi.DBCN:
        return console(function, frame.a0, frame.a1, frame.a2)
    if extension == sbi.BASE:
        return describe(function, frame.a0)
    if extension == sbi.HSM:
        return harts.manage(function, frame.a0, frame.a1, frame.a2)
    if extension == sbi.SRST and function == 0:
        return reset(u64(u32(frame.a0)), u64(u32(frame.a1))), u64(0)
    if extension == sbi.FWFT:
        return feature(function, u64(u32(frame.a0)), frame.a1, frame.a2)
    return u64(sbi.NOT_SUPPORTED), u64(0)
