"""Why a guest in VS or VU stopped running: the few reasons that are left, and what follows.

`quick_guest_exit` answers those that come often while the guest's world stays on the real hart:
first touches of memory, devices, sbi. For the others `handle_guest_exit` leaves that world, and
goes the way of all techniques from there.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, stub
from ringzero.board.addresses import FINISHER_BASE
from ringzero.board.sbi import BASE, DBCN, IPI, LEGACY_CONSOLE_PUTCHAR, LEGACY_SET_TIMER, TIME
from ringzero.hypervisor.dispatch import accounting, emulate, enter, exits, sbi
from ringzero.hypervisor.shadow import guest_tables
from ringzero.hypervisor.techniques.hardware import enter as hardware
from ringzero.hypervisor.techniques.hardware import stages
from ringzero.hypervisor.vm import life, scheduler
from ringzero.hypervisor.vm.state import CALLS, EXCEPTIONS, INSTRUCTIONS, NEVER, PAGE, Vm, status
from ringzero.isa.decode import decode
from ringzero.isa.privileged.trap import (
    ECALL_FROM_VS,
    FETCH_ACCESS,
    FETCH_GUEST_PAGE,
    GUEST_SPVP,
    INTERRUPT,
    LOAD_ACCESS,
    LOAD_GUEST_PAGE,
    STATUS_MPP,
    STATUS_MPV,
    STORE_ACCESS,
    STORE_GUEST_PAGE,
    VIRTUAL_INSTRUCTION,
    Trap,
)
from ringzero.lang import native, u32, u64

# Answers: done, restore what calls do not preserve; done, restore all; for handle_guest_exit.
DONE, CHANGED, SLOW = 0, 1, -1
QUICK_CALLS = (TIME, IPI, BASE, DBCN, LEGACY_SET_TIMER, LEGACY_CONSOLE_PUTCHAR)

# The guest's instruction at a0, as it fetched it itself; 0 if that is not there any more. Its
# halves may be on two pages. mepc and mstatus are lost then.
instruction_of_guest = stub(
    "instruction_of_guest",
    """
    la t0, absent
    csrrw t0, mtvec, t0
    hlvx.hu a1, (a0)
    andi a2, a1, 3
    li a3, 3
    bne a2, a3, done
    addi a0, a0, 2
    hlvx.hu a2, (a0)
    slli a2, a2, 16
    or a1, a1, a2
    j done
.align 2
absent:
    li a1, 0
done:
    csrw mtvec, t0
    mv a0, a1
    ret
    """,
    [u64],
    u64,
)


@native(inline=False)
def access_device(vm: Vm, cause: u64, place: u64) -> bool:
    """Execute the decoded load or store at a guest-physical address; False if nothing is there."""
    hart = vm.hart
    satp = hart.satp
    hart.satp = 0  # the hart itself has translated the address
    done = True
    try:
        if cause == LOAD_GUEST_PAGE:
            emulate.execute_load(hart, place - emulate.decoded.imm, place)
        else:
            emulate.execute_store(hart, place - emulate.decoded.imm, place)
    except Trap:
        done = False
    hart.satp = satp
    return done


@native
def fetch_decoded(pc: u64, state: u64) -> bool:
    """Decode the instruction that the guest is at, if it is still there."""
    if state & STATUS_MPP != 0:
        csr.hstatus.set(u64(GUEST_SPVP))
    else:
        csr.hstatus.clear(u64(GUEST_SPVP))
    word = instruction_of_guest(pc)
    if word == 0:  # its tables have changed, and no fence has told so: from now on they hold
        csr.mepc.write(pc)
        csr.mstatus.write(state)
        stages.fence_guest()
        return False
    decode(u32(word), emulate.decoded)
    return True


@native
def of_walk() -> bool:
    """Whether the hart itself wanted one of the guest's tables: bit 0 of an instruction is set."""
    what = csr.mtinst.read()
    return what != 0 and what & 1 == 0


@native
def ends(cause: u64, place: u64) -> bool:
    """A store to the finisher may end the VM, so its world has to be left first."""
    return cause == STORE_GUEST_PAGE and place & ~u64(PAGE - 1) == FINISHER_BASE


@native(inline=False)
def guest_page(vm: Vm, cause: u64, value: u64, state: u64) -> u64:
    """Memory that the guest touches for the first time, or a device."""
    place, pc = csr.mtval2.read() << 2 | value & 3, csr.mepc.read()
    if guest_tables.is_open(vm, place):
        accounting.tell(vm, EXCEPTIONS + cause, 0)
        return u64(DONE) if stages.fill(vm, place) else ~u64(0)
    if cause == FETCH_GUEST_PAGE or of_walk():
        return u64(SLOW)
    if not fetch_decoded(pc, state):
        accounting.tell(vm, EXCEPTIONS + cause, 0)
        return u64(DONE)
    if ends(cause, place) or not access_device(vm, cause, place):
        return u64(SLOW)
    kind = u64(emulate.READ) if cause == LOAD_GUEST_PAGE else u64(emulate.WRITE)
    accounting.tell(vm, INSTRUCTIONS + kind, 1)
    csr.mepc.write(pc + u64(emulate.decoded.size))
    hardware.show_line(vm)
    return u64(CHANGED)


