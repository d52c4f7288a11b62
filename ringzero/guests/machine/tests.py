"""Tests of machine mode: its CSRs, delegation, traps from below, PMP, timer and counters."""

from __future__ import annotations

from ringzero.bare.stubs import csr, stub, wait
from ringzero.board import clint
from ringzero.board.addresses import CLINT_BASE
from ringzero.guests.entry import Frame
from ringzero.guests.machine.entry import enter_lower, finish
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
from ringzero.isa.csrs.machine import mstatus
from ringzero.isa.hart import S, U
from ringzero.isa.privileged.trap import (
    BREAKPOINT,
    ECALL_FROM_M,
    ECALL_FROM_S,
    ECALL_FROM_U,
    FETCH_ACCESS,
    ILLEGAL_INSTRUCTION,
    INTERRUPT,
    LOAD_ACCESS,
    MSI,
    MTI,
    SSI,
    STORE_ACCESS,
)
from ringzero.lang import Array, Struct, address_of, field, load, native, ptr, store, u8, u32, u64

MIE, MPIE, MPP, MPRV = (
    mstatus.MIE.bits, mstatus.MPIE.bits, mstatus.MPP.bits, mstatus.MPRV.bits,
)  # fmt: skip
TVM, TW, TSR = mstatus.TVM.bits, mstatus.TW.bits, mstatus.TSR.bits
U_MODE, S_MODE = U << mstatus.MPP.low, S << mstatus.MPP.low
SOFTWARE, TIMER, S_SOFTWARE = 1 << MSI, 1 << MTI, 1 << SSI
MSIP, MTIMECMP, MTIME = (CLINT_BASE + at for at in (clint.MSIP, clint.MTIMECMP, clint.MTIME))
NA4, NAPOT, TOR, ALL = 2 << 3, 3 << 3, 1 << 3, 7

call = stub("make_call", "ecall")
stop = stub("make_stop", "ebreak")
write_cycle = stub("write_cycle", "csrrw zero, cycle, zero")
load_double = stub("load_double", "ld a0, 0(a0)", [u64], u64)
load_word = stub("load_word", "lw a0, 4(a0)", [u64], u64)
store_word = stub("store_word", "sd zero, 0(a0)", [u64])
load_odd = stub("load_odd", "ld a0, 0(a0)", [u64], u64)

# What runs below; each ends by a call, unless it traps before.
below_call = stub("below_call", "ecall\necall")
below_stop = stub("below_stop", "ebreak\necall")
below_cycle = stub("below_cycle", "csrr a0, cycle\necall")
below_satp = stub("below_satp", "csrr a0, satp\necall")
below_fence = stub("below_fence", "sfence.vma\necall")
below_sret = stub("below_sret", "sret\necall")
below_wait = stub("below_wait", "wfi\necall")
below_load = stub("below_load", "ld a0, 0(a0)\necall")
below_store = stub("below_store", "sd zero, 0(a0)\necall")
below_machine = stub("below_machine", "csrr a0, mscratch\necall")
STUBS = (
    below_call, below_stop, below_cycle, below_satp, below_fence, below_sret, below_wait,
    below_load, below_store, below_machine,
)  # fmt: skip


class Guarded(Struct):
    """Memory for PMP to protect."""

    words: Array[u64] = field(24)


class Lower(Struct):
    """The context that runs below."""

    frame: Frame


guarded, lower = Guarded(), Lower()


@native
def handle_kernel_trap(frame: Frame) -> None:
    """A trap in machine mode itself."""
    if frame.cause == INTERRUPT | 7:
        expected.timer += 1
        record(frame)
        store(u64, MTIMECMP, ~u64(0))
    elif frame.cause == INTERRUPT | 3:
        expected.software += 1
        record(frame)
        store(u32, MSIP, 0)
    elif frame.cause == INTERRUPT | 1:
        expected.software += 1
        record(frame)
        csr.mip.clear(u64(S_SOFTWARE))
    elif expected.armed:
        expected.caught += 1
        record(frame)
        skip(frame)
    else:
        put_trap("unexpected trap", frame)
        finish(u64(255))


