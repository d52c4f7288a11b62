"""Machine-level CSRs (privileged spec chapter 3)."""

from __future__ import annotations

from ringzero.isa.csr import Csr, const, derived, rw, warl, wlrl
from ringzero.isa.extensions import misa as misa_value
from ringzero.isa.hart import (
    FLOATS,
    GUEST_INTERRUPTS,
    INTERRUPTS,
    MAPPINGS,
    TRANSLATION,
    H,
    Hart,
)
from ringzero.isa.privileged.counters import (
    cycle_count,
    instret_count,
    set_cycle_count,
    set_inhibit,
    set_instret_count,
)
from ringzero.isa.privileged.trap import (
    SEI,
    SSI,
    STATUS_FS,
    STATUS_GVA,
    STATUS_MPV,
    STCE,
    STI,
    VSSI,
    interrupts_pending,
)
from ringzero.lang import native, u64

NO_MODE = 2  # MPP: no mode has this number
SUPERVISOR_INTERRUPTS = 1 << SSI | 1 << STI | 1 << SEI
GUEST_EXCEPTIONS = 1 << 10 | 0xF << 20  # of medeleg: they exist with H only


@native
def legal_mpp(new: u64, old: u64) -> u64:
    """There is no mode 2; asking for it gives U."""
    if new == NO_MODE:
        return u64(0)
    return new


@native
def legal_cbie(new: u64, old: u64) -> u64:
    """cbo.inval traps (0), flushes (1) or invalidates (3); 2 is reserved."""
    if new == 2:
        return u64(0)
    return new


@native
def hypervisor_present(hart: Hart, number: u64) -> bool:
    """The CSR is H's."""
    return hart.extensions & H != 0


@native
def with_hypervisor(hart: Hart, value: u64, bits: int) -> u64:
    """A value without the bits that only H defines, where there is no H."""
    if hart.extensions & H == 0:
        return value & ~bits
    return value


@native
def floats_dirty(status: u64) -> u64:
    """SD: some extension's state is dirty, and only floating point can be."""
    return u64(status & STATUS_FS == STATUS_FS)


class mstatus(Csr, at=0x300):
    """What the hart may do now, and what it was doing before the last trap."""

    SIE, MIE, SPIE, MPIE, SPP = rw(1), rw(3), rw(5), rw(7), rw(8)
    MPP = warl(12, 11, legal_mpp)
    FS, MPRV, SUM, MXR = rw(14, 13), rw(17), rw(18), rw(19)
    TVM, TW, TSR = rw(20), rw(21), rw(22)
    GVA, MPV = rw(38), rw(39)  # with H
    UXL, SXL = const(33, 32, 2), const(35, 34, 2)
    SD = derived(63, 63, floats_dirty)
    changes = INTERRUPTS | TRANSLATION | FLOATS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.mstatus

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.mstatus = with_hypervisor(hart, value, STATUS_GVA | STATUS_MPV)


class misa(Csr, at=0x301):
    """The extensions by letter; none can be switched off."""

    ALWAYS = const(63, 0, misa_value())

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.extensions

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        pass


class medeleg(Csr, at=0x302):
    """Which exceptions of the modes below M go to S's handler."""

    LOW, PAGE_FAULTS, STORE_PAGE, CHECKS = rw(10, 1), rw(13, 12), rw(15), rw(19, 18)
    GUEST = rw(23, 20)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.medeleg

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.medeleg = with_hypervisor(hart, value, GUEST_EXCEPTIONS)


class mideleg(Csr, at=0x303):
    """Which interrupts are S's; with H those of VS-mode are, always."""

    SSI, STI, SEI = rw(1), rw(5), rw(9)
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.mideleg

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.mideleg = with_hypervisor(hart, value | GUEST_INTERRUPTS, GUEST_INTERRUPTS)


class mie(Csr, at=0x304):
    """Interrupt enables."""

    SSIE, MSIE, STIE, MTIE, SEIE, MEIE = rw(1), rw(3), rw(5), rw(7), rw(9), rw(11)
    VSSIE, VSTIE, VSEIE, SGEIE = rw(2), rw(6), rw(10), rw(12)  # with H
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.mie

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.mie = with_hypervisor(hart, value, GUEST_INTERRUPTS)


class mtvec(Csr, at=0x305):
    """Where traps to M go: 4-byte aligned, vectored for interrupts if MODE is 1."""

    BASE, VECTORED = rw(63, 2), rw(0)


