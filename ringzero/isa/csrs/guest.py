"""The CSRs of a guest (privileged spec 21.2.11 on): what VS-mode knows as sstatus, stvec and so on.

`stands_for` says which; HS-mode reaches them by numbers of their own.
"""

from __future__ import annotations

from ringzero.isa.csr import Csr, const, derived, rw, wlrl
from ringzero.isa.csrs import supervisor
from ringzero.isa.csrs.machine import floats_dirty, hypervisor_present
from ringzero.isa.csrs.supervisor import timer_enabled
from ringzero.isa.hart import ADDRESS_SPACE, FLOATS, INTERRUPTS, TRANSLATION, Hart
from ringzero.isa.privileged.paging import BARE, SV39, SV57
from ringzero.isa.privileged.trap import VSSI, interrupts_pending
from ringzero.lang import native, u64


class vsstatus(Csr, at=0x200):
    """sstatus of a guest. FS has to be on here and in mstatus."""

    SIE, SPIE, SPP = rw(1), rw(5), rw(8)
    FS, SUM, MXR = rw(14, 13), rw(18), rw(19)
    UXL = const(33, 32, 2)
    SD = derived(63, 63, floats_dirty)
    stands_for = supervisor.sstatus
    guards = (hypervisor_present,)
    changes = INTERRUPTS | TRANSLATION | FLOATS


class vsie(Csr, at=0x204):
    """The bits of mie that hideleg gives to the guest, by the numbers that it knows."""

    ENABLES = rw(15, 0)
    stands_for = supervisor.sie
    guards = (hypervisor_present,)
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return (hart.mie & hart.hideleg) >> 1

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.mie = (hart.mie & ~hart.hideleg) | ((value << 1) & hart.hideleg)


class vstvec(Csr, at=0x205):
    """Where traps to VS go."""

    BASE, VECTORED = rw(63, 2), rw(0)
    stands_for = supervisor.stvec
    guards = (hypervisor_present,)


class vsscratch(Csr, at=0x240):
    """A word for VS's trap handler."""

    WORD = rw(63, 0)
    stands_for = supervisor.sscratch
    guards = (hypervisor_present,)


class vsepc(Csr, at=0x241):
    """Where the last trap to VS came from."""

    PC = rw(63, 1)
    stands_for = supervisor.sepc
    guards = (hypervisor_present,)


class vscause(Csr, at=0x242):
    """Why the last trap to VS was taken."""

    INTERRUPT, CODE = rw(63), wlrl(62, 0)
    stands_for = supervisor.scause
    guards = (hypervisor_present,)


class vstval(Csr, at=0x243):
    """What the last trap to VS was about."""

    VALUE = rw(63, 0)
    stands_for = supervisor.stval
    guards = (hypervisor_present,)


class vsip(Csr, at=0x244):
    """The bits of mip that hideleg gives to the guest, by the numbers that it knows."""

    SSIP = rw(1)
    stands_for = supervisor.sip
    guards = (hypervisor_present,)
    changes = INTERRUPTS

    @native
    def get(hart: Hart, number: u64) -> u64:
        return (interrupts_pending(hart) & hart.hideleg) >> 1

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mask = hart.hideleg & (1 << VSSI)
        hart.mip = (hart.mip & ~mask) | ((value << 1) & mask)


class vstimecmp(Csr, at=0x24D):
    """When the guest's timer interrupt becomes pending, by its own time (Sstc)."""

    TIME = rw(63, 0)
    stands_for = supervisor.stimecmp
    guards = (hypervisor_present, timer_enabled)
    changes = INTERRUPTS


class vsatp(Csr, at=0x280):
    """The guest's address translation.

    A write of an unsupported mode changes nothing by the name of satp, and here all but the mode
    (privileged spec 21.2.18).
    """

    MODE, ASID, PPN = rw(63, 60), rw(59, 44), rw(43, 0)
    stands_for = supervisor.satp
    guards = (hypervisor_present,)
    changes = ADDRESS_SPACE

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.vsatp

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        mode = value >> 60
        if mode == BARE or SV39 <= mode <= SV57:
            hart.vsatp = value
        elif hart.virtual == 0:
            hart.vsatp = (hart.vsatp & (15 << 60)) | (value & ((1 << 60) - 1))
