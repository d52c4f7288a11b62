"""The kernel's self-tests: what privileged instructions, traps and tables must do."""

from __future__ import annotations

from ringzero.bare.stubs import csr, stub
from ringzero.guests import sbi
from ringzero.guests.entry import Frame
from ringzero.guests.kernel import pages, privileged, user
from ringzero.guests.kernel.privileged import FS_INITIAL, MXR, SIE, SPIE, SPP, SUM
from ringzero.guests.kernel.processes import TIMER_INTERRUPT, create, processes, run
from ringzero.guests.verdicts import (
    arm,
    expected,
    faulted,
    nothing_came,
    put_trap,
    record,
    skip,
    summary,
    verdict,
)
from ringzero.isa.csrs.supervisor import sstatus
from ringzero.isa.privileged.paging import A, D, R, U, V, W, X
from ringzero.isa.privileged.trap import (
    BREAKPOINT,
    FETCH_PAGE,
    ILLEGAL_INSTRUCTION,
    INTERRUPT,
    LOAD_ACCESS,
    LOAD_PAGE,
    SEI,
    SSI,
    STATUS_FS,
    STI,
    STORE_PAGE,
)
from ringzero.lang import Array, Struct, address_of, field, load, native, ptr, store, u8, u64

SOFTWARE_INTERRUPT = INTERRUPT | SSI
NOWHERE = 1 << 38  # a physical address that nothing answers at
SCRATCH = 0x3000_0000  # a page of the kernel's own space for table tests
FAR_AWAY = 1 << 50  # ticks: years, so that no host is too busy for it
PATIENCE = 50_000_000  # ticks, 5 s: VS-mode of QEMU before 8.1 never shows the timer in sip
SD = sstatus.SD.bits
SUPERVISOR_INTERRUPTS = 1 << SSI | 1 << STI | 1 << SEI | 1 << 13  # and counters' overflow
WRITE_CYCLE = 0xC000_1073

write_cycle = stub("write_cycle", f".word {WRITE_CYCLE:#x}")
read_machine = stub("read_mstatus", "csrr a0, mstatus", [], u64)
use_float = stub("use_float", "fmv.d.x ft0, zero")
load_reserved = stub("load_reserved", "lr.d a0, (a0)", [u64], u64)
store_conditional = stub("store_conditional", "sc.d a0, a1, (a0)", [u64, u64], u64)


class Word(Struct):
    """Memory to be read, written and not executed."""

    words: Array[u64] = field(4)


word = Word()


@native
def handle_kernel_trap(frame: Frame) -> None:
    """A trap while the kernel itself ran."""
    if frame.cause == TIMER_INTERRUPT:
        expected.timer += 1
        privileged.set_timer(~u64(0))
        record(frame)
    elif frame.cause == SOFTWARE_INTERRUPT:
        expected.software += 1
        csr.sip.clear(u64(privileged.SOFTWARE_PENDING))
        record(frame)
    elif expected.armed:
        expected.caught += 1
        record(frame)
        skip(frame)
    else:
        panic(frame)


@native(inline=False)
def panic(frame: Frame) -> None:
    """A trap that nobody expected."""
    put_trap("kernel panic", frame)
    sbi.power_off(True)


# ---- instructions and CSRs


@native(inline=False)
def test_exceptions() -> None:
    """Illegal instructions and breakpoints; stval may hold the instruction, or pc, or zero."""
    arm()
    write_cycle()
    value = expected.value
    verdict("write to a read-only CSR is illegal", faulted(u64(ILLEGAL_INSTRUCTION), value)
            and (value == 0 or value == WRITE_CYCLE))  # fmt: skip
    arm()
    read_machine()
    verdict("machine CSR is illegal", faulted(u64(ILLEGAL_INSTRUCTION), expected.value))
    arm()
    user.stop()
    value = expected.value
    verdict("breakpoint", faulted(u64(BREAKPOINT), value)
            and (value == 0 or value == expected.pc))  # fmt: skip
    arm()
    csr.sstatus.clear(u64(STATUS_FS))
    use_float()
    verdict("floats while FS is off are illegal", faulted(u64(ILLEGAL_INSTRUCTION), expected.value))
    arm()
    csr.sstatus.set(u64(FS_INITIAL))
    use_float()
    status = csr.sstatus.read()
    csr.sstatus.clear(u64(STATUS_FS))
    verdict(
        "floats make FS dirty",
        nothing_came() and status & STATUS_FS == STATUS_FS and status & SD != 0,
    )