@native(inline=False)
def below(mode: u64, text: u64, argument: u64) -> u64:
    """Run text in a lower mode; the cause of the trap that it ends by."""
    frame = lower.frame
    frame.pc, frame.x[10] = text, argument
    frame.status = csr.mstatus.read() & ~u64(MPP) | mode
    enter_lower(frame)
    record(frame)
    return frame.cause


@native(inline=False)
def test_registers() -> None:
    """Reading, writing, and what may be written (privileged spec, chapter 3)."""
    misa = csr.misa.read()
    wanted = u64(1 << 8 | 1 << 12 | 1 << 0 | 1 << 2 | 1 << 18 | 1 << 20)
    verdict("misa is RV64IMACSU", misa >> 62 == 2 and misa & wanted == wanted)
    verdict("hart 0", csr.mhartid.read() == 0)
    before = csr.mstatus.read()
    csr.mstatus.clear(u64(MPP))
    csr.mstatus.set(u64(2 << 11))
    verdict("mstatus.MPP has no mode 2", csr.mstatus.read() & MPP != 2 << 11)
    csr.mstatus.clear(u64(MPP))
    csr.mstatus.set(u64(S_MODE))
    verdict("mstatus.MPP takes S", csr.mstatus.read() & MPP == S_MODE)
    csr.mstatus.write(before)
    csr.mepc.write(u64(0x8000_0007))
    verdict("mepc is even", csr.mepc.read() & 1 == 0)
    csr.medeleg.write(~u64(0))
    verdict("calls from M are not delegated", csr.medeleg.read() >> ECALL_FROM_M & 1 == 0)
    csr.medeleg.write(u64(0))
    csr.mideleg.write(~u64(0))
    verdict("machine interrupts are not delegated", csr.mideleg.read() & 0x888 == 0)
    csr.mideleg.write(u64(0))
    csr.minstret.write(u64(1 << 40))
    count = csr.minstret.read() - (1 << 40)
    verdict("minstret takes a value", count < 100)
    csr.mcountinhibit.write(u64(4))
    first = csr.minstret.read()
    second = csr.minstret.read()
    stopped = csr.mcountinhibit.swap(u64(0)) & 4 != 0
    verdict("mcountinhibit stops minstret", not stopped or first == second)


@native(inline=False)
def test_traps() -> None:
    """Traps in machine mode, and from below."""
    arm()
    call()
    verdict("call from M", faulted(u64(ECALL_FROM_M), u64(0)))
    verdict("trap keeps the mode in MPP", expected.status & MPP == MPP)
    arm()
    stop()
    verdict("breakpoint", faulted(u64(BREAKPOINT), expected.value))
    arm()
    write_cycle()
    verdict(
        "write to a read-only CSR is illegal", faulted(u64(ILLEGAL_INSTRUCTION), expected.value)
    )
    none = u64(0)
    csr.pmpcfg0.write(none)  # Spike and QEMU open an entry for programs that know no PMP
    verdict("fetch without PMP", below(u64(S_MODE), address_of(below_call), none) == FETCH_ACCESS)
    csr.pmpaddr0.write(~u64(0))
    csr.pmpcfg0.write(u64(NAPOT | ALL))
    verdict("call from S", below(u64(S_MODE), address_of(below_call), none) == ECALL_FROM_S)
    verdict("MPP says S", expected.status & MPP == S_MODE)
    verdict("call from U", below(u64(U_MODE), address_of(below_call), none) == ECALL_FROM_U)
    verdict("MPP says U", expected.status & MPP == 0)
    verdict("mepc points to the call", expected.pc == address_of(below_call))
    csr.mstatus.set(u64(MPRV))
    below(u64(S_MODE), address_of(below_call), none)
    verdict("mret to S clears MPRV", csr.mstatus.read() & MPRV == 0)
    verdict("S has no machine CSRs",
            below(u64(S_MODE), address_of(below_machine), none) == ILLEGAL_INSTRUCTION)  # fmt: skip
    csr.medeleg.write(u64(1 << BREAKPOINT))
    csr.stvec.write(address_of(below_call))
    cause = below(u64(U_MODE), address_of(below_stop), none)
    verdict("delegated breakpoint goes to S", cause == ECALL_FROM_S)
    verdict("scause and sepc of it", csr.scause.read() == BREAKPOINT
            and csr.sepc.read() == address_of(below_stop))  # fmt: skip
    csr.medeleg.write(u64(0))
    verdict("undelegated breakpoint", below(u64(S_MODE), address_of(below_stop), none)
            == BREAKPOINT)  # fmt: skip


