"""Every privileged operation of the kernel, in one place.

A paravirtual kernel is the same text with these functions bound to hypercalls (`paravirt.py`). What
the self-tests do to the hart on purpose is not for binding.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, fence_page, fence_translation, wait
from ringzero.guests import sbi
from ringzero.guests.entry import Frame, enter_user
from ringzero.isa.csrs.supervisor import sstatus
from ringzero.isa.privileged.trap import SSI, STI
from ringzero.lang import native, u64

SIE, SPIE, SPP = sstatus.SIE.bits, sstatus.SPIE.bits, sstatus.SPP.bits
SUM, MXR = sstatus.SUM.bits, sstatus.MXR.bits
FS_INITIAL = 1 << 13
SOFTWARE_PENDING, TIMER_PENDING = 1 << SSI, 1 << STI
SV39 = 8 << 60


@native
def setup() -> None:
    """Before anything else: a flavour may look for its hypervisor."""


@native
def enter(frame: Frame) -> None:
    """Go down to a user's context, and return when it next traps."""
    enter_user(frame)


@native
def read_status() -> u64:
    """sstatus."""
    return csr.sstatus.read()


@native
def interrupts_off() -> u64:
    """Mask interrupts; whether they were on, for `interrupts_restore`."""
    return csr.sstatus.read_clear(u64(SIE)) & SIE


@native
def interrupts_restore(before: u64) -> None:
    """Enable interrupts again if they were enabled before."""
    csr.sstatus.set(before)


@native
def interrupts_on() -> None:
    csr.sstatus.set(u64(SIE))


@native
def enable_interrupts(which: u64) -> None:
    """Set sie."""
    csr.sie.write(which)


@native
def user_access(allowed: bool) -> None:
    """Whether the kernel may touch user pages (SUM)."""
    if allowed:
        csr.sstatus.set(u64(SUM))
    else:
        csr.sstatus.clear(u64(SUM))


@native
def set_space(root: u64, space: u64) -> None:
    """Use the tables at `root`, under the address space identifier `space`."""
    csr.satp.write(SV39 | space << 44 | root >> 12)


@native
def get_space() -> u64:
    """satp."""
    return csr.satp.read()


@native
def flush_all() -> None:
    """Tables have changed anywhere."""
    fence_translation()


@native
def flush_page(address: u64) -> None:
    """The table entry of one page has changed."""
    fence_page(address)


@native
def mapped_page(address: u64) -> None:
    """An entry of one page was not valid and is now; a hart may remember that it was not."""
    fence_page(address)


@native
def set_timer(time: u64) -> None:
    """The next timer interrupt."""
    sbi.set_timer(time)


@native
def now() -> u64:
    """The clock, 10 MHz on this board."""
    return csr.time.read()


@native
def idle() -> None:
    """Wait for an interrupt."""
    wait()
