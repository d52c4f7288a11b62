"""Nanobenchmarks: the cost of one privileged operation, as `bench NAME COUNT INSTRUCTIONS TICKS`.

The totals include a loop of a few instructions, which `loop` measures alone.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr
from ringzero.bare.text import put
from ringzero.board.addresses import KERNEL_BASE
from ringzero.board.sbi import BASE, GET_SPEC_VERSION
from ringzero.board.uart import LSR
from ringzero.guests import sbi
from ringzero.guests.kernel import pages, privileged, user
from ringzero.guests.kernel.pages import PAGE
from ringzero.guests.kernel.processes import create, run, show_numbers
from ringzero.guests.kernel.selftests import SCRATCH
from ringzero.guests.verdicts import expected
from ringzero.isa.privileged.paging import R, W
from ringzero.lang import Struct, load, native, ptr, store, typed_range, u8, u64

SPREAD, STRIDE = (
    64,
    0x40_0000,
)  # further apart than translation caches reach, and in one set of them
SPREAD_BASE = 0x10_0000_0000
LINE_STATUS = pages.DEVICES + LSR


class Began(Struct):
    """The counters when a measurement began."""

    instructions: u64
    ticks: u64


began = Began()


@native
def begin() -> None:
    """A measurement begins."""
    began.ticks = privileged.now()
    began.instructions = csr.instret.read()


@native
def end(name: ptr[u8], count: u64) -> None:
    """A measurement ends: show it."""
    instructions = csr.instret.read() - began.instructions
    ticks = privileged.now() - began.ticks
    put("bench ")
    put(name)
    show_numbers(count, instructions, ticks)


@native(inline=False)
def bench_registers(count: u64) -> None:
    """CSRs, calls of the firmware, and a device."""
    begin()
    for _ in typed_range(count):
        user.nothing()
    end("loop", count)
    begin()
    for _ in typed_range(count):
        privileged.read_status()
    end("csr_read", count)
    begin()
    for _ in typed_range(count):
        before = privileged.interrupts_off()
        privileged.interrupts_restore(before)
    end("interrupt_toggle", count)
    begin()
    for _ in typed_range(count):
        sbi.ask(u64(BASE), u64(GET_SPEC_VERSION), u64(0), u64(0))
    end("hypercall", count)
    begin()
    for _ in typed_range(count):
        privileged.set_timer(~u64(0))
    end("timer_set", count)
    begin()
    for _ in typed_range(count):
        load(u8, LINE_STATUS)
    end("device_read", count)


@native(inline=False)
def bench_tables(count: u64) -> None:
    """A page that moves back and forth, and two address spaces that take turns."""
    first, second = pages.allocate(), pages.allocate()
    at = pages.entry_of(pages.pool.root, u64(SCRATCH))
    begin()
    for i in typed_range(count):
        store(u64, at, pages.leaf(first if i & 1 == 0 else second, u64(R | W)))
        privileged.flush_page(u64(SCRATCH))
        store(u64, SCRATCH, i)
    end("page_table_update", count)
    store(u64, at, 0)
    privileged.flush_page(u64(SCRATCH))
    pages.release(first)
    pages.release(second)
    other = pages.make_space()
    begin()
    for i in typed_range(count):
        privileged.set_space(other if i & 1 == 0 else pages.pool.root, 1 + (i & 1))
        load(u64, KERNEL_BASE + PAGE)
    end("space_switch", count)
    pages.use(pages.pool.root)
    pages.release_space(other)


@native(inline=False)
def bench_misses(count: u64) -> None:
    """Loads that no translation cache knows, of pages that were all touched before."""
    page = pages.allocate()
    for i in typed_range(u64(SPREAD)):
        pages.map_page(pages.pool.root, SPREAD_BASE + i * STRIDE, page, u64(R | W))
    privileged.flush_all()
    for i in typed_range(u64(SPREAD)):
        load(u64, SPREAD_BASE + i * STRIDE)
    begin()
    for i in typed_range(count):
        load(u64, SPREAD_BASE + (i & SPREAD - 1) * STRIDE)
    end("tlb_miss", count)
    for i in typed_range(u64(SPREAD)):
        store(u64, pages.entry_of(pages.pool.root, SPREAD_BASE + i * STRIDE), 0)
    privileged.flush_all()
    pages.release(page)


@native(inline=False)
def bench_interrupts(count: u64) -> None:
    """A software interrupt to this hart, taken at once."""
    csr.sie.write(u64(privileged.SOFTWARE_PENDING))
    before = expected.software
    begin()
    privileged.interrupts_on()
    for _ in typed_range(count):
        csr.sip.set(u64(privileged.SOFTWARE_PENDING))
    privileged.interrupts_off()
    end("interrupt", expected.software - before)
    csr.sie.write(u64(privileged.TIMER_PENDING))


@native
def run_benchmarks(count: u64) -> None:
    """All of them."""
    bench_registers(count)
    bench_tables(count)
    bench_misses(count)
    bench_interrupts(count)
    create(u64(0), u64(user.BENCHMARKS), count, True)
    run()
    create(u64(0), u64(user.YIELDER), count, False)
    create(u64(1), u64(user.YIELDER), count, False)
    run()
