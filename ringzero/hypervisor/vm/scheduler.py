"""The VMs' lives and turns: which world is entered next, when the timer strikes, what ends a VM.

All run on one hart. A VM that waits for an interrupt gives way at once, others after their slice;
when none has anything to do, the hart waits.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, wait
from ringzero.bare.text import put, put_hex
from ringzero.board import clint
from ringzero.board.addresses import CLINT_BASE, FINISHER_BASE
from ringzero.board.finisher import FAIL, PASS
from ringzero.hypervisor.devices import console_input
from ringzero.hypervisor.vm import exit_table, life
from ringzero.hypervisor.vm.entry import SWITCH_IN, load_floats, save_floats
from ringzero.hypervisor.vm.state import (
    CRASHED,
    HEARTBEAT,
    KILL,
    NEVER,
    NO_ORDER,
    PAUSE,
    PAUSED,
    REPORT,
    RESUME,
    RUNNING,
    STOPPED,
    VMS,
    Vm,
    config,
    machine,
    status,
    vms,
)
from ringzero.isa.privileged.timers import next_deadline
from ringzero.isa.privileged.trap import MEI, STATUS_FS, STI, interrupts_pending
from ringzero.lang import address_of, native, store, typed_range, u32, u64

EXTERNAL = 1 << MEI


@native
def awake(vm: Vm) -> bool:
    """Whether a VM could run now."""
    if status[vm.index].state != RUNNING:
        return False
    if vm.waiting != 0 and interrupts_pending(vm.hart) & vm.hart.mie != 0:
        vm.waiting = 0
    return vm.waiting == 0


@native(inline=False)
def obey() -> None:
    """What the host, or the person at the console, wants of the VMs."""
    for i in typed_range(config.count):
        one = status[i]
        if one.order == KILL and one.state != STOPPED and one.state != CRASHED:
            life.stop(vms[i], u64(life.KILLED))
        elif one.order == PAUSE and one.state == RUNNING:
            one.state = PAUSED
        elif one.order == RESUME and one.state == PAUSED:
            one.state = RUNNING
        one.order = NO_ORDER


@native
def arm_timer() -> None:
    """Let the machine's timer strike when something is due: a guest's timer, or another's turn.

    Run this before `pending_interrupt`: a guest's timer that is due by now is not waited for.
    """
    time = csr.time.read()
    deadline, able = u64(NEVER), u64(0)
    for i in typed_range(config.count):
        vm = vms[i]
        if status[i].state == RUNNING:
            due = next_deadline(vm.hart, time, u64(NEVER), u64(1 << STI))
            if time < due < deadline:
                deadline = due
            if config.count > 1 and awake(vm):
                able += 1
    if able > 1 and machine.slice_end < deadline:
        deadline = machine.slice_end
    if config.flags & HEARTBEAT != 0 and time + config.slice_ticks < deadline:
        deadline = time + config.slice_ticks
    if deadline != machine.deadline:
        machine.deadline = deadline
        store(u64, CLINT_BASE + clint.MTIMECMP, deadline)


@native(inline=False)
def choose(index: u64) -> u64:
    """The VM whose turn it is after VM `index`; waits until there is one.

    The timer is armed before the VMs are asked: what becomes due meanwhile ends the wait.
    """
    while True:
        obey()
        machine.deadline = 0
        arm_timer()
        living = u64(0)
        candidate = index
        for _ in typed_range(u64(VMS)):
            candidate = candidate + 1
            if candidate >= config.count:
                candidate = u64(0)
            if awake(vms[candidate]):
                return candidate
            state = status[candidate].state
            if state == RUNNING or state == PAUSED:
                living += 1
        if living == 0:
            power_off()
        wait()
        if csr.mip.read() & EXTERNAL != 0:
            console_input.interrupt()


@native
def turn(vm: Vm) -> u64:
    """Whose turn it is after an exit of `vm`."""
    if awake(vm):
        if config.count == 1 or csr.time.read() < machine.slice_end:
            return vm.index
    chosen = choose(vm.index)
    machine.deadline = 0
    if config.count > 1:
        machine.slice_end = csr.time.read() + config.slice_ticks
    if chosen != vm.index:
        change_floats(vm, vms[chosen])
        change_accounts(vm, vms[chosen])
    return chosen


@native(inline=False)
def change_floats(old: Vm, new: Vm) -> None:
    """The floating-point registers belong to the VM that runs."""
    csr.mstatus.set(STATUS_FS)
    save_floats(address_of(old.hart))
    load_floats(address_of(new.hart))


@native
def change_accounts(old: Vm, new: Vm) -> None:
    """The old VM's exit ends here, and the new one's, which was interrupted here, goes on."""
    count = csr.minstret.read() + SWITCH_IN
    old.resumed = count
    old.away -= count
    new.away += count
    new.entered += count - new.resumed
    new.resumed = count
    status[new.index].switches += 1


@native(inline=False)
def power_off() -> None:
    """Every VM has ended. The exit code is the first one that is not zero."""
    if config.flags & REPORT != 0:
        exit_table.show()
    code = u64(0)
    for i in typed_range(config.count):
        if code == 0:
            code = status[i].exit_code
    store(u32, FINISHER_BASE, u32(PASS) if code == 0 else u32(code) << 16 | FAIL)
    while True:
        wait()


@native
def timer_struck() -> None:
    """Something is due; `turn` and `arm_timer` find out what."""
    machine.deadline = 0
    obey()


@native(inline=False)
def fail(cause: u64, pc: u64, value: u64) -> None:
    """A trap in the hypervisor itself, which nothing here can cause unless it is broken."""
    put("\r\nringzero hypervisor: unexpected trap, mcause ")
    put_hex(cause)
    put(" mepc ")
    put_hex(pc)
    put(" mtval ")
    put_hex(value)
    put("\r\n")
    store(u32, FINISHER_BASE, 125 << 16 | FAIL)
    while True:
        wait()
