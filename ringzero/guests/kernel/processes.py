"""Processes: each has a context and an address space; they share the hart by time slices.

System calls take their number in a7 and arguments in a0–a2, and answer in a0.
"""

from __future__ import annotations

from ringzero.bare.text import put, put_byte, put_decimal
from ringzero.guests.entry import Frame
from ringzero.guests.kernel import pages, privileged
from ringzero.guests.kernel.layout import (
    HEAP,
    HEAP_END,
    USER_BASE,
    USER_STACK,
    user_image,
    user_layout,
)
from ringzero.guests.kernel.pages import PAGE
from ringzero.guests.verdicts import count_check, put_trap, put_verdict, skip
from ringzero.isa.privileged.paging import R, U, W, X
from ringzero.isa.privileged.trap import ECALL_FROM_U, INTERRUPT, LOAD_PAGE, STORE_PAGE
from ringzero.lang import Array, Struct, address_of, field, load, native, store, u8, u64

EXIT, WRITE, PROCESS_ID, YIELD, BENCH, FAULT, CHECK, SLICES = 0, 1, 2, 3, 4, 5, 6, 7
ABSENT, READY, ENDED = 0, 1, 2
MOST = 4
SLICE = 20_000  # ticks: 2 ms
TIMER_INTERRUPT = INTERRUPT | 5
USER_STATUS = privileged.SPIE


class Process(Struct):
    frame: Frame
    root: u64
    state: u64
    result: u64
    faults: u64  # pages given on demand
    slices: u64
    last_cause: u64  # of the last exception that nobody handled, for FAULT
    last_value: u64
    probing: bool  # such an exception skips an instruction instead of ending the process


class Processes(Struct):
    """All of them, and what they have reported."""

    all: Array[Process] = field(MOST)
    switches: u64
    has_spaces: bool  # ASIDs are implemented


processes = Processes()


@native
def setup() -> None:
    """Find out whether satp keeps an ASID."""
    privileged.set_space(privileged.get_space() << 12 & (1 << 56) - 1, u64(0xFFFF))
    processes.has_spaces = privileged.get_space() >> 44 & 7 == 7
    privileged.flush_all()


@native
def create(which: u64, program: u64, argument: u64, probing: bool) -> bool:
    """Make process `which` run a program of the user image from its beginning."""
    process = processes.all[which]
    process.root = pages.make_space()
    if process.root == 0 or not fill(process.root):
        return False
    process.state = READY
    process.faults, process.slices, process.last_cause = 0, 0, 0
    process.probing = probing
    for i in range(32):
        process.frame.x[i] = 0
    process.frame.x[2] = USER_STACK
    process.frame.x[10], process.frame.x[11] = program, argument
    process.frame.pc = USER_BASE
    process.frame.status = USER_STATUS
    return True


@native
def fill(root: u64) -> bool:
    """Copy the user image into new pages: text read-only, the rest writable."""
    at, source = u64(0), address_of(user_image)
    while at < user_layout.memory_size:
        page = pages.allocate()
        flags = u64(R | X | U) if at < user_layout.text_size else u64(R | W | U)
        if page == 0 or not pages.map_page(root, USER_BASE + at, page, flags):
            return False
        i = u64(0)
        while i < PAGE and at + i < user_layout.file_size:
            store(u64, page + i, load(u64, source + at + i))
            i += 8
        at += PAGE
    return give(root, u64(USER_STACK - PAGE))


@native
def give(root: u64, address: u64) -> bool:
    """A fresh page for the user at `address`."""
    page = pages.allocate()
    return page != 0 and pages.map_page(root, address, page, u64(R | W | U))


@native
def switch_to(which: u64) -> None:
    """Use a process's address space."""
    if processes.has_spaces:
        privileged.set_space(processes.all[which].root, which + 1)
    else:
        pages.use(processes.all[which].root)
    processes.switches += 1


@native
def run() -> None:
    """Run all processes until each has ended, then give back their memory."""
    alive = True
    while alive:
        alive = False
        for which in range(MOST):
            if processes.all[which].state == READY:
                alive = True
                run_slice(u64(which))
    privileged.set_timer(~u64(0))
    pages.use(pages.pool.root)
    for which in range(MOST):
        if processes.all[which].state == ENDED:
            pages.release_space(processes.all[which].root)
            processes.all[which].state = ABSENT


@native(inline=False)
def run_slice(which: u64) -> None:
    """Run one process until its time is up, it yields, or it ends."""
    process = processes.all[which]
    switch_to(which)
    privileged.set_timer(privileged.now() + SLICE)
    process.slices += 1
    privileged.enter(process.frame)
    while serve(which, process):
        privileged.enter(process.frame)


@native
def serve(which: u64, process: Process) -> bool:
    """Handle a trap from user mode; whether the process goes on now."""
    cause = process.frame.cause
    if cause == ECALL_FROM_U:
        process.frame.pc += 4
        return system_call(which, process)
    if cause == TIMER_INTERRUPT:
        privileged.set_timer(~u64(0))
        return False
    address = process.frame.value
    if (cause == LOAD_PAGE or cause == STORE_PAGE) and HEAP <= address < HEAP_END:
        if give(process.root, address & ~u64(PAGE - 1)):
            privileged.mapped_page(address)
            process.faults += 1
            return True
    return unhandled(which, process)


@native(inline=False)
def unhandled(which: u64, process: Process) -> bool:
    """An exception that is the program's own doing."""
    process.last_cause, process.last_value = process.frame.cause, process.frame.value
    if process.probing:
        skip(process.frame)
        return True
    put_trap("process killed", process.frame)
    process.state, process.result = ENDED, ~u64(0)
    return False


@native
def system_call(which: u64, process: Process) -> bool:
    """Serve a system call; whether the process goes on now."""
    frame = process.frame
    number = frame.x[17]
    if number == PROCESS_ID:
        frame.x[10] = which
    elif number == YIELD:
        return False
    elif number == EXIT:
        process.state, process.result = ENDED, frame.x[10]
        return False
    elif number == WRITE:
        put_user(frame.x[10], frame.x[11])
    elif number == BENCH:
        show_bench(frame.x[10], frame.x[11], frame.x[12], frame.x[13])
    elif number == FAULT:
        frame.x[10], frame.x[11] = process.last_cause, process.last_value
        process.last_cause = 0
    elif number == SLICES:
        frame.x[10] = process.slices
    elif number == CHECK:
        count_check(frame.x[11] != 0)
        put("test user ")
        put_user(frame.x[10], ~u64(0))
        put_verdict(frame.x[11] != 0)
    else:
        frame.x[10] = ~u64(0)
    return True


@native(inline=False)
def put_user(address: u64, size: u64) -> None:
    """Show at most `size` bytes of the user's memory, up to a NUL."""
    privileged.user_access(True)
    i = u64(0)
    while i < size:
        byte = load(u8, address + i)
        if byte == 0:
            break
        put_byte(byte)
        i += 1
    privileged.user_access(False)


@native(inline=False)
def show_bench(name: u64, count: u64, instructions: u64, ticks: u64) -> None:
    """A measurement, in the form that `ringzero compare` reads; `name` is a user address."""
    put("bench ")
    put_user(name, ~u64(0))
    show_numbers(count, instructions, ticks)


@native
def show_numbers(count: u64, instructions: u64, ticks: u64) -> None:
    """The rest of a measurement's line."""
    put_byte(32)
    put_decimal(count)
    put_byte(32)
    put_decimal(instructions)
    put_byte(32)
    put_decimal(ticks)
    put_byte(10)
