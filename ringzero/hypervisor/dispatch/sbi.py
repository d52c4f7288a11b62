"""The Supervisor Binary Interface that guests call: what firmware does on the bare machine.

SBI 2.0: base (chapter 4), TIME (6), IPI (7), RFENCE (8), HSM (9), SRST (10), DBCN (12); FWFT of
3.0; and the calls of 0.1 that small programs still make. Numbers and the checks of arguments are
the board's, which firmware compiles too (`ringzero/board/sbi/`); here is what a VM does then.
"""

from __future__ import annotations

from ringzero.bare.stubs import fence_code
from ringzero.board import sbi
from ringzero.board.addresses import RAM_BASE
from ringzero.board.hypercalls import DELIVER
from ringzero.board.sbi import arguments
from ringzero.hypervisor.devices import console, serial
from ringzero.hypervisor.vm import life, technique
from ringzero.hypervisor.vm.state import PAGE, Vm
from ringzero.isa.hart import S
from ringzero.isa.privileged.paging import ADUE
from ringzero.isa.privileged.trap import SSI, STATUS_SIE
from ringzero.lang import load, native, store, typed_range, u8, u32, u64

HARTS = 1  # a bit for each hart that a VM has
MOST_PAGES = 64  # of a remote fence; more are fenced all at once
BY_ADDRESS, BY_ASID = 1, 2  # see isa.ports.fence_translation

TIMER, CONSOLE, FENCE, OTHER, _, DELIVERY, CALL = range(7)  # state.CALL_KINDS


@native
def describe(vm: Vm, function: u64, extension: u64) -> tuple[u64, u64]:
    """The base extension; vendor, architecture and implementation of the hart are all zero."""
    if sbi.GET_MVENDORID <= function <= sbi.GET_MIMPID:
        return u64(sbi.SUCCESS), u64(0)
    if function == sbi.PROBE_EXTENSION and technique.has_extension(vm, extension):
        return u64(sbi.SUCCESS), u64(1)
    return arguments.describe(function, extension)


@native
def use_console(vm: Vm, function: u64, a0: u64, a1: u64, a2: u64) -> tuple[u64, u64]:
    """DBCN: a0 bytes at the guest-physical address a2:a1, or one byte."""
    if function == sbi.CONSOLE_WRITE_BYTE:
        console.write_for(vm, u8(a0))
        return u64(sbi.SUCCESS), u64(0)
    if function > sbi.CONSOLE_WRITE_BYTE:
        return u64(sbi.NOT_SUPPORTED), u64(0)
    if not arguments.is_within(a1, a2, a0, u64(RAM_BASE), RAM_BASE + vm.size):
        return u64(sbi.INVALID_PARAM), u64(0)
    place, done, most = a1 + vm.offset, u64(0), a0
    if most > arguments.MOST_CONSOLE_BYTES:
        most = u64(arguments.MOST_CONSOLE_BYTES)
    if function == sbi.CONSOLE_WRITE:
        while done < most:
            console.write_for(vm, load(u8, place + done))
            done += 1
    else:
        while done < most and serial.has_input(vm):
            store(u8, place + done, u8(serial.take(vm)))
            done += 1
        if done != 0:  # nothing may be read to anywhere, memory or not
            technique.memory_written(vm, a1, done)
    return u64(sbi.SUCCESS), done


@native
def reset(vm: Vm, kind: u64, reason: u64) -> u64:
    """SRST: the guest shuts down or wants to begin again; either way it does not come back."""
    error = arguments.reset_error(kind, reason)
    if error != 0:
        return error
    if kind != sbi.SHUTDOWN:
        life.stop(vm, u64(life.RESTARTED))
    elif reason == sbi.SYSTEM_FAILURE:
        life.crash(vm)
    else:
        life.stop(vm, reason & 0xFF)
    return error


@native
def feature(vm: Vm, function: u64, number: u64, value: u64, flags: u64) -> tuple[u64, u64]:
    """FWFT: whether A and D bits are set by the hart or by the guest's kernel."""
    error = arguments.feature_error(function, number)
    if error != 0:
        return error, u64(0)
    updates = number == sbi.PTE_AD_HW_UPDATING
    if function == sbi.FWFT_GET:
        return error, u64(not updates or vm.hart.menvcfg & ADUE != 0)
    error = arguments.feature_value_error(number, value, flags, vm.locked)
    if error != 0:
        return error, u64(0)
    if flags & sbi.FWFT_LOCK != 0:
        vm.locked = vm.locked | u64(1) << number
    if updates:
        vm.hart.menvcfg = vm.hart.menvcfg & ~u64(ADUE)
        if value == 1:
            vm.hart.menvcfg = vm.hart.menvcfg | ADUE
    return error, u64(0)


@native(inline=False)
def fence_range(vm: Vm, start: u64, size: u64, asid: u64, which: u64) -> None:
    """Every page of [start, start + size), in one address space or in all."""
    page, count = arguments.pages_of(start, size)
    if count > MOST_PAGES:
        technique.fence(vm, u64(0), asid, which)
        return
    for _ in typed_range(count):
        technique.fence(vm, page, asid, which | BY_ADDRESS)
        page += PAGE


