"""User-level CSRs: floating-point control and the read-only views of the counters."""

from __future__ import annotations

from ringzero.isa.csr import Csr, const, rw
from ringzero.isa.hart import Hart, M, U
from ringzero.isa.ports import now
from ringzero.isa.privileged.counters import cycle_count, instret_count
from ringzero.isa.privileged.trap import dirty_fp, floats_usable
from ringzero.lang import native, u64


@native
def floats_on(hart: Hart, number: u64) -> bool:
    """FS is not Off (privileged spec 3.1.6.6)."""
    return floats_usable(hart)


@native
def counter_enabled(hart: Hart, number: u64) -> bool:
    """mcounteren lets S and U see a counter, and scounteren lets U (privileged spec 3.1.11)."""
    visible = ~u64(0)
    if hart.mode < M:
        visible = hart.mcounteren
    if hart.mode == U and hart.virtual == 0:
        visible = visible & hart.scounteren
    return (visible >> (number & 31)) & 1 != 0


@native
def counter_enabled_for_guest(hart: Hart, number: u64) -> bool:
    """hcounteren lets VS and VU see a counter, and scounteren lets VU."""
    visible = hart.hcounteren
    if hart.mode == U:
        visible = visible & hart.scounteren
    return (visible >> (number & 31)) & 1 != 0


class fflags(Csr, at=0x001):
    """Accrued floating-point exceptions: bits 4:0 of fcsr."""

    NX, UF, OF, DZ, NV = rw(0), rw(1), rw(2), rw(3), rw(4)
    guards = (floats_on,)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.fcsr & 0x1F

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.fcsr = (hart.fcsr & ~0x1F) | value
        dirty_fp(hart)


class frm(Csr, at=0x002):
    """The dynamic rounding mode: bits 7:5 of fcsr. Reserved modes are held, and trap when used."""

    RM = rw(2, 0)
    guards = (floats_on,)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return (hart.fcsr >> 5) & 7

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.fcsr = (hart.fcsr & ~0xE0) | (value << 5)
        dirty_fp(hart)


class fcsr(Csr, at=0x003):
    """Floating-point control and status."""

    FLAGS, RM = rw(4, 0), rw(7, 5)
    guards = (floats_on,)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return hart.fcsr

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        hart.fcsr = value
        dirty_fp(hart)


class cycle(Csr, at=0xC00):
    """mcycle, to read."""

    guards = (counter_enabled,)
    guest_guards = (counter_enabled_for_guest,)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return cycle_count(hart)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        pass


class time(Csr, at=0xC01):
    """The board's mtime, to read; a guest's is shifted by htimedelta."""

    guards = (counter_enabled,)
    guest_guards = (counter_enabled_for_guest,)

    @native
    def get(hart: Hart, number: u64) -> u64:
        if hart.virtual != 0:
            return now(hart) + hart.htimedelta
        return now(hart)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        pass


class instret(Csr, at=0xC02):
    """minstret, to read."""

    guards = (counter_enabled,)
    guest_guards = (counter_enabled_for_guest,)

    @native
    def get(hart: Hart, number: u64) -> u64:
        return instret_count(hart)

    @native
    def put(hart: Hart, number: u64, value: u64) -> None:
        pass


class hpmcounter3(Csr, at=range(0xC03, 0xC20)):
    """Event counters, to read; none counts."""

    COUNT = const(63, 0, 0)
    guards = (counter_enabled,)
    guest_guards = (counter_enabled_for_guest,)
