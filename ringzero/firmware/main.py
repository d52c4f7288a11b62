"""The firmware's life: bring up a hart, hand over to the next stage, then answer traps."""

from __future__ import annotations

from ringzero.bare.device_tree import ABSENT, find, is_tree, word
from ringzero.bare.stubs import csr
from ringzero.bare.text import put, put_byte, put_hex
from ringzero.board import clint, fw_dynamic, sbi
from ringzero.board.addresses import CLINT_BASE, FIRMWARE_SIZE, KERNEL_BASE, RAM_BASE
from ringzero.board.fw_dynamic import FirmwareInfo
from ringzero.firmware import calls, harts, uart
from ringzero.firmware.entry import Frame, trap
from ringzero.firmware.layout import HARTS, S, boot, shared
from ringzero.firmware.memory import find_ram
from ringzero.firmware.requests import read_mail
from ringzero.firmware.reserve import reserve
from ringzero.isa.csrs.machine import menvcfg, mstatus
from ringzero.isa.hart import H
from ringzero.isa.privileged.trap import (
    CAUSES,
    ECALL_FROM_M,
    ECALL_FROM_S,
    INTERRUPT,
    MSI,
    MTI,
    SEI,
    SSI,
    STI,
)
from ringzero.lang import address_of, atomic, fence, native, ptr, typed_range, u8, u64

SOFTWARE_INTERRUPT, TIMER_INTERRUPT = INTERRUPT | MSI, INTERRUPT | MTI
SOFTWARE_CHECK, HARDWARE_ERROR, COUNTER_OVERFLOW = 18, 19, 13  # causes; our harts have none
# Everything but calls from S and M goes to S, which is where OpenSBI would send it in the end.
DELEGATED = (1 << SOFTWARE_CHECK | 1 << HARDWARE_ERROR) + sum(
    1 << cause for cause in CAUSES if cause not in (ECALL_FROM_S, ECALL_FROM_M)
)
DELEGATED_INTERRUPTS = 1 << SSI | 1 << STI | 1 << SEI | 1 << COUNTER_OVERFLOW
ENVIRONMENT = sum(
    field.bits for field in (menvcfg.STCE, menvcfg.PBMTE, menvcfg.CBZE, menvcfg.CBCFE, menvcfg.CBIE)
)
NAPOT, ALL_ACCESS = 3 << 3, 7
# mstateen0: SE0, ENVCFG, CSRIND, AIA, IMSIC, CONTEXT; JVT, FCSR, C.
STATEEN_ALL = 1 << 63 | 1 << 62 | 1 << 60 | 1 << 59 | 1 << 58 | 1 << 57 | 7


@native
def napot(base: int, size: int) -> u64:
    """pmpaddr of a naturally aligned region (privileged spec 3.7.1)."""
    return u64(base >> 2 | (size >> 3) - 1)


@native
def setup() -> None:
    """This hart's machine-mode CSRs, for a supervisor that may do all but touch us."""
    csr.mtvec.write(address_of(trap))
    csr.medeleg.write(u64(DELEGATED))
    csr.mideleg.write(u64(DELEGATED_INTERRUPTS))
    csr.mcounteren.write(~u64(0))
    csr.mcountinhibit.try_set(u64(0))
    csr.scounteren.write(u64(7))
    csr.mstatus.set(u64(mstatus.FS.bits))
    csr.menvcfg.try_set(u64(ENVIRONMENT))
    csr.menvcfg.clear(u64(menvcfg.ADUE.bits))  # the reset value of FWFT's feature, SBI 3.0
    csr.mstateen0.try_set(u64(STATEEN_ALL))
    csr.pmpaddr0.write(napot(RAM_BASE, FIRMWARE_SIZE))
    csr.pmpaddr1.write(napot(CLINT_BASE, clint.SIZE))
    csr.pmpaddr2.write(~u64(0))
    csr.pmpcfg0.write(u64(NAPOT | NAPOT << 8 | (NAPOT | ALL_ACCESS) << 16))


@native
def count_harts(tree: ptr[u8]) -> None:
    """Which harts exist, by the device tree: they may be started before they come up here."""
    if not is_tree(tree):
        return
    for which in typed_range(u64(HARTS)):
        at, size = find(tree, "cpus", "reg", True, which)
        if at == ABSENT:
            break
        hart = word(tree, at + size - 4)
        if hart < HARTS:
            shared.present[0] = shared.present[0] | u64(1) << hart


@native
def start_first(hart: u64, tree: ptr[u8], info: FirmwareInfo) -> None:
    """The hart that boots."""
    uart.setup()
    setup()
    shared.has_stimecmp = csr.stimecmp.try_set(~u64(0)) != 0
    shared.has_guests = csr.misa.read() & H != 0
    for other in typed_range(u64(HARTS)):
        shared.state[other] = sbi.STOPPED
    shared.present[0] = u64(1) << hart
    address, mode = u64(KERNEL_BASE), u64(S)
    if address_of(info) != 0 and info.magic == fw_dynamic.MAGIC:
        address, mode = info.next_address, info.next_mode
    count_harts(tree)
    find_ram(tree)
    reserve(tree)
    fence()
    boot.held = 0
    harts.go(hart, address, u64(tree), mode << 11)


@native
def start_other(hart: u64) -> None:
    """Every other hart: stopped, until HSM starts it."""
    setup()
    atomic("or", u64, shared.present, 0, u64(1) << hart)
    harts.wait_for_start(hart)


@native
def handle_trap(frame: Frame) -> None:
    """A trap from S or U that was not delegated."""
    cause = csr.mcause.read()
    if cause == ECALL_FROM_S:
        csr.mepc.write(csr.mepc.read() + 4)
        if frame.a7 < sbi.LEGACY_END:
            frame.a0 = calls.legacy(frame.a7, frame.a0)
            return
        frame.a0, frame.a1 = calls.answer(frame)
    elif cause == TIMER_INTERRUPT:
        calls.timer_fired()
    elif cause == SOFTWARE_INTERRUPT:
        read_mail()
    else:
        fail(cause, csr.mepc.read(), csr.mtval.read())


@native(inline=False)
def fail(cause: u64, pc: u64, value: u64) -> None:
    """A trap that nothing here can cause unless it is broken: say so and stop the machine."""
    put("ringzero firmware: unexpected trap, mcause ")
    put_hex(cause)
    put(" mepc ")
    put_hex(pc)
    put(" mtval ")
    put_hex(value)
    put_byte(10)
    calls.finish(u64(125))


ROOTS = (start_first, start_other, handle_trap, fail)