@native
def fence_harts(vm: Vm, function: u64, mask: u64, base: u64) -> u64:
    """RFENCE: code or translations of the harts that a mask names; the fence's range follows."""
    if function > sbi.REMOTE_SFENCE_VMA_ASID:  # the others are for harts with H
        return u64(sbi.NOT_SUPPORTED)
    named, exist = arguments.select_harts(mask, base, u64(HARTS))
    if not exist:
        return u64(sbi.INVALID_PARAM)
    if named != 0:
        x = vm.hart.x
        if function == sbi.REMOTE_FENCE_I:
            fence_code()
        elif function == sbi.REMOTE_SFENCE_VMA:
            fence_range(vm, x[12], x[13], u64(0), u64(0))
        else:
            fence_range(vm, x[12], x[13], x[14], u64(BY_ASID))
    return u64(sbi.SUCCESS)


@native
def manage_harts(vm: Vm, function: u64, hart: u64) -> tuple[u64, u64]:
    """HSM, but for suspension: hart 0 runs, and there is no other."""
    if function == sbi.HART_STOP:
        life.stop(vm, u64(0))
        return u64(sbi.SUCCESS), u64(0)
    if function > sbi.HART_SUSPEND:
        return u64(sbi.NOT_SUPPORTED), u64(0)
    if not arguments.exists(hart, u64(HARTS)):
        return u64(sbi.INVALID_PARAM), u64(0)
    if function == sbi.HART_START:
        return u64(sbi.ALREADY_AVAILABLE), u64(0)
    return u64(sbi.SUCCESS), u64(sbi.STARTED)


@native
def suspend(vm: Vm, kind: u64, address: u64, opaque: u64) -> tuple[u64, u64]:
    """HSM: wait for an interrupt, and go on after the call, or at an address as a new hart does.

    What is returned is what the guest finds in a0 and a1 (9.4).
    """
    hart, error = vm.hart, arguments.suspend_error(kind)
    if error != 0:
        return error, u64(0)
    if kind == sbi.RETENTIVE:
        vm.waiting = 1
        return error, u64(0)
    if not arguments.is_entry(address, u64(RAM_BASE), RAM_BASE + vm.size):
        return u64(sbi.INVALID_ADDRESS), u64(0)
    vm.waiting = 1
    hart.pc, hart.mode, hart.satp = address, S, 0
    hart.mstatus = hart.mstatus & ~u64(STATUS_SIE)
    return u64(0), opaque  # the number of the hart, and what the guest has passed


@native
def send(vm: Vm, mask: u64, base: u64) -> u64:
    """IPI: a software interrupt to oneself."""
    named, exist = arguments.select_harts(mask, base, u64(HARTS))
    if not exist:
        return u64(sbi.INVALID_PARAM)
    if named != 0:
        vm.hart.mip = vm.hart.mip | 1 << SSI
    return u64(sbi.SUCCESS)


@native
def legacy(vm: Vm, number: u64, a0: u64) -> u64:
    """SBI 0.1: the answer is in a0 alone."""
    if number == sbi.LEGACY_CONSOLE_PUTCHAR:
        console.write_for(vm, u8(a0))
    elif number == sbi.LEGACY_CONSOLE_GETCHAR:
        return serial.take(vm) if serial.has_input(vm) else ~u64(0)
    elif number == sbi.LEGACY_SET_TIMER:
        vm.hart.stimecmp = a0
    elif number == sbi.LEGACY_SHUTDOWN:
        life.stop(vm, u64(0))
    else:
        return u64(sbi.NOT_SUPPORTED)
    return u64(0)


@native(inline=False)
def answer_call(vm: Vm) -> u64:
    """An ecall from the virtual supervisor; returns its index in state.CALL_KINDS."""
    x = vm.hart.x
    a0, a1, a2, function, extension = x[10], x[11], x[12], x[16], x[17]
    vm.hart.pc += 4
    error, value, kind = u64(sbi.NOT_SUPPORTED), u64(0), u64(OTHER)
    if extension < sbi.LEGACY_END:
        x[10] = legacy(vm, extension, a0)
        return u64(CONSOLE)
    if extension == sbi.TIME and function == sbi.SET_TIMER:
        vm.hart.stimecmp = a0
        error, kind = u64(sbi.SUCCESS), u64(TIMER)
    elif extension == sbi.DBCN:
        error, value = use_console(vm, function, a0, a1, a2)
        kind = u64(CONSOLE)
    elif extension == sbi.RFENCE:
        error, kind = fence_harts(vm, function, a0, a1), u64(FENCE)
    elif extension == sbi.IPI and function == sbi.SEND_IPI:
        error = send(vm, a0, a1)
    elif extension == sbi.BASE:
        error, value = describe(vm, function, a0)
    elif extension == sbi.HSM and function == sbi.HART_SUSPEND:
        error, value = suspend(vm, u64(u32(a0)), a1, a2)
    elif extension == sbi.HSM:
        error, value = manage_harts(vm, function, a0)
    elif extension == sbi.SRST and function == sbi.SYSTEM_RESET:
        error = reset(vm, u64(u32(a0)), u64(u32(a1)))
    elif extension == sbi.FWFT:
        error, value = feature(vm, function, u64(u32(a0)), a1, a2)
    elif technique.has_extension(vm, extension):
        error, value = technique.call(vm, function)
        kind = u64(DELIVERY) if function == DELIVER else u64(CALL)
    x[10], x[11] = error, value
    return kind