@native(inline=False)
def test_status() -> None:
    """What a trap does to sstatus, and what sret undoes (privileged spec 12.1.1)."""
    arm()
    csr.sstatus.clear(u64(SIE))
    user.stop()
    verdict("trap keeps SIE=0 in SPIE", expected.status & (SPP | SPIE | SIE) == SPP)
    privileged.interrupts_on()
    user.stop()
    status = expected.status
    after = privileged.interrupts_off()
    verdict("trap keeps SIE=1 in SPIE", status & (SPP | SPIE | SIE) == SPP | SPIE)
    verdict("sret restores SIE", after != 0 and expected.caught == 2)
    expected.armed = False
    before = csr.sscratch.swap(u64(0x1234_5678_9ABC_DEF0))
    found = csr.sscratch.swap(before)
    verdict("sscratch keeps its value", found == 0x1234_5678_9ABC_DEF0)
    csr.sepc.write(u64(0x8020_0004))
    verdict("sepc keeps its value", csr.sepc.read() == 0x8020_0004)
    csr.scause.write(u64(INTERRUPT | 9))
    verdict("scause keeps its value", csr.scause.read() == INTERRUPT | 9)
    csr.stval.write(~u64(5))
    verdict("stval keeps its value", csr.stval.read() == ~u64(5))
    csr.sie.write(~u64(0))
    found = csr.sie.swap(u64(0))
    verdict("sie is WARL", found & ~u64(SUPERVISOR_INTERRUPTS) == 0 and found & 0x222 == 0x222)
    before = csr.satp.read()
    csr.satp.write(u64(2) << 60 | 0x12345)
    verdict("satp refuses reserved modes whole", csr.satp.read() == before)
    before = csr.stvec.read()
    csr.stvec.write(before | 1)
    found = csr.stvec.swap(before)
    verdict("stvec mode is WARL", found & 3 <= 1 and csr.stvec.read() == before)
    verdict("user mode is 64 bits wide", csr.sstatus.read() >> 32 & 3 == 2)


# ---- interrupts


@native(inline=False)
def test_interrupts() -> None:
    """Pending, masked, taken; the timer through the SBI."""
    csr.sie.write(u64(privileged.SOFTWARE_PENDING | privileged.TIMER_PENDING))
    csr.sip.set(u64(privileged.SOFTWARE_PENDING))
    count = expected.software
    verdict("SIE=0 holds interrupts back", csr.sip.read() & 2 != 0 and count == 0)
    privileged.interrupts_on()
    privileged.interrupts_off()
    verdict("software interrupt", expected.software == 1 and csr.sip.read() & 2 == 0)
    verdict("its cause", expected.cause == SOFTWARE_INTERRUPT)
    privileged.set_timer(privileged.now() + FAR_AWAY)
    verdict("timer waits for its time", csr.sip.read() & privileged.TIMER_PENDING == 0)
    start = privileged.now()
    privileged.set_timer(start + 1000)
    while csr.sip.read() & privileged.TIMER_PENDING == 0 and privileged.now() < start + PATIENCE:
        privileged.idle()  # wakes although SIE is 0
    shown = csr.sip.read() & privileged.TIMER_PENDING != 0
    verdict("sip shows a timer that is due", shown and privileged.now() >= start + 1000)
    verdict("wfi wakes for a masked interrupt", expected.timer == 0)
    privileged.interrupts_on()
    privileged.interrupts_off()
    verdict("timer interrupt", expected.timer == 1 and expected.cause == TIMER_INTERRUPT)
    verdict("a later time clears it", csr.sip.read() & privileged.TIMER_PENDING == 0)
    start = privileged.now()
    privileged.set_timer(start + 1000)
    while expected.timer == 1 and privileged.now() < start + FAR_AWAY:
        privileged.idle()  # masked, or the interrupt could come just before it
        privileged.interrupts_on()
        privileged.interrupts_off()
    verdict("timer interrupts waiting", expected.timer == 2 and privileged.now() >= start + 1000)
    csr.sie.write(u64(privileged.TIMER_PENDING))


