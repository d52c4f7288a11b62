"""Hardware assistance: a guest's world on the real hart, in VS- and VU-mode over two stages.

While it runs, the real hart holds what the virtual one is; the guest's CSRs, traps, timer and
fences need no exit. `leave` gives everything back to the virtual hart, so that the isa's text and
other VMs' turns find it where they do for any technique; `enter` is the opposite. The hypervisor
stays in M-mode, which may use every CSR of HS.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.bare.text import put, put_decimal
from ringzero.hypervisor.techniques.hardware import stages
from ringzero.hypervisor.vm import scheduler
from ringzero.hypervisor.vm.entry import guest_trap, trap
from ringzero.hypervisor.vm.state import CRASHED, NEVER, Vm, config, machine, status
from ringzero.isa.csr import read_csr, write_csr
from ringzero.isa.csrs import supervisor as csrs_supervisor
from ringzero.isa.csrs.machine import SUPERVISOR_INTERRUPTS, mstateen0
from ringzero.isa.hart import GUEST_INTERRUPTS, H
from ringzero.isa.instructions.rv_priv import GUEST_VTW
from ringzero.isa.privileged.counters import TIME
from ringzero.isa.privileged.paging import ADUE, PBMTE
from ringzero.isa.privileged.trap import (
    BREAKPOINT,
    ECALL_FROM_U,
    FETCH_ACCESS,
    FETCH_MISALIGNED,
    FETCH_PAGE,
    LOAD_ACCESS,
    LOAD_MISALIGNED,
    LOAD_PAGE,
    SEI,
    SSI,
    STATUS_FS,
    STATUS_MPP,
    STATUS_MPV,
    STCE,
    STORE_ACCESS,
    STORE_PAGE,
    VSEI,
    VSSI,
    VSTI,
)
from ringzero.lang import address_of, native, u64

UNAVAILABLE = 126
COUNTERS = 0xFFFF_FFFF
VSXL_64 = 2 << 32
DELEGATED_INTERRUPTS = 1 << VSSI | 1 << VSTI | 1 << VSEI
# Illegal instructions and misaligned stores would be the guest's own too, but QEMU before 8.0 takes
# their causes, 2 and 6, for those of VS's interrupts, and tells the guest another one.
OWN_EXCEPTIONS = (
    FETCH_MISALIGNED, FETCH_ACCESS, BREAKPOINT, LOAD_MISALIGNED, LOAD_ACCESS, STORE_ACCESS,
    ECALL_FROM_U, FETCH_PAGE, LOAD_PAGE, STORE_PAGE,
)  # fmt: skip
DELEGATED = sum(1 << cause for cause in OWN_EXCEPTIONS)

# CSRs of S-mode that have a twin for VS-mode, with the twin; and some that VS-mode shares with S.
TWINS = tuple(
    (getattr(csrs_supervisor, name), getattr(csr, f"v{name}"))
    for name in ("sstatus", "sie", "stvec", "sscratch", "sepc", "scause", "stval", "stimecmp")
)
SHARED = tuple(
    (getattr(csrs_supervisor, name), getattr(csr, name)) for name in ("scounteren", "senvcfg")
)


@native(inline=False)
def create(vm: Vm) -> None:
    """Prepare the machine and a VM's tables, or give the VM up where there is no H extension."""
    if csr.misa.read() & H == 0:
        put("[ringzero] vm")
        put_decimal(vm.index)
        put(": --cpu hardware needs the hypervisor extension (H), which this machine has not\r\n")
        status[vm.index].state, status[vm.index].exit_code = CRASHED, UNAVAILABLE
        return
    csr.mcounteren.write(u64(COUNTERS))  # hcounteren and scounteren say what really is open
    csr.menvcfg.try_set(u64(STCE))
    csr.menvcfg.try_set(u64(PBMTE))
    csr.menvcfg.try_set(u64(ADUE))
    machine.has_states = csr.mstateen0.try_set(u64(mstateen0.open))
    csr.hedeleg.write(u64(DELEGATED))
    csr.hideleg.write(u64(DELEGATED_INTERRUPTS))
    # Nothing enables these; but QEMU before 8.0 shows VS only the bits of sie that are here.
    csr.mideleg.set(u64(SUPERVISOR_INTERRUPTS))
    csr.htimedelta.write(u64(0))
    csr.hstatus.write(VSXL_64 | (GUEST_VTW if config.count > 1 else u64(0)))
    stages.make(vm)
    stages.fence_machine()


