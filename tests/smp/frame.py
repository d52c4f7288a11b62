"""What the program for four harts is made of: addresses, instructions as stubs, waiting, output."""

from __future__ import annotations

from ringzero.bare.stubs import stub
from ringzero.bare.text import put_byte, put_decimal
from ringzero.lang import fence, load, native, ptr, store, u8, u32, u64

BASE = 0x8000_0000
STACKS = 0x8080_0000
CELLS = 0x8100_0000  # a megabyte for each part
CODE = 0x8200_0000
ROOT = 0x8300_0000  # a page table
TARGET = 0x8340_0000  # a page that it maps
UART, FINISHER, CLINT = 0x1000_0000, 0x10_0000, 0x200_0000
HARTS = 4
ROUNDS = 1000
LIMIT = 3_000_000  # ticks of a part in which harts meet: 0.3 s

start = stub(
    "start",
    f"""
    slli t0, a0, 14
    li sp, {STACKS}
    add sp, sp, t0
    call main
    """,
)
amo_add = stub("amo_add", "amoadd.d a0, a1, (a0)", [u64, u64], u64)
amo_add_word = stub("amo_add_word", "amoadd.w a0, a1, (a0)", [u64, u64], u64)
amo_and = stub("amo_and", "amoand.d a0, a1, (a0)", [u64, u64], u64)
amo_xor = stub("amo_xor", "amoxor.d a0, a1, (a0)", [u64, u64], u64)
amo_swap = stub("amo_swap", "amoswap.w.aq a0, a1, (a0)", [u64, u64], u64)
fence_i = stub("fence_i", "fence.i")
wait = stub("wait", "wfi")
listen = stub("listen", "csrs mie, a0", [u64])
now = stub("now", "csrr a0, time", [], u64)
call_at = stub("call_at", "mv t0, a0\nmv a1, a1\njr t0", [u64, u64], u64)
increment = stub(
    "increment",
    """
    again:
    lr.d t0, (a0)
    addi t0, t0, 1
    sc.d t1, t0, (a0)
    bnez t1, again
    ret
    """,
    [u64],
)
increment_word = stub(
    "increment_word",
    """
    again:
    lr.w.aq t0, (a0)
    addi t0, t0, 1
    sc.w.rl t1, t0, (a0)
    bnez t1, again
    ret
    """,
    [u64],
)
map_memory = stub(
    "map_memory",
    f"""
    li t0, {1 << 61}
    csrs menvcfg, t0            # ADUE: the walk sets A and D
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 31
    csrw pmpcfg0, t0            # all of memory for S
    li t0, {8 << 60 | ROOT >> 12}
    csrw satp, t0
    sfence.vma
    ret
    """,
)
store_as_supervisor = stub(
    "store_as_supervisor",
    f"""
    li t0, {1 << 17 | 1 << 11}  # MPRV, MPP = S
    csrs mstatus, t0
    sd a1, 0(a0)
    csrc mstatus, t0
    sfence.vma
    ret
    """,
    [u64, u64],
)


@native
def uart_write(byte: u8) -> None:
    """Send one byte."""
    store(u8, UART, byte)


@native(inline=False)
def tell(name: ptr[u8], count: u64) -> None:
    """A line of the output."""
    i = u64(0)
    while name[i] != 0:
        put_byte(name[i])
        i += 1
    put_byte(32)
    put_decimal(count)
    put_byte(10)


@native(inline=False)
def meet(hart: u64, where: u64, all_there: u64, until: u64) -> bool:
    """Wait, awake, until a counter says that all have come this often; False when time is up.

    Hart 0 looks at the time. On a busy host harts meet seldom: then there are fewer rounds.
    """
    if hart == 0 and now() > until:
        store(u64, where + 64, all_there)
    amo_add(where, 1)
    while load(u64, where) < all_there:
        pass
    last = load(u64, where + 64)
    return last == 0 or last > all_there


@native(inline=False)
def sleep_until(hart: u64, where: u64, value: u64) -> None:
    """Wait in wfi until a cell has reached a value; who changes it rings."""
    while True:
        store(u32, CLINT + 4 * hart, 0)
        fence()
        if load(u64, where) >= value:
            return
        wait()


@native
def area(part: int) -> u64:
    """Where a part has its cells."""
    return u64(CELLS + (part << 20))
