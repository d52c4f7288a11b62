"""A supervisor that asks the firmware for everything it offers, and shows the answers."""

from __future__ import annotations

from ringzero.bare.build import build as build_program
from ringzero.bare.stubs import csr, stub, wait
from ringzero.bare.text import put, put_byte, put_decimal
from ringzero.board.addresses import KERNEL_BASE
from ringzero.board.sbi import BASE, DBCN, FWFT, HSM, IPI, NON_RETENTIVE, RFENCE, SRST, TIME
from ringzero.guests import sbi
from ringzero.isa.privileged.trap import LOAD_ACCESS, SSI, STI
from ringzero.lang import (
    Array,
    Struct,
    address_of,
    atomic,
    field,
    native,
    ptr,
    typed_range,
    u8,
    u64,
)
from ringzero.lang.image import Image

STACKS = 0x4000
SSIP, STIP = 1 << SSI, 1 << STI
PATIENCE = 1 << 50  # ticks: whoever runs this ends it if nothing comes


class Stacks(Struct):
    words: Array[u64] = field(4 * 2048)


class Seen(Struct):
    """What traps and other harts leave."""

    cause: u64
    value: u64
    started: Array[u64] = field(4)
    argument: Array[u64] = field(4)
    goes_on: u64


stacks, seen = Stacks(), Seen()

ENTER = f"""
    csrw sie, zero
    la t0, trapped
    csrw stvec, t0
    la sp, stacks
    addi t0, a0, 1
    li t1, {STACKS}
    mul t0, t0, t1
    add sp, sp, t0
"""
start = stub("start", ENTER + "mv s0, a0\nmv s1, a1\ncall main")
start_other = stub("start_other", ENTER + "call other")
resume = stub("resume", ENTER + "call resumed")
# Records a trap and goes on after the instruction; every test instruction has four bytes.
trapped = stub(
    "trapped",
    """
    la t0, seen
    csrr t1, scause
    sd t1, 0(t0)
    csrr t1, stval
    sd t1, 8(t0)
    csrr t1, sepc
    addi t1, t1, 4
    csrw sepc, t1
    sret
""",
)
read_word = stub("read_word", "ld a0, 0(a0)", [u64], u64)
ask5 = sbi.call


@native
def ask(extension: u64, function: u64, a0: u64, a1: u64, a2: u64) -> tuple[u64, u64]:
    zero = u64(0)
    error, value = ask5(a0, a1, a2, zero, zero, zero, function, extension)
    return error, value


@native
def expect(name: ptr[u8], good: bool) -> None:
    if good:
        put("ok   ")
    else:
        put("FAIL ")
    put(name)
    put_byte(10)


@native
def error_of(extension: u64, function: u64, a0: u64, a1: u64, a2: u64) -> u64:
    error, _ = ask(extension, function, a0, a1, a2)
    return error


@native
def value_of(extension: u64, function: u64, a0: u64, a1: u64) -> u64:
    _, value = ask(extension, function, a0, a1, u64(0))
    return value


@native
def test_base() -> None:
    base, zero = u64(BASE), u64(0)
    expect("specification 2.0", value_of(base, zero, zero, zero) == 2 << 24)
    for extension in (BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, FWFT):
        expect("extension", value_of(base, u64(3), u64(extension), zero) == 1)
    expect("no PMU", value_of(base, u64(3), u64(0x504D55), zero) == 0)
    expect("unknown extension", error_of(u64(0x1234_5678), zero, zero, zero, zero)
           == ~u64(1))  # fmt: skip
    expect("unknown function", error_of(base, u64(99), zero, zero, zero) == ~u64(1))


@native
def test_timer() -> None:
    start = csr.time.read()
    error_of(u64(TIME), u64(0), start + 5000, u64(0), u64(0))
    csr.sie.write(u64(STIP))
    wait()
    expect("timer wakes", csr.time.read() >= start + 5000 and csr.sip.read() & STIP != 0)
    error_of(u64(TIME), u64(0), ~u64(0), u64(0), u64(0))
    expect("timer is put off", csr.sip.read() & STIP == 0)


@native
def test_console() -> None:
    text = u8[6]()
    text[0], text[1], text[2] = 72, 105, 10
    where = address_of(text)
    error, value = ask(u64(DBCN), u64(0), u64(3), where, u64(0))
    expect("console write", error == 0 and value == 3)
    error, _ = ask(u64(DBCN), u64(0), u64(64), u64(0x8000_0000), u64(0))
    expect("console does not read the firmware", error == ~u64(2))
    error, _ = ask(u64(DBCN), u64(1), u64(64), u64(0x8007_FFF0), u64(0))
    expect("console does not write the firmware", error == ~u64(2))
    error, _ = ask(u64(DBCN), u64(0), ~u64(0), where, u64(0))
    expect("console refuses a range that wraps", error == ~u64(2))
    error, value = ask(u64(DBCN), u64(1), u64(4), where, u64(0))
    expect("console read does not wait", error == 0 and value == 0)


