"""User programs: typed Python in user mode, one image; the kernel says which program runs."""

from __future__ import annotations

from ringzero.bare.stubs import csr, stub
from ringzero.board.addresses import KERNEL_BASE
from ringzero.guests.kernel import processes
from ringzero.guests.kernel.layout import HEAP, USER_BASE, USER_STACK
from ringzero.guests.kernel.pages import PAGE
from ringzero.isa.privileged.trap import (
    BREAKPOINT,
    FETCH_PAGE,
    ILLEGAL_INSTRUCTION,
    LOAD_PAGE,
    STORE_PAGE,
)
from ringzero.lang import (
    Array,
    Struct,
    atomic,
    field,
    load,
    native,
    ptr,
    store,
    typed_range,
    u8,
    u64,
)

HELLO, ISOLATED, HEAP_USER, PROBER, SPINNER = 0, 1, 2, 3, 4
BENCHMARKS, YIELDER = 5, 6
PATIENCE = 1 << 50  # ticks: years, so that no host is too busy for it
HOLE = 0x1F_0000_0000

start = stub("start", f"call user_main\nli a7, {processes.EXIT}\necall")
system = stub("system_call", "ecall", [u64] * 8, tuple[u64, u64])

read_status = stub("read_sstatus", "csrr a0, sstatus", [], u64)
write_space = stub("write_satp", "csrw satp, zero")
write_cycle = stub("write_cycle", "csrrw zero, cycle, zero")
return_trap = stub("try_sret", "sret")
machine_return = stub("try_mret", "mret")
flush = stub("try_sfence", "sfence.vma")
stop = stub("try_ebreak", "ebreak")
nothing = stub("do_nothing", "ret")
read_machine = stub("read_mstatus", "csrr a0, mstatus", [], u64)
store_probe = stub("try_store", "sd zero, 0(a0)", [u64])
load_probe = stub("try_load", "ld a0, 0(a0)", [u64], u64)
execute = stub(
    "try_execute",
    "addi sp, sp, -16\nsd ra, 0(sp)\njalr ra, 0(a0)\nld ra, 0(sp)\naddi sp, sp, 16\nret",
    [u64],
)


class Own(Struct):
    """What only this process should see."""

    value: u64
    counter: Array[u64] = field(2)


own = Own()


@native
def ask(number: u64, a0: u64, a1: u64) -> tuple[u64, u64]:
    """A system call of two arguments."""
    zero = u64(0)
    first, second = system(a0, a1, zero, zero, zero, zero, zero, number)
    return first, second


@native
def process_id() -> u64:
    who, _ = ask(u64(processes.PROCESS_ID), u64(0), u64(0))
    return who


@native
def give_way() -> None:
    ask(u64(processes.YIELD), u64(0), u64(0))


@native
def write(text: ptr[u8], size: u64) -> None:
    ask(u64(processes.WRITE), u64(text), size)


@native
def check(name: ptr[u8], good: bool) -> None:
    """Report a test's result."""
    ask(u64(processes.CHECK), u64(name), u64(good))


@native
def check_fault(name: ptr[u8], cause: u64, address: u64) -> None:
    """Report whether the last exception was of this cause; an address of 0 does not matter."""
    found, value = ask(u64(processes.FAULT), u64(0), u64(0))
    check(name, found == cause and (address == 0 or address == value))


@native
def isolated() -> u64:
    """Give way again and again; nobody else may change what is ours."""
    mine = process_id() * 1000 + 7
    own.value = mine
    store(u64, HEAP, mine)
    good = True
    for _ in typed_range(u64(50)):
        give_way()
        good = good and own.value == mine and load(u64, HEAP) == mine
    return u64(0) if good else u64(1)


@native
def use_heap() -> u64:
    """Touch 16 fresh pages, which must be zero, then read them again."""
    total = u64(0)
    for i in typed_range(u64(16)):
        total += load(u64, HEAP + i * PAGE)
        store(u64, HEAP + i * PAGE + 8, i + 1)
    for i in typed_range(u64(16)):
        total += load(u64, HEAP + i * PAGE + 8)
    return total


@native
def spin() -> u64:
    """Never give way: the timer has to take the hart away, and does so again and again."""
    end = csr.time.read() + PATIENCE
    rounds = u64(0)
    while csr.time.read() < end:
        rounds += 1
        if rounds & 255 == 0:
            slices, _ = ask(u64(processes.SLICES), u64(0), u64(0))
            if slices >= 3:
                return u64(0)
    return u64(1)