@native
def leave(vm: Vm, state: u64) -> None:
    """The virtual hart becomes what the real one is; that one is as other techniques have it.

    `state` is mstatus as the exit left it.
    """
    hart = vm.hart
    for pair in TWINS:
        write_csr(hart, pair[0], pair[0].first, pair[1].read())
    for pair in SHARED:
        write_csr(hart, pair[0], pair[0].first, pair[1].read())
    if machine.has_states != 0:
        hart.sstateen0 = csr.sstateen0.read()
    hart.satp = csr.vsatp.read()
    keep_software_interrupt(vm)
    hart.mode = state >> 11 & 1
    csr.mie.clear(GUEST_INTERRUPTS)  # they are no reason to wake
    csr.mstatus.clear(STATUS_MPP | STATUS_MPV)
    csr.medeleg.write(u64(0))
    csr.mtvec.write(address_of(trap))


@native
def keep_software_interrupt(vm: Vm) -> None:
    """The guest itself may have set or cleared it."""
    hart = vm.hart
    hart.mip = hart.mip & ~u64(1 << SSI) | csr.hvip.read() >> VSSI - SSI & 1 << SSI


@native
def show_interrupts(vm: Vm) -> None:
    """What software and the virtual interrupt controller have pending for the guest."""
    hart = vm.hart
    csr.hvip.write(hart.mip << VSSI - SSI & 1 << VSSI | hart.lines << VSEI - SEI & 1 << VSEI)


@native
def show_line(vm: Vm) -> None:
    """What the virtual interrupt controller has pending."""
    if vm.hart.lines != 0:
        csr.hvip.set(u64(1 << VSEI))
    else:
        csr.hvip.clear(u64(1 << VSEI))


@native
def use_tables(vm: Vm) -> None:
    """The guest's own tables and the G-stage's; what stands there already is not written again,
    as a hart may forget its translations then."""
    hart = vm.hart
    if csr.vsatp.read() != hart.satp:
        csr.vsatp.write(hart.satp)
    if csr.hgatp.read() != vm.stage:
        csr.hgatp.write(vm.stage)
        csr.henvcfg.write(hart.menvcfg)
        if csr.hgatp.read() != vm.stage:  # no virtual machine identifiers here
            stages.fence_machine()


@native(inline=False)
def enter(vm: Vm) -> None:
    """The real hart becomes what the virtual one is.

    That one keeps no deadline and no address space meanwhile: the machine's timer need not strike
    for it, and what the isa's text does with a device is done with physical addresses.
    """
    hart = vm.hart
    for pair in TWINS:
        pair[1].write(read_csr(hart, pair[0], pair[0].first))
    for pair in SHARED:
        pair[1].write(read_csr(hart, pair[0], pair[0].first))
    if machine.has_states != 0:
        csr.hstateen0.write(hart.mstateen0)
        csr.sstateen0.write(hart.sstateen0)
    use_tables(vm)
    hart.stimecmp, hart.satp = u64(NEVER), u64(0)
    if machine.deadline == 0:
        scheduler.arm_timer()
    show_interrupts(vm)
    csr.hcounteren.write(hart.mcounteren & TIME)
    csr.mstatus.set(STATUS_FS | STATUS_MPV | hart.mode << 11)
    csr.medeleg.write(u64(DELEGATED))
    csr.mtvec.write(address_of(guest_trap))
    csr.mepc.write(hart.pc)


@native
def fence(vm: Vm, address: u64, asid: u64, which: u64) -> None:
    """The hart itself walks the guest's tables: it forgets what it knows of them."""
    stages.fence_guest()