@native(inline=False)
def call(vm: Vm) -> u64:
    """A call of firmware that changes nothing but the guest's timer, its interrupts, its a0, a1."""
    hart, known = vm.hart, False
    for extension in QUICK_CALLS:
        if hart.x[17] == extension:
            known = True
    if not known:
        return u64(SLOW)
    hart.pc, hart.stimecmp = csr.mepc.read(), csr.vstimecmp.read()
    hardware.keep_software_interrupt(vm)
    accounting.tell(vm, CALLS + sbi.answer_call(vm), 0)
    csr.vstimecmp.write(hart.stimecmp)
    hart.stimecmp = u64(NEVER)
    hardware.show_interrupts(vm)
    csr.mepc.write(hart.pc)
    return u64(DONE)


@native
def quick_guest_exit(vm: Vm, entered: u64, cause: u64, value: u64, state: u64) -> u64:
    """Answers an exit at once, if it can; the arguments are minstret, mcause, mtval, mstatus."""
    accounting.account(vm, entered)
    if cause == LOAD_GUEST_PAGE or cause == STORE_GUEST_PAGE or cause == FETCH_GUEST_PAGE:
        return guest_page(vm, cause, value, state)
    if cause == ECALL_FROM_VS:
        return call(vm)
    return u64(SLOW)


@native
def slow_guest_page(vm: Vm, cause: u64, value: u64) -> u64:
    """The finisher, which may end the VM, or nothing: an access fault, as on a bare machine."""
    place = csr.mtval2.read() << 2 | value & 3
    if guest_tables.is_open(vm, place):  # there is no table left to map it with
        life.crash(vm)
    elif ends(cause, place) and not of_walk():
        if access_device(vm, cause, place):
            vm.hart.pc += u64(emulate.decoded.size)
            vm.emulated += 1
            return u64(INSTRUCTIONS + emulate.WRITE)
        enter.reflect(vm, u64(STORE_ACCESS), value)
    elif cause == STORE_GUEST_PAGE:
        enter.reflect(vm, u64(STORE_ACCESS), value)
    elif cause == LOAD_GUEST_PAGE:
        enter.reflect(vm, u64(LOAD_ACCESS), value)
    else:
        enter.reflect_fetch(vm, u64(FETCH_ACCESS), value)
    return u64(exits.NOTHING)


@native
def slow_call(vm: Vm) -> u64:
    """A call that may end the VM, let it wait, fence it, or change how its tables are read."""
    kind = sbi.answer_call(vm)
    csr.henvcfg.write(vm.hart.menvcfg)
    stages.fence_guest()
    return CALLS + kind


@native
def dispatch(vm: Vm, cause: u64, value: u64) -> u64:
    """Handle one exit on the virtual hart; returns what it was about."""
    if cause & INTERRUPT != 0:
        exits.interrupt(cause)
        return u64(exits.NOTHING)
    if cause == VIRTUAL_INSTRUCTION:
        return exits.system(vm, value)
    if cause == ECALL_FROM_VS:
        return slow_call(vm)
    if cause == LOAD_GUEST_PAGE or cause == STORE_GUEST_PAGE or cause == FETCH_GUEST_PAGE:
        return slow_guest_page(vm, cause, value)
    enter.reflect(vm, cause, value)
    return u64(exits.NOTHING)


@native
def credit(vm: Vm) -> None:
    """What the guest executed. All of it is called its kernel's: no exit is between that and its
    programs, so only the machine, which counts by modes, can tell them apart."""
    accounting.count_retired(vm)
    vm.counted = vm.hart.retired
    status[vm.index].kernel, status[vm.index].fills = vm.hart.retired, vm.fills


@native
def handle_guest_exit(vm: Vm) -> u64:
    """Everything that `quick_guest_exit` did not answer; returns the Vm whose world to enter."""
    cause, state = csr.mcause.read(), csr.mstatus.read()
    if state & STATUS_MPV == 0:  # it was our own
        scheduler.fail(cause, csr.mepc.read(), csr.mtval.read())
    hardware.leave(vm, state)
    credit(vm)
    vm.hart.pc = csr.mepc.read()
    vm.hart.changes = 0
    about = dispatch(vm, cause, csr.mtval.read())
    return exits.go_on(vm, cause, about)