@native
def probe() -> u64:
    """What user mode may not do, and what it gets for trying."""
    read_status()
    check_fault("reads sstatus", u64(ILLEGAL_INSTRUCTION), u64(0))
    read_machine()
    check_fault("reads mstatus", u64(ILLEGAL_INSTRUCTION), u64(0))
    write_space()
    check_fault("writes satp", u64(ILLEGAL_INSTRUCTION), u64(0))
    return_trap()
    check_fault("sret", u64(ILLEGAL_INSTRUCTION), u64(0))
    machine_return()
    check_fault("mret", u64(ILLEGAL_INSTRUCTION), u64(0))
    flush()
    check_fault("sfence.vma", u64(ILLEGAL_INSTRUCTION), u64(0))
    write_cycle()
    check_fault("writes cycle", u64(ILLEGAL_INSTRUCTION), u64(0))
    stop()
    check_fault("ebreak", u64(BREAKPOINT), u64(0))
    load_probe(u64(KERNEL_BASE))
    check_fault("reads the kernel", u64(LOAD_PAGE), u64(KERNEL_BASE))
    store_probe(u64(KERNEL_BASE + 0x10_0000))
    check_fault("writes the kernel", u64(STORE_PAGE), u64(KERNEL_BASE + 0x10_0000))
    execute(u64(KERNEL_BASE))
    check_fault("calls the kernel", u64(FETCH_PAGE), u64(KERNEL_BASE))
    load_probe(u64(0))
    check_fault("reads address 0", u64(LOAD_PAGE), u64(0))
    store_probe(u64(USER_BASE))
    check_fault("writes its text", u64(STORE_PAGE), u64(USER_BASE))
    execute(u64(USER_STACK - 64))
    check_fault("runs its stack", u64(FETCH_PAGE), u64(USER_STACK - 64))
    load_probe(u64(HOLE))
    check_fault("reads a hole", u64(LOAD_PAGE), u64(HOLE))
    own.counter[0] = 5
    before = atomic("add", u64, own.counter, 0, 3)
    check("atomic add", before == 5 and own.counter[0] == 8)
    first = csr.instret.read()
    check("counts instructions", csr.instret.read() != first)
    return u64(0)


@native
def report(name: ptr[u8], count: u64, instructions: u64, ticks: u64) -> None:
    """Send a measurement that ends now and began at these counts."""
    spent, passed = csr.instret.read() - instructions, csr.time.read() - ticks
    zero = u64(0)
    system(u64(name), count, spent, passed, zero, zero, zero, u64(processes.BENCH))


@native
def benchmarks(count: u64) -> u64:
    """The measurements that begin in user mode."""
    instructions, ticks = csr.instret.read(), csr.time.read()
    for _ in typed_range(count):
        ask(u64(processes.PROCESS_ID), u64(0), u64(0))
    report("system_call", count, instructions, ticks)
    instructions, ticks = csr.instret.read(), csr.time.read()
    for _ in typed_range(count):
        nothing()
    report("call", count, instructions, ticks)
    instructions, ticks = csr.instret.read(), csr.time.read()
    for _ in typed_range(count):
        stop()
    report("exception", count, instructions, ticks)
    touched = count if count < 512 else u64(512)
    instructions, ticks = csr.instret.read(), csr.time.read()
    for i in typed_range(touched):
        store(u64, HEAP + i * PAGE, i)
    report("page_fault", touched, instructions, ticks)
    return u64(0)


@native
def yielder(count: u64) -> u64:
    """Give way, for measuring how long two processes take to change places."""
    instructions, ticks = csr.instret.read(), csr.time.read()
    for _ in typed_range(count):
        give_way()
    if process_id() == 0:
        report("context_switch", count * 2, instructions, ticks)
    return u64(0)


@native
def user_main(program: u64, argument: u64) -> u64:
    """Run a program; its result becomes the process's."""
    if program == HELLO:
        write("hello from user mode\n", u64(21))
        return process_id()
    if program == ISOLATED:
        return isolated()
    if program == HEAP_USER:
        return use_heap()
    if program == PROBER:
        return probe()
    if program == SPINNER:
        return spin()
    if program == BENCHMARKS:
        return benchmarks(argument)
    return yielder(argument)