@native(inline=False)
def gated(name: ptr[u8], bit: int, text: u64) -> None:
    """An instruction that S may use, unless mstatus says otherwise."""
    csr.mstatus.set(u64(bit))
    trapped = below(u64(S_MODE), text, u64(0)) == ILLEGAL_INSTRUCTION
    csr.mstatus.clear(u64(bit))
    verdict(name, trapped)


@native(inline=False)
def test_gates() -> None:
    """TVM, TW, TSR and the counter enables (3.1.6.6, 3.1.11)."""
    s, u, none = u64(S_MODE), u64(U_MODE), u64(0)
    gated("TVM traps satp", TVM, address_of(below_satp))
    gated("TVM traps sfence.vma", TVM, address_of(below_fence))
    gated("TSR traps sret", TSR, address_of(below_sret))
    gated("TW traps wfi", TW, address_of(below_wait))
    verdict("satp without TVM", below(s, address_of(below_satp), none) == ECALL_FROM_S)
    verdict("sret is illegal in U", below(u, address_of(below_sret), none) == ILLEGAL_INSTRUCTION)
    csr.mcounteren.write(none)
    verdict(
        "mcounteren closes cycle", below(s, address_of(below_cycle), none) == ILLEGAL_INSTRUCTION
    )
    csr.mcounteren.write(u64(7))
    csr.scounteren.write(none)
    verdict("mcounteren opens cycle",
            below(s, address_of(below_cycle), none) == ECALL_FROM_S)  # fmt: skip
    verdict(
        "scounteren closes cycle", below(u, address_of(below_cycle), none) == ILLEGAL_INSTRUCTION
    )
    csr.scounteren.write(u64(7))
    verdict("scounteren opens cycle", below(u, address_of(below_cycle), none) == ECALL_FROM_U)


@native(inline=False)
def test_protection() -> None:
    """PMP (3.7): the first entry that matches decides, M is free unless an entry is locked."""
    s, at = u64(S_MODE), address_of(guarded) + 63 & ~u64(63)
    csr.pmpaddr1.write(~u64(0))
    csr.pmpaddr0.write((at >> 2) + 1)
    csr.pmpcfg0.write(u64((NAPOT | ALL) << 8 | NA4))
    verdict("memory before the region", below(s, address_of(below_load), at - 8)
            == ECALL_FROM_S)  # fmt: skip
    verdict("NA4 in half of a word", below(s, address_of(below_load), at) == LOAD_ACCESS)
    verdict("its address", expected.value == at or expected.value == at + 4)
    arm()
    load_double(at)
    verdict("half a match denies M too", faulted(u64(LOAD_ACCESS), expected.value))
    arm()
    load_word(at)
    verdict("M reads what S may not", nothing_came())
    csr.pmpaddr0.write(at >> 2 | 7)  # 64 bytes
    csr.pmpcfg0.write(u64((NAPOT | ALL) << 8 | NAPOT | 1))
    verdict("NAPOT allows loads", below(s, address_of(below_load), at + 56) == ECALL_FROM_S)
    verdict("NAPOT denies stores", below(s, address_of(below_store), at + 56) == STORE_ACCESS)
    verdict("NAPOT ends", below(s, address_of(below_store), at + 64) == ECALL_FROM_S)
    arm()
    csr.mstatus.clear(u64(MPP))
    csr.mstatus.set(u64(MPRV))
    store_word(at)
    csr.mstatus.clear(u64(MPRV))
    verdict("MPRV stores as U", faulted(u64(STORE_ACCESS), at))
    csr.pmpaddr0.write(at >> 2)
    csr.pmpaddr1.write((at >> 2) + 4)
    csr.pmpaddr2.write(~u64(0))
    csr.pmpcfg0.write(u64((NAPOT | ALL) << 16 | TOR << 8))
    verdict("TOR begins", below(s, address_of(below_load), at - 8) == ECALL_FROM_S)
    verdict("TOR denies", below(s, address_of(below_load), at + 8) == LOAD_ACCESS)
    verdict("TOR ends", below(s, address_of(below_load), at + 16) == ECALL_FROM_S)
    csr.pmpaddr0.write(~u64(0))
    csr.pmpcfg0.write(u64(NAPOT | ALL))


