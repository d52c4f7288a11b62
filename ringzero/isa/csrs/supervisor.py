"""Supervisor-level CSRs (privileged spec chapter 12), with Sstc, Smstateen and the envcfg pair."""

from __future__ import annotations

from ringzero.isa.csr import Csr, const, derived, rw, warl, wlrl
from ringzero.isa.csrs.machine import SUPERVISOR_INTERRUPTS, floats_dirty, legal_cbie
from ringzero.isa.hart import ADDRESS_SPACE, FLOATS, INTERRUPTS, TRANSLATION, Hart, M
from ringzero.isa.privileged.counters import TIME
from ringzero.isa.privileged.paging import BARE, SV39, SV57
from ringzero.isa.privileged.trap import SSI, STCE, interrupts_pending
from ringzero.lang import native, u64

STATUS_TVM = 1 << 20
STATE_SE, STATE_ENVCFG = 1 << 63, 1 << 62


@native
def satp_allowed(hart: Hart, number: u64) -> bool:
    """mstatus.TVM keeps S away from satp, and hgatp."""
    return hart.mode == M or hart.virtual != 0 or hart.mstatus & STATUS_TVM == 0


@native
def satp_allowed_to_guest(hart: Hart, number: u64) -> bool:
    """hstatus.VTVM keeps VS away from satp."""
    return hart.hstatus & STATUS_TVM == 0


@native
def environment_enabled(hart: Hart, number: u64) -> bool:
    """mstateen0.ENVCFG opens senvcfg and henvcfg to S."""
    return hart.mode == M or hart.mstateen0 & STATE_ENVCFG != 0


@native
def environment_enabled_for_guest(hart: Hart, number: u64) -> bool:
    """hstateen0.ENVCFG opens senvcfg to VS."""
    return hart.mstateen0 & hart.hstateen0 & STATE_ENVCFG != 0


@native
def state_enables(hart: Hart, number: u64) -> u64:
    """mstateenN, for sstateenN or hstateenN."""
    if number & 3 == 0:
        return hart.mstateen0
    if number & 3 == 1:
        return hart.mstateen1
    if number & 3 == 2:
        return hart.mstateen2
    return hart.mstateen3


@native
def guest_state_enables(hart: Hart, number: u64) -> u64:
    """hstateenN: its bits are zero where mstateenN's are."""
    enables = hart.hstateen3
    if number & 3 == 0:
        enables = hart.hstateen0
    elif number & 3 == 1:
        enables = hart.hstateen1
    elif number & 3 == 2:
        enables = hart.hstateen2
    return enables & state_enables(hart, number)


@native
def state_enabled(hart: Hart, number: u64) -> bool:
    """mstateenN.SE opens sstateenN and hstateenN to S."""
    return hart.mode == M or state_enables(hart, number) & STATE_SE != 0


@native
def state_enabled_for_guest(hart: Hart, number: u64) -> bool:
    """hstateenN.SE opens sstateenN to VS."""
    return guest_state_enables(hart, number) & STATE_SE != 0


@native
def own_state(hart: Hart) -> u64:
    """The bits of sstateen0 that the hart's mode may use."""
    if hart.virtual != 0:
        return hart.mstateen0 & hart.hstateen0
    return hart.mstateen0


@native
def timer_enabled(hart: Hart, number: u64) -> bool:
    """menvcfg.STCE and mcounteren.TM open stimecmp to S (Sstc)."""
    return hart.mode == M or (hart.menvcfg & STCE != 0 and hart.mcounteren & TIME != 0)


@native
def timer_enabled_for_guest(hart: Hart, number: u64) -> bool:
    """henvcfg.STCE and hcounteren.TM open it to VS."""
    return hart.henvcfg & STCE != 0 and hart.hcounteren & TIME != 0


class sstatus(Csr, at=0x100):
    """The part of mstatus that S may see."""

    SIE, SPIE, SPP = rw(1), rw(5), rw(8)
    FS, SUM, MXR = rw(14, 13), rw(18), rw(19)
    UXL = const(33, 32, 2)
    SD = derived(63, 63, floats_dirty)
    changes = INTERRUPTS | TRANSLATION | FLOATS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.mstatus & VISIBLE

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.mstatus = (hart.mstatus & ~VISIBLE) | value


VISIBLE = sstatus.open  # of mstatus: what sstatus shows, and changes


class sie(Csr, at=0x104):
    """The delegated bits of mie."""

    ENABLES = rw(15, 0)
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.mie & hart.mideleg & SUPERVISOR_INTERRUPTS

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mask = hart.mideleg & SUPERVISOR_INTERRUPTS
        hart.mie = (hart.mie & ~mask) | (value & mask)


class stvec(Csr, at=0x105):
    """Where traps to S go: 4-byte aligned, vectored for interrupts if MODE is 1."""

    BASE, VECTORED = rw(63, 2), rw(0)


class scounteren(Csr, at=0x106):
    """Which counters U may read."""

    COUNTERS = rw(31, 0)


class senvcfg(Csr, at=0x10A):
    """What U may do with cache blocks, and whether its fences order device accesses too."""

    FIOM, CBCFE, CBZE = rw(0), rw(6), rw(7)
    CBIE = warl(5, 4, legal_cbie)
    guards = (environment_enabled,)
    guest_guards = (environment_enabled_for_guest,)


class sstateen0(Csr, at=0x10C):
    """What state U may use; a bit is writable only where mstateen0 has it."""

    C = rw(0)
    guards = (state_enabled,)
    guest_guards = (state_enabled_for_guest,)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.sstateen0 & own_state(hart)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mask = own_state(hart)
        hart.sstateen0 = (hart.sstateen0 & ~mask) | (value & mask)


class sstateen1(Csr, at=range(0x10D, 0x110)):
    """No state is controlled here."""

    NOTHING = const(63, 0, 0)
    guards = (state_enabled,)
    guest_guards = (state_enabled_for_guest,)


class sscratch(Csr, at=0x140):
    """A word for S's trap handler."""

    WORD = rw(63, 0)


class sepc(Csr, at=0x141):
    """Where the last trap to S came from."""

    PC = rw(63, 1)


class scause(Csr, at=0x142):
    """Why the last trap to S was taken."""

    INTERRUPT, CODE = rw(63), wlrl(62, 0)


class stval(Csr, at=0x143):
    """What the last trap to S was about: an address, or an instruction word."""

    VALUE = rw(63, 0)


class sip(Csr, at=0x144):
    """The delegated bits of mip; S may write its software interrupt only."""

    SSIP = rw(1)
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return interrupts_pending(hart) & hart.mideleg & SUPERVISOR_INTERRUPTS

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mask = hart.mideleg & (1 << SSI)
        hart.mip = (hart.mip & ~mask) | (value & mask)


class stimecmp(Csr, at=0x14D):
    """When S's timer interrupt becomes pending (Sstc)."""

    TIME = rw(63, 0)
    guards = (timer_enabled,)
    guest_guards = (timer_enabled_for_guest,)
    changes = INTERRUPTS


class satp(Csr, at=0x180):
    """Address translation: mode, address space, and the root table's page number.

    A write of an unsupported mode changes nothing at all (privileged spec 12.1.11).
    """

    MODE, ASID, PPN = rw(63, 60), rw(59, 44), rw(43, 0)
    guards = (satp_allowed,)
    guest_guards = (satp_allowed_to_guest,)
    changes = ADDRESS_SPACE

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.satp

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mode = value >> 60
        if mode == BARE or SV39 <= mode <= SV57:
            hart.satp = value