@native
def test_protection() -> None:
    for address in (0x8000_0000, 0x8007_FFF8, 0x200_4000):
        seen.cause = 0
        read_word(u64(address))
        expect("machine memory is closed", seen.cause == LOAD_ACCESS and seen.value == address)
    seen.cause = 0
    read_word(u64(0x8008_0000))
    expect("memory above is open", seen.cause == 0)
    error, _ = ask(u64(FWFT), u64(0), u64(0), u64(0), u64(0))
    expect("misaligned accesses stay delegated", error == ~u64(3))


@native
def other(hart: u64, argument: u64) -> None:
    """A hart that was started: shows itself, does as it is told, and stops."""
    seen.argument[hart] = argument
    seen.cause = csr.sstatus.read() & 2 | csr.satp.read()
    atomic("xchg", u64, seen.started, hart << 3, 1)
    csr.sie.write(u64(SSIP))
    while csr.sip.read() & SSIP == 0:
        wait()
    csr.sip.clear(u64(SSIP))
    atomic("xchg", u64, seen.started, hart << 3, 2)
    error_of(u64(HSM), u64(1), u64(0), u64(0), u64(0))
    put("FAIL stopped hart goes on\n")


@native
def await_mark(hart: u64, mark: u64) -> bool:
    end = csr.time.read() + PATIENCE
    while atomic("or", u64, seen.started, hart << 3, 0) != mark:
        if csr.time.read() > end:
            return False
    return True


@native
def await_state(hart: u64, state: u64) -> bool:
    end = csr.time.read() + PATIENCE
    while value_of(u64(HSM), u64(2), hart, u64(0)) != state:
        if csr.time.read() > end:
            return False
    return True


@native
def test_harts(first: u64) -> None:
    for hart in typed_range(u64(4)):
        if hart != first:
            expect("hart is stopped", await_state(hart, u64(1)))
            entry = address_of(start_other)
            error, _ = ask(u64(HSM), u64(0), hart, entry, hart + 100)
            expect("hart starts", error == 0 and await_mark(hart, u64(1)))
            expect("its argument", seen.argument[hart] == hart + 100)
            expect("interrupts and translation off", seen.cause == 0)
            expect("hart runs", await_state(hart, u64(0)))
            expect("it cannot start twice",
                   error_of(u64(HSM), u64(0), hart, entry, u64(0)) == ~u64(5))  # fmt: skip
    zero, all_harts = u64(0), ~u64(0)
    for kind in (0, 1, 2):
        expect("remote fence", error_of(u64(RFENCE), u64(kind), u64(15), zero, zero) == 0)
        expect("fence on all", error_of(u64(RFENCE), u64(kind), zero, all_harts, zero) == 0)
    expect("no such fence", error_of(u64(RFENCE), u64(9), u64(15), zero, zero) == ~u64(1))
    expect("no such hart", error_of(u64(IPI), zero, u64(1 << 9), zero, zero) == ~u64(2))
    others = u64(15) & ~(u64(1) << first)
    expect("software interrupts", error_of(u64(IPI), zero, others, zero, zero) == 0)
    for hart in typed_range(u64(4)):
        if hart != first:
            expect("interrupt comes", await_mark(hart, u64(2)))
            expect("hart stops", await_state(hart, u64(1)))
            error, _ = ask(u64(HSM), u64(0), hart, address_of(start_other), u64(7))
            expect("hart starts again", error == 0 and await_mark(hart, u64(1)))
    expect("absent hart", error_of(u64(HSM), u64(0), u64(9), zero, zero) == ~u64(2))
    expect("start inside the firmware",
           error_of(u64(HSM), u64(0), first ^ 1, u64(0x8000_0000), zero) == ~u64(4))  # fmt: skip


@native
def resumed(hart: u64, argument: u64) -> None:
    """Where a non-retentive suspend goes on."""
    expect("non-retentive suspend", argument == 55 and csr.satp.read() == 0)
    finish()


@native
def finish() -> None:
    put("done\n")
    _, _ = ask(u64(SRST), u64(0), u64(0), u64(0xE000_0000 + 42), u64(0))


@native
def main(hart: u64, tree: u64) -> None:
    put_decimal(hart)
    put(" boots\n")
    test_base()
    test_timer()
    test_console()
    test_protection()
    csr.sie.write(u64(SSIP))
    error_of(u64(IPI), u64(0), u64(1) << hart, u64(0), u64(0))
    expect("interrupt to itself", csr.sip.read() & SSIP != 0)
    expect("suspend", error_of(u64(HSM), u64(3), u64(0), u64(0), u64(0)) == 0)
    expect("no such suspend", error_of(u64(HSM), u64(3), u64(77), u64(0), u64(0)) == ~u64(2))
    if error_of(u64(HSM), u64(2), u64(3), u64(0), u64(0)) == 0:  # there are four
        test_harts(hart)
    error_of(u64(HSM), u64(3), u64(NON_RETENTIVE), address_of(resume), u64(55))
    put("FAIL suspend came back\n")


def build() -> Image:
    """The payload for 0x80200000."""
    return build_program(
        [main, other, resumed],
        [start, start_other, resume, trapped],
        entry="start",
        base=KERNEL_BASE,
        exported={"stacks": stacks, "seen": seen},
        bind={put_byte: sbi.put_byte},
    )
