"""Hypervisor CSRs (privileged spec 21.2): what HS-mode holds for the guests it runs.

They exist on harts with the H extension; the CSRs of the guest itself stand in `guest.py`.
"""

from __future__ import annotations

from ringzero.isa.csr import Csr, const, rw, warl
from ringzero.isa.csrs.machine import hypervisor_present, legal_cbie
from ringzero.isa.csrs.supervisor import (
    environment_enabled,
    guest_state_enables,
    satp_allowed,
    state_enabled,
    state_enables,
)
from ringzero.isa.hart import (
    ADDRESS_SPACE,
    GUEST_INTERRUPTS,
    GUEST_MAPPINGS,
    INTERRUPTS,
    Hart,
)
from ringzero.isa.privileged.paging import ADUE, BARE, PBMTE, SV39, SV57
from ringzero.isa.privileged.trap import STCE, VSEI, VSSI, VSTI, interrupts_pending
from ringzero.lang import native, u64

DELEGABLE = 1 << VSSI | 1 << VSTI | 1 << VSEI  # interrupts that VS-mode may take
FEATURES = ADUE | PBMTE | STCE  # bits of henvcfg that are zero where menvcfg's are
OTHERS = 0xFFFF_FFFF_FFFF_FFFF ^ FEATURES


class hstatus(Csr, at=0x600):
    """Where the last trap to HS came from, and what traps out of VS. There are no guest lines."""

    GVA, SPV, SPVP, HU = rw(6), rw(7), rw(8), rw(9)
    VTVM, VTW, VTSR = rw(20), rw(21), rw(22)
    VSXL = const(33, 32, 2)
    guards = (hypervisor_present,)


class hedeleg(Csr, at=0x602):
    """Which exceptions of VS and VU go to VS's handler."""

    LOW, PAGE_FAULTS, STORE_PAGE, CHECKS = rw(8, 0), rw(13, 12), rw(15), rw(19, 18)
    guards = (hypervisor_present,)


class hideleg(Csr, at=0x603):
    """Which interrupts are VS's."""

    VSSI, VSTI, VSEI = rw(2), rw(6), rw(10)
    guards = (hypervisor_present,)
    changes = INTERRUPTS


class hie(Csr, at=0x604):
    """mie's bits for guests."""

    ENABLES = rw(15, 0)
    guards = (hypervisor_present,)
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.mie & GUEST_INTERRUPTS

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.mie = (hart.mie & ~GUEST_INTERRUPTS) | (value & GUEST_INTERRUPTS)


class htimedelta(Csr, at=0x605):
    """What a guest's time is ahead of the board's."""

    DELTA = rw(63, 0)
    guards = (hypervisor_present,)
    changes = INTERRUPTS


class hcounteren(Csr, at=0x606):
    """Which counters VS may read."""

    COUNTERS = rw(31, 0)
    guards = (hypervisor_present,)


class hgeie(Csr, at=0x607):
    """There are no guest external interrupt lines to enable."""

    NONE = const(63, 0, 0)
    guards = (hypervisor_present,)


class henvcfg(Csr, at=0x60A):
    """menvcfg, for guests; a feature that menvcfg keeps from S is not theirs either."""

    FIOM, CBCFE, CBZE = rw(0), rw(6), rw(7)
    CBIE = warl(5, 4, legal_cbie)
    FEATURE = rw(63, 61)
    guards = (hypervisor_present, environment_enabled)
    changes = INTERRUPTS | GUEST_MAPPINGS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.henvcfg & (hart.menvcfg | OTHERS)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mask = hart.menvcfg | OTHERS
        hart.henvcfg = (hart.henvcfg & ~mask) | (value & mask)


class hstateen0(Csr, at=0x60C):
    """Which state VS may use."""

    C, CSRIND, ENVCFG, SE = rw(0), rw(60), rw(62), rw(63)
    guards = (hypervisor_present, state_enabled)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.hstateen0 & hart.mstateen0

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.hstateen0 = (hart.hstateen0 & ~hart.mstateen0) | (value & hart.mstateen0)


class hstateen1(Csr, at=range(0x60D, 0x610)):
    """Whether VS may use sstateen1 to sstateen3."""

    SE = rw(63)
    guards = (hypervisor_present, state_enabled)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return guest_state_enables(hart, number)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        if state_enables(hart, number) != 0:
            if number == 0x60D:
                hart.hstateen1 = value
            elif number == 0x60E:
                hart.hstateen2 = value
            else:
                hart.hstateen3 = value


class htval(Csr, at=0x643):
    """The guest physical address, shifted right by two, of a guest-page fault taken in HS."""

    VALUE = rw(63, 0)
    guards = (hypervisor_present,)


class hip(Csr, at=0x644):
    """mip's bits for guests; only the software interrupt is writable here."""

    VSSIP = rw(2)
    guards = (hypervisor_present,)
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return interrupts_pending(hart) & GUEST_INTERRUPTS

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.mip = (hart.mip & ~(1 << VSSI)) | value


class hvip(Csr, at=0x645):
    """The interrupts that the hypervisor itself makes pending for its guest."""

    VSSIP, VSTIP, VSEIP = rw(2), rw(6), rw(10)
    guards = (hypervisor_present,)
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.mip & DELEGABLE

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.mip = (hart.mip & ~DELEGABLE) | value


class htinst(Csr, at=0x64A):
    """Which access of the hardware itself to page tables raised that fault."""

    VALUE = rw(63, 0)
    guards = (hypervisor_present,)


class hgatp(Csr, at=0x680):
    """The G-stage: mode, VMID, and its 16 KiB root table's page number.

    A write of an unsupported mode keeps the mode (privileged spec 21.2.10).
    """

    MODE, VMID, PPN = rw(63, 60), rw(57, 44), rw(43, 2)
    guards = (hypervisor_present, satp_allowed)
    changes = ADDRESS_SPACE

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.hgatp

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mode = value >> 60
        if mode != BARE and not SV39 <= mode <= SV57:
            value = (hart.hgatp & (15 << 60)) | (value & ((1 << 60) - 1))
        hart.hgatp = value


class hgeip(Csr, at=0xE12):
    """There are no guest external interrupt lines to be pending."""

    NONE = const(63, 0, 0)
    guards = (hypervisor_present,)