# ---- translation


@native
def put_entry(entry: u64) -> None:
    """Make `entry` the one of SCRATCH."""
    store(u64, pages.entry_of(pages.pool.root, u64(SCRATCH)), entry)
    privileged.flush_page(u64(SCRATCH))


@native(inline=False)
def loads(name: ptr[u8], entry: u64, allowed: bool) -> None:
    """Whether a load from SCRATCH is allowed under this entry."""
    put_entry(entry)
    arm()
    user.load_probe(u64(SCRATCH + 8))
    if allowed:
        verdict(name, nothing_came())
    else:
        verdict(name, faulted(u64(LOAD_PAGE), u64(SCRATCH + 8)))


@native(inline=False)
def test_tables() -> None:
    """Valid and invalid entries, permissions, SUM and MXR (privileged spec 12.3.2)."""
    page = pages.allocate()
    frame = page >> 12 << 10
    store(u64, page + 8, 0x77)
    loads("entry without V", u64(0), False)
    loads("readable page", frame | V | R | A | D, True)
    verdict("maps the page", load(u64, SCRATCH + 8) == 0x77)
    loads("W without R is reserved", frame | V | W | A | D, False)
    loads("W, X without R is reserved", frame | V | W | X | A | D, False)
    loads("reserved bits of an entry", frame | V | R | A | D | 1 << 54, False)
    loads("pointer at the last level", frame | V, False)
    loads("user page while SUM=0", frame | V | R | W | U | A | D, False)
    csr.sstatus.set(u64(SUM))
    loads("user page while SUM=1", frame | V | R | W | U | A | D, True)
    put_entry(frame | V | R | W | X | U | A | D)
    arm()
    user.execute(u64(SCRATCH))
    verdict("SUM does not allow fetches", faulted(u64(FETCH_PAGE), u64(SCRATCH)))
    csr.sstatus.clear(u64(SUM))
    loads("execute-only page", frame | V | X | A | D, False)
    csr.sstatus.set(u64(MXR))
    loads("execute-only page while MXR=1", frame | V | X | A | D, True)
    csr.sstatus.clear(u64(MXR))
    put_entry(frame | V | R | A | D)
    arm()
    user.store_probe(u64(SCRATCH + 16))
    verdict("store to a read-only page", faulted(u64(STORE_PAGE), u64(SCRATCH + 16)))
    arm()
    user.execute(u64(SCRATCH))
    verdict("fetch from a page without X", faulted(u64(FETCH_PAGE), u64(SCRATCH)))
    test_accessed(frame)
    put_entry(u64(0))
    pages.release(page)


@native
def test_accessed(frame: u64) -> None:
    """A and D bits: set by the hart, or by whoever handles the page fault (12.3.1, step 7)."""
    at = pages.entry_of(pages.pool.root, u64(SCRATCH))
    put_entry(frame | V | R | W)
    arm()
    user.load_probe(u64(SCRATCH))
    entry = load(u64, at)
    hardware = nothing_came() and entry & (A | D) == A
    verdict("A is set, or faults", hardware or faulted(u64(LOAD_PAGE), u64(SCRATCH)))
    put_entry(frame | V | R | W | A)
    arm()
    user.store_probe(u64(SCRATCH))
    entry = load(u64, at)
    hardware = nothing_came() and entry & (A | D) == A | D
    verdict("D is set, or faults", hardware or faulted(u64(STORE_PAGE), u64(SCRATCH)))


