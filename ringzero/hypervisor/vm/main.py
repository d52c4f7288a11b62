"""The hypervisor's beginning: the machine is taken, and every configured VM made and started."""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.devices import console, interrupts, serial
from ringzero.hypervisor.dispatch import exits
from ringzero.hypervisor.dispatch.sensitive import SSTATUS
from ringzero.hypervisor.techniques import table
from ringzero.hypervisor.vm import scheduler, technique
from ringzero.hypervisor.vm.entry import trap
from ringzero.hypervisor.vm.state import (
    BASE,
    CREATED,
    POOL_SIZE,
    POOLS,
    RUNNING,
    SIZE,
    STACK_SIZE,
    TALLIES,
    Status,
    Vm,
    config,
    machine,
    stack,
    status,
    vms,
)
from ringzero.isa.csrs.machine import mstateen0
from ringzero.isa.hart import S, reset
from ringzero.isa.privileged.paging import ADUE, PBMTE
from ringzero.isa.privileged.trap import MEI, MTI, SEI, SSI, STATUS_FS, STATUS_MPP, STCE, STI
from ringzero.lang import address_of, native, typed_range, u64
from ringzero.lang.host import view

NAPOT, ALL_ACCESS = 3 << 3, 7
CACHE_BLOCKS = 0xF0  # CBIE, CBCFE, CBZE
TIME, COUNTERS = 2, 7
ACCOUNTS = view(Status).user.offset
GUEST_INTERRUPTS = 1 << SSI | 1 << STI | 1 << SEI


@native
def take_machine() -> None:
    """Machine mode for us alone: nothing is delegated, and our memory is closed to U."""
    csr.mtvec.write(address_of(trap))
    csr.medeleg.write(u64(0))
    csr.mideleg.write(u64(0))
    csr.mcounteren.write(u64(TIME))
    csr.mcountinhibit.try_set(u64(0))
    csr.menvcfg.try_set(u64(CACHE_BLOCKS | 1))
    csr.menvcfg.clear(u64(ADUE))  # who sets A and D is each virtual hart's choice
    csr.mtvec.write(address_of(trap))
    csr.pmpaddr0.write(u64(BASE >> 2 | (SIZE >> 3) - 1))
    csr.pmpaddr1.write(~u64(0))
    csr.pmpcfg0.write(u64(NAPOT | (NAPOT | ALL_ACCESS) << 8))
    csr.mie.write(u64(1 << MTI | 1 << MEI))


@native
def create(vm: Vm, index: u64) -> None:
    """A VM with its virtual hart as firmware would leave a real one to a supervisor."""
    wanted, hart = config.vms[index], vm.hart
    vm.index, vm.offset = index, wanted.memory - RAM_BASE
    vm.size = wanted.size
    vm.pool_next = POOLS + index * POOL_SIZE
    vm.pool_end = vm.pool_next + POOL_SIZE
    reset(hart, u64(0), wanted.entry)
    hart.mode = S
    hart.mstatus = hart.mstatus | STATUS_FS
    hart.medeleg = ~u64(0)
    hart.mideleg = GUEST_INTERRUPTS
    hart.menvcfg = STCE | PBMTE | CACHE_BLOCKS
    if wanted.writes_accessed != 0:
        hart.menvcfg = hart.menvcfg | ADUE
    hart.mcounteren = 0xFFFF_FFFF
    hart.scounteren = COUNTERS
    hart.mstateen0 = mstateen0.open
    vm.quick = address_of(status[index].tallies[SSTATUS])
    vm.tallies = address_of(status[index].tallies[0])
    vm.tally = address_of(status[index].tallies[TALLIES - 1])
    vm.accounts = address_of(status[index]) + ACCOUNTS
    vm.resumed = csr.minstret.read()
    vm.entered = vm.resumed
    vm.stack = address_of(stack) + STACK_SIZE
    hart.x[10], hart.x[11] = 0, wanted.tree
    vm.technique = wanted.technique
    status[index].technique = wanted.technique
    status[index].state = CREATED
    serial.setup(vm)
    interrupts.setup(vm)
    table.create(vm)


@native
def start_all() -> u64:
    """Returns the Vm whose world to enter first."""
    console.setup()
    take_machine()
    for i in typed_range(config.count):
        create(vms[i], i)
    for i in typed_range(config.count):
        if status[i].state == CREATED:
            status[i].state = RUNNING
    csr.mstatus.clear(STATUS_MPP)  # where a CSR was tried in vain, it was an exception of M
    machine.slice_end = csr.time.read() + config.slice_ticks
    world = vms[scheduler.choose(config.count - 1)]
    world.away = world.resumed
    technique.enter(world)
    return address_of(world)


ROOTS = (start_all, *table.EXITS, exits.handle_exit, scheduler.fail)