class mcounteren(Csr, at=0x306):
    """Which counters S may read."""

    COUNTERS = rw(31, 0)


class menvcfg(Csr, at=0x30A):
    """What the modes below M have: cache blocks, page-table features, their own timer."""

    FIOM, CBCFE, CBZE = rw(0), rw(6), rw(7)
    CBIE = warl(5, 4, legal_cbie)
    ADUE, PBMTE, STCE = rw(61), rw(62), rw(63)
    changes = INTERRUPTS | MAPPINGS


class mtval2(Csr, at=0x34B):
    """The guest physical address, shifted right by two, of a guest-page fault taken in M."""

    VALUE = rw(63, 0)
    guards = (hypervisor_present,)


class mtinst(Csr, at=0x34A):
    """Which access of the hardware itself to page tables raised that fault."""

    VALUE = rw(63, 0)
    guards = (hypervisor_present,)


class mstateen0(Csr, at=0x30C):
    """Which state S may use: senvcfg, sstateen0, custom state."""

    C, CSRIND, ENVCFG, SE0 = rw(0), rw(60), rw(62), rw(63)


class mstateen1(Csr, at=0x30D):
    """Whether S may use sstateen1."""

    SE = rw(63)


class mstateen2(Csr, at=0x30E):
    """Whether S may use sstateen2."""

    SE = rw(63)


class mstateen3(Csr, at=0x30F):
    """Whether S may use sstateen3."""

    SE = rw(63)


class mcountinhibit(Csr, at=0x320):
    """Which counters stand still. There is nothing to stop at bit 1, time."""

    CY, REST = rw(0), rw(31, 2)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.mcountinhibit

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        set_inhibit(hart, value)


class mhpmevent3(Csr, at=range(0x323, 0x340)):
    """What the event counters count: nothing."""

    EVENT = const(63, 0, 0)


class mscratch(Csr, at=0x340):
    """A word for M's trap handler."""

    WORD = rw(63, 0)


class mepc(Csr, at=0x341):
    """Where the last trap to M came from."""

    PC = rw(63, 1)


class mcause(Csr, at=0x342):
    """Why the last trap to M was taken."""

    INTERRUPT, CODE = rw(63), wlrl(62, 0)


class mtval(Csr, at=0x343):
    """What the last trap to M was about: an address, or an instruction word."""

    VALUE = rw(63, 0)


class mip(Csr, at=0x344):
    """Pending interrupts: stored bits, device lines, and stimecmp's comparison."""

    SSIP, STIP, SEIP = rw(1), rw(5), rw(9)
    VSSIP = rw(2)  # with H, where hvip holds the others
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return interrupts_pending(hart)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mask = with_hypervisor(hart, u64(SUPERVISOR_INTERRUPTS | 1 << VSSI), 1 << VSSI)
        if hart.menvcfg & STCE != 0:
            mask = mask & ~(1 << STI)
        hart.mip = (hart.mip & ~mask) | (value & mask)


class mcycle(Csr, at=0xB00):
    """Cycles; this machine takes one per instruction."""

    COUNT = rw(63, 0)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return cycle_count(hart)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        set_cycle_count(hart, value)


class minstret(Csr, at=0xB02):
    """Instructions retired."""

    COUNT = rw(63, 0)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return instret_count(hart)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        set_instret_count(hart, value)


class mhpmcounter3(Csr, at=range(0xB03, 0xB20)):
    """Event counters; none counts."""

    COUNT = const(63, 0, 0)


class tselect(Csr, at=0x7A0):
    """There are no triggers to select."""

    NONE = const(63, 0, 0)


class tdata1(Csr, at=range(0x7A1, 0x7A5)):
    """tdata1 to tdata3 and tinfo: type 0 says that the trigger does not exist."""

    NONE = const(63, 0, 0)


class mvendorid(Csr, at=0xF11):
    """Not a commercial implementation."""

    ID = const(63, 0, 0)


class marchid(Csr, at=0xF12):
    """No number was allocated for this architecture."""

    ID = const(63, 0, 0)


class mimpid(Csr, at=0xF13):
    """The version of the implementation is not told here."""

    ID = const(63, 0, 0)


class mhartid(Csr, at=0xF14):
    """Which hart this is."""

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.hartid

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        pass


class mconfigptr(Csr, at=0xF15):
    """There is no configuration structure."""

    POINTER = const(63, 0, 0)
