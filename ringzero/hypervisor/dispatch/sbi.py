"""The Supervisor Binary Interface that guests call: what firmware does on the bare machine.

SBI 2.0: base (chapter 4), TIME (6), IPI (7), RFENCE (8), HSM (9), SRST (10), DBCN (12); FWFT of
3.0; and the calls of 0.1 that small programs still make.
"""

from __future__ import annotations

from ringzero.board.hypercalls import DELIVER
from ringzero.hypervisor.devices import console, uart
from ringzero.hypervisor.vm import life, technique
from ringzero.hypervisor.vm.state import OPEN_RAM, Vm
from ringzero.isa.privileged.paging import ADUE
from ringzero.isa.privileged.trap import SSI
from ringzero.lang import load, native, store, u8, u32, u64

SUCCESS, NOT_SUPPORTED, INVALID_PARAM, DENIED, ALREADY_AVAILABLE = 0, -2, -3, -4, -6
SPECIFICATION, IMPLEMENTATION, VERSION = 2 << 24, 0x727A, 1

BASE, TIME, IPI, RFENCE = 0x10, 0x5449_4D45, 0x73_5049, 0x5246_4E43
HSM, SRST, DBCN, FWFT = 0x48_534D, 0x5352_5354, 0x4442_434E, 0x4657_4654
OLD_TIMER, OLD_PUT, OLD_GET, OLD_SHUTDOWN = 0, 1, 2, 8
KNOWN = (BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, FWFT, OLD_TIMER, OLD_PUT, OLD_GET, OLD_SHUTDOWN)

SYSTEM_FAILURE = 1
EXIT_CODE_REASON = 0xE000_0000  # ours: the low byte is the exit code
SUSPEND, UPDATE_AD, MISALIGNED = 3, 4, 0

TIMER, CONSOLE, FENCE, OTHER, _, DELIVERY, CALL = range(7)  # state.CALL_KINDS


@native
def describe(vm: Vm, function: u64, extension: u64) -> tuple[u64, u64]:
    """The base extension."""
    value = u64(0)
    if function == 0:
        value = u64(SPECIFICATION)
    elif function == 1:
        value = u64(IMPLEMENTATION)
    elif function == 2:
        value = u64(VERSION)
    elif function == 3:
        for known in KNOWN:
            if extension == known:
                value = u64(1)
        if technique.has_extension(vm, extension):
            value = u64(1)
    elif function > 6:
        return u64(NOT_SUPPORTED), u64(0)
    return u64(SUCCESS), value


@native
def put_text(vm: Vm, function: u64, a0: u64, a1: u64, a2: u64) -> tuple[u64, u64]:
    """DBCN: a0 bytes at the guest-physical address a2:a1, or one byte."""
    if function == 2:
        console.write_for(vm, u8(a0))
        return u64(SUCCESS), u64(0)
    if function > 2:
        return u64(NOT_SUPPORTED), u64(0)
    if a2 != 0 or a1 - OPEN_RAM >= vm.size or a0 > vm.size - (a1 - OPEN_RAM):
        return u64(INVALID_PARAM), u64(0)
    place, done = a1 + vm.offset, u64(0)
    if function == 0:
        while done < a0:
            console.write_for(vm, load(u8, place + done))
            done += 1
    else:
        while done < a0 and vm.serial.used != 0:
            store(u8, place + done, u8(uart.take(vm)))
            done += 1
    return u64(SUCCESS), done


@native
def reset(vm: Vm, kind: u64, reason: u64) -> u64:
    """SRST: the guest shuts down or wants to begin again; either way it does not come back."""
    if kind > 2:
        return u64(INVALID_PARAM)
    if kind != 0:
        life.stop(vm, u64(life.RESTARTED))
    elif reason == 0:
        life.stop(vm, u64(0))
    elif reason == SYSTEM_FAILURE:
        life.crash(vm)
    elif reason & ~u64(0xFF) == EXIT_CODE_REASON:
        life.stop(vm, reason & 0xFF)
    else:
        return u64(INVALID_PARAM)
    return u64(SUCCESS)