@native(inline=False)
def test_spaces() -> None:
    """Superpages, holes, remapping, and what is not ours."""
    base = u64(0x8060_0000)
    page = pages.allocate()
    verdict("superpages map whole", base > 0 and load(u64, page) == 0)
    middle = pages.pool.kernel_tables
    at = middle + (u64(0x9000_0000) >> 21 & 511) * 8
    store(u64, at, page >> 12 << 10 | V | R | A | D)
    privileged.flush_all()
    arm()
    user.load_probe(u64(0x9000_0000))
    aligned = page & (1 << 21) - 1 == 0
    verdict("misaligned superpage", aligned or faulted(u64(LOAD_PAGE), u64(0x9000_0000)))
    store(u64, at, pages.leaf(u64(NOWHERE), u64(R | W)))
    privileged.flush_all()
    arm()
    user.load_probe(u64(0x9000_0000))
    verdict("behind all memory there is nothing", faulted(u64(LOAD_ACCESS), u64(0x9000_0000)))
    store(u64, at, 0)
    privileged.flush_all()
    arm()
    user.load_probe(u64(0x5000_0000))
    verdict("hole in the tables", faulted(u64(LOAD_PAGE), u64(0x5000_0000)))
    arm()
    user.load_probe(u64(1) << 62)
    verdict("address out of Sv39", faulted(u64(LOAD_PAGE), u64(1) << 62))
    arm()
    user.execute(u64(0x5000_0000))
    verdict("fetch from a hole", faulted(u64(FETCH_PAGE), u64(0x5000_0000)))
    arm()
    user.store_probe(address_of(test_spaces) & ~u64(7))
    verdict("kernel text is read-only",
            faulted(u64(STORE_PAGE), address_of(test_spaces) & ~u64(7)))  # fmt: skip
    arm()
    user.execute(address_of(word))
    verdict("kernel data does not run", faulted(u64(FETCH_PAGE), address_of(word)))
    test_remapping(page)


@native
def test_remapping(page: u64) -> None:
    """A changed entry is seen after sfence.vma."""
    other = pages.allocate()
    store(u64, page, 1)
    store(u64, other, 2)
    put_entry(pages.leaf(page, u64(R | W)))
    first = load(u64, SCRATCH)
    put_entry(pages.leaf(other, u64(R | W)))
    second = load(u64, SCRATCH)
    store(u64, SCRATCH, 3)
    verdict("remapped page", first == 1 and second == 2 and load(u64, other) == 3)
    put_entry(u64(0))
    pages.release(other)
    pages.release(page)


@native(inline=False)
def test_atomics() -> None:
    """lr/sc succeed when nothing intervenes; sc alone fails."""
    at = address_of(word)
    store(u64, at, 5)
    found = load_reserved(at)
    failed = store_conditional(at, found + 1)
    verdict("lr and sc", found == 5 and failed == 0 and load(u64, at) == 6)
    failed = store_conditional(at, u64(9))
    verdict("sc without lr fails", failed != 0 and load(u64, at) == 6)


@native(inline=False)
def test_counters() -> None:
    """The counters that user mode may read run."""
    first, cycle = csr.instret.read(), csr.cycle.read()
    second = csr.instret.read()
    verdict("instret counts", second != first)
    verdict("cycle counts", csr.cycle.read() != cycle)
    start = privileged.now()
    while privileged.now() == start:
        pass
    verdict("time passes", privileged.now() > start)


# ---- processes


@native(inline=False)
def test_processes() -> None:
    """User mode, system calls, isolation, demand paging, preemption."""
    taken = pages.pool.taken
    zero = u64(0)
    verdict("process is made", create(u64(1), u64(user.HELLO), zero, False))
    run()
    verdict("process runs and ends", processes.all[1].result == 1)
    create(u64(0), u64(user.ISOLATED), zero, False)
    create(u64(1), u64(user.ISOLATED), zero, False)
    switches = processes.switches
    run()
    verdict("address spaces are apart", processes.all[0].result | processes.all[1].result == 0)
    verdict("processes give way", processes.switches - switches >= 100)
    create(u64(2), u64(user.HEAP_USER), zero, False)
    run()
    verdict("pages come on demand",
            processes.all[2].result == 136 and processes.all[2].faults == 16)  # fmt: skip
    create(u64(0), u64(user.SPINNER), zero, False)
    create(u64(1), u64(user.SPINNER), zero, False)
    run()
    verdict("the timer preempts", processes.all[0].result | processes.all[1].result == 0)
    create(u64(3), u64(user.PROBER), zero, True)
    run()
    verdict("user mode is confined", processes.all[3].result == 0)
    verdict("no page is lost", pages.pool.taken == taken)


@native
def run_tests() -> bool:
    """All of them; whether all passed."""
    test_exceptions()
    test_status()
    test_interrupts()
    test_tables()
    test_spaces()
    test_atomics()
    test_counters()
    test_processes()
    return summary()
