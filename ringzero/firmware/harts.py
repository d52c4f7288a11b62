"""The lives of harts: started, stopped and suspended by one another. SBI 2.0, chapter 9 (HSM)."""

from __future__ import annotations

from ringzero.bare.stubs import csr, fence_code, fence_guest, fence_translation, fence_virtual, wait
from ringzero.board import sbi
from ringzero.board.sbi.arguments import exists, suspend_error
from ringzero.firmware.entry import enter
from ringzero.firmware.layout import MAIL_START, S, shared
from ringzero.firmware.memory import is_open_entry
from ringzero.firmware.requests import post, read_mail
from ringzero.isa.csrs.machine import mstatus
from ringzero.isa.privileged.paging import ADUE
from ringzero.isa.privileged.trap import MSI, SSI
from ringzero.lang import atomic, compare_exchange, native, read_once, u32, u64

MPP, SIE, SPIE, MPIE = (
    mstatus.MPP.bits, mstatus.SIE.bits, mstatus.SPIE.bits, mstatus.MPIE.bits,
)  # fmt: skip
MPP_S = S << mstatus.MPP.low


@native
def start_hart(hart: u64, address: u64, argument: u64) -> u64:
    """Let a stopped hart go on in S-mode at `address`."""
    if not exists(hart, shared.present[0]):
        return u64(sbi.INVALID_PARAM)
    if not is_open_entry(address):
        return u64(sbi.INVALID_ADDRESS)
    if not compare_exchange(u64, shared.state, hart << 3, sbi.STOPPED, sbi.START_PENDING):
        return u64(sbi.ALREADY_AVAILABLE)
    shared.start_address[hart] = address
    shared.start_argument[hart] = argument
    post(hart, u64(MAIL_START))
    return u64(sbi.SUCCESS)


@native
def stop_this() -> None:
    """Stop, and wait to be started again. Does not return."""
    hart = csr.mhartid.read()
    csr.mie.write(u64(1 << MSI))
    read_mail()
    atomic("xchg", u64, shared.state, hart << 3, sbi.STOPPED)
    wait_for_start(hart)


@native
def wait_for_start(hart: u64) -> None:
    """Sleep until another hart starts this one, then go there. Does not return.

    A started hart has the features that FWFT gives it at reset.
    """
    csr.mie.write(u64(1 << MSI))
    while read_mail() & MAIL_START == 0:
        wait()
    csr.mip.clear(u64(1 << SSI))
    csr.menvcfg.clear(u64(ADUE))
    shared.locked[hart] = 0
    go(hart, shared.start_address[hart], shared.start_argument[hart], u64(MPP_S))


@native
def go(hart: u64, address: u64, argument: u64, mode: u64) -> None:
    """Leave for the supervisor: translation off, interrupts off (SBI 2.0, tables 20 and 22).

    Whoever fences while this hart does not run leaves it out, so it fences after it says it does.
    """
    atomic("xchg", u64, shared.state, hart << 3, sbi.STARTED)
    fence_code()
    fence_translation()
    if shared.has_guests:
        fence_guest()
        fence_virtual()
    csr.satp.write(u64(0))
    csr.mie.write(u64(1 << MSI))
    enter(address, hart, argument, mode | MPIE, u64(MPP | SIE | SPIE))


@native
def suspend(kind: u64, address: u64, argument: u64) -> u64:
    """Sleep until an interrupt; a non-retentive sleep goes on at `address`."""
    error = suspend_error(kind)
    if error != sbi.SUCCESS:
        return error
    if kind == sbi.NON_RETENTIVE and not is_open_entry(address):
        return u64(sbi.INVALID_ADDRESS)
    hart = csr.mhartid.read()
    atomic("xchg", u64, shared.state, hart << 3, sbi.SUSPENDED)
    while True:
        if csr.mip.read() & 1 << MSI != 0:
            read_mail()
        if csr.mip.read() & csr.mie.read() != 0:
            break
        wait()
    if kind == sbi.NON_RETENTIVE:
        go(hart, address, argument, u64(MPP_S))
    atomic("xchg", u64, shared.state, hart << 3, sbi.STARTED)
    return u64(sbi.SUCCESS)


@native
def manage(function: u64, a0: u64, a1: u64, a2: u64) -> tuple[u64, u64]:
    """The functions of HSM."""
    if function == sbi.HART_START:
        return start_hart(a0, a1, a2), u64(0)
    if function == sbi.HART_STOP:
        stop_this()
    if function == sbi.HART_GET_STATUS:
        if not exists(a0, shared.present[0]):
            return u64(sbi.INVALID_PARAM), u64(0)
        return u64(sbi.SUCCESS), read_once(u64, shared.state, a0 << 3)
    if function == sbi.HART_SUSPEND:
        return suspend(u64(u32(a0)), a1, a2), u64(0)
    return u64(sbi.NOT_SUPPORTED), u64(0)