@native
def feature(vm: Vm, function: u64, number: u64, value: u64) -> tuple[u64, u64]:
    """FWFT: whether A and D bits are set by the hart or by the guest's kernel."""
    if number == MISALIGNED:
        return u64(SUCCESS) if function == 1 or value == 1 else u64(DENIED), u64(function == 1)
    if number != UPDATE_AD or function > 1:
        return u64(NOT_SUPPORTED), u64(0)
    if function == 1:
        return u64(SUCCESS), u64(vm.hart.menvcfg & ADUE != 0)
    if value > 1:
        return u64(INVALID_PARAM), u64(0)
    vm.hart.menvcfg = vm.hart.menvcfg & ~u64(ADUE)
    if value == 1:
        vm.hart.menvcfg = vm.hart.menvcfg | ADUE
    return u64(SUCCESS), u64(0)


@native
def remote(vm: Vm, function: u64, start: u64, size: u64) -> u64:
    """RFENCE: the only hart there is has its code and translations fenced."""
    if function == 0:  # fence.i: the real hart did it when the guest's own was executed
        return u64(SUCCESS)
    if function > 2:
        return u64(NOT_SUPPORTED)
    technique.fence(vm, start, u64(0), u64(size <= 4096 and size != 0))
    return u64(SUCCESS)


@native
def harts(vm: Vm, function: u64, a0: u64) -> tuple[u64, u64]:
    """HSM: hart 0 runs, and there is no other."""
    if function == SUSPEND:
        vm.waiting = 1
        return u64(SUCCESS), u64(0)
    if function == 1:
        life.stop(vm, u64(0))
        return u64(SUCCESS), u64(0)
    if a0 != 0 or function > 2:
        return u64(INVALID_PARAM), u64(0)
    return u64(ALREADY_AVAILABLE) if function == 0 else u64(SUCCESS), u64(0)


@native
def send(vm: Vm, mask: u64, base: u64) -> u64:
    """IPI: a software interrupt to oneself."""
    if base != 0xFFFF_FFFF_FFFF_FFFF and (base != 0 or mask > 1):
        return u64(INVALID_PARAM)
    if base != 0 or mask & 1 != 0:
        vm.hart.mip = vm.hart.mip | 1 << SSI
    return u64(SUCCESS)


@native
def legacy(vm: Vm, number: u64, a0: u64) -> u64:
    """SBI 0.1: the answer is in a0 alone."""
    if number == OLD_PUT:
        console.write_for(vm, u8(a0))
    elif number == OLD_GET:
        return uart.take(vm) if vm.serial.used != 0 else ~u64(0)
    elif number == OLD_TIMER:
        vm.hart.stimecmp = a0
    elif number == OLD_SHUTDOWN:
        life.stop(vm, u64(0))
    else:
        return u64(NOT_SUPPORTED)
    return u64(0)


@native(inline=False)
def answer_call(vm: Vm) -> u64:
    """An ecall from the virtual supervisor; returns its index in state.CALL_KINDS."""
    x = vm.hart.x
    a0, a1, a2, function, extension = x[10], x[11], x[12], x[16], x[17]
    vm.hart.pc += 4
    error, value, kind = u64(NOT_SUPPORTED), u64(0), u64(OTHER)
    if extension < 16:
        x[10] = legacy(vm, extension, a0)
        return u64(CONSOLE)
    if extension == TIME and function == 0:
        vm.hart.stimecmp = a0
        error, kind = u64(SUCCESS), u64(TIMER)
    elif extension == DBCN:
        error, value = put_text(vm, function, a0, a1, a2)
        kind = u64(CONSOLE)
    elif extension == RFENCE:
        error, kind = remote(vm, function, a2, x[13]), u64(FENCE)
    elif extension == IPI and function == 0:
        error = send(vm, a0, a1)
    elif extension == BASE:
        error, value = describe(vm, function, a0)
    elif extension == HSM:
        error, value = harts(vm, function, a0)
    elif extension == SRST and function == 0:
        error = reset(vm, u64(u32(a0)), u64(u32(a1)))
    elif extension == FWFT:
        error, value = feature(vm, function, u64(u32(a0)), a1)
    elif technique.has_extension(vm, extension):
        error, value = technique.call(vm, function)
        kind = u64(DELIVERY) if function == DELIVER else u64(CALL)
    x[10], x[11] = error, value
    return kind