@native(inline=False)
def test_interrupts() -> None:
    """Timer and software interrupts of the CLINT, masks, priority, wfi."""
    store(u64, MTIMECMP, ~u64(0))
    verdict("no timer yet", csr.mip.read() & TIMER == 0)
    store(u64, MTIMECMP, load(u64, MTIME) + 50)
    csr.mie.write(u64(TIMER))
    while csr.mip.read() & TIMER == 0:
        wait()
    verdict("wfi wakes for a masked interrupt", expected.timer == 0)
    csr.mstatus.set(u64(MIE))
    csr.mstatus.clear(u64(MIE))
    verdict("timer interrupt", expected.timer == 1 and expected.cause == INTERRUPT | 7)
    verdict("MPIE keeps MIE", expected.status & (MIE | MPIE) == MPIE)
    store(u32, MSIP, 1)
    csr.mie.write(u64(SOFTWARE | S_SOFTWARE))
    csr.mip.set(u64(S_SOFTWARE))
    csr.mstatus.set(u64(MIE))
    csr.mstatus.clear(u64(MIE))
    verdict("both software interrupts come", expected.software == 2)
    verdict("the supervisor's comes last", expected.cause == INTERRUPT | 1)
    csr.mideleg.write(u64(S_SOFTWARE))
    csr.mip.set(u64(S_SOFTWARE))
    csr.mstatus.set(u64(MIE))
    csr.mstatus.clear(u64(MIE))
    verdict("a delegated interrupt does not come to M", expected.software == 2)
    csr.mip.clear(u64(S_SOFTWARE))
    csr.mideleg.write(u64(0))
    store(u64, MTIMECMP, load(u64, MTIME))
    csr.mie.write(u64(TIMER))
    cause = below(u64(U_MODE), address_of(below_call), u64(0))
    verdict("interrupts reach U while MIE=0", cause == INTERRUPT | 7)
    store(u64, MTIMECMP, ~u64(0))
    csr.mie.write(u64(0))


@native(inline=False)
def test_memory() -> None:
    """Misaligned loads are done, or trap; both are allowed, a wrong value is not."""
    guarded.words[0], guarded.words[1] = 0x0807_0605_0403_0201, 0x100F_0E0D_0C0B_0A09
    arm()
    value = load_odd(address_of(guarded) + 3)
    done = nothing_came() and value == 0x0B0A_0908_0706_0504
    verdict("misaligned load", done or faulted(u64(4), address_of(guarded) + 3))


@native
def machine_tests(hart: u64) -> u64:
    """All of them."""
    test_registers()
    test_traps()
    test_gates()
    test_protection()
    test_interrupts()
    test_memory()
    return u64(0) if summary() else u64(1)
