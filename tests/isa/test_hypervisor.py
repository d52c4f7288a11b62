"""What lockstep with Spike cannot compare of H: a guest's timer, and harts that have no H."""

from __future__ import annotations

import pytest

from ringzero.isa.csrs.registry import NUMBERS, csr_read, csr_write
from ringzero.isa.hart import GUEST_INTERRUPTS, H, Hart, M, S, add_hypervisor, reset
from ringzero.isa.privileged.trap import (
    ILLEGAL_INSTRUCTION,
    INTERRUPT,
    STCE,
    STI,
    VIRTUAL_INSTRUCTION,
    VSTI,
    Trap,
    interrupts_pending,
    pending_interrupt,
    take_trap,
)
from ringzero.isa.registry import BY_NAME
from ringzero.lang import u64


class Clock:
    """A host that has nothing but the time."""

    time = 1000

    def now(self, hart: Hart) -> u64:
        return u64(self.time)


def made(*, hypervisor: bool = True) -> Hart:
    hart = Hart()
    reset(hart, u64(0), u64(0x8000_0000))
    if hypervisor:
        add_hypervisor(hart)
    hart.host = Clock()
    return hart


def guest() -> Hart:
    """A hart in VS-mode whose guest has its own timer, at 600 on its own clock."""
    hart = made()
    for name, value in (
        ("menvcfg", STCE), ("mcounteren", 7), ("henvcfg", STCE), ("hcounteren", 7),
        ("htimedelta", -500), ("hideleg", 1 << VSTI), ("vstvec", 0x4000), ("vsstatus", 2),
    ):  # fmt: skip
        csr_write(hart, u64(NUMBERS[name]), u64(value & (1 << 64) - 1))
    hart.mode, hart.virtual = u64(S), u64(1)
    csr_write(hart, u64(NUMBERS["stimecmp"]), u64(600))
    csr_write(hart, u64(NUMBERS["sie"]), u64(1 << STI))
    return hart


def test_a_guest_has_a_timer_of_its_own() -> None:
    hart = guest()
    assert (hart.vstimecmp, hart.stimecmp) == (600, (1 << 64) - 1)
    assert hart.mie == 1 << VSTI
    assert csr_read(hart, u64(NUMBERS["time"])) == 500
    assert pending_interrupt(hart) == 0
    hart.host.time = 1100
    assert csr_read(hart, u64(NUMBERS["sip"])) == 1 << STI
    assert pending_interrupt(hart) == INTERRUPT | VSTI


def test_the_guest_takes_its_interrupt_by_the_supervisors_number() -> None:
    hart = guest()
    hart.host.time = 1100
    take_trap(hart, pending_interrupt(hart), u64(0), u64(0x1234))
    assert (hart.vscause, hart.vsepc, hart.pc) == (INTERRUPT | STI, 0x1234, 0x4000)
    assert (hart.mode, hart.virtual, hart.vsstatus & 2) == (S, 1, 0)


def test_a_timer_that_henvcfg_keeps_from_the_guest() -> None:
    hart = guest()
    hart.henvcfg = u64(0)
    hart.host.time = 1100
    assert interrupts_pending(hart) & (1 << VSTI) == 0
    with pytest.raises(Trap):
        csr_write(hart, u64(NUMBERS["stimecmp"]), u64(0))
    assert hart.cause == VIRTUAL_INSTRUCTION


def of_h() -> list[str]:
    return [name for name, n in NUMBERS.items() if n >> 8 in (2, 6, 0xE) or n in (0x34A, 0x34B)]


@pytest.mark.parametrize("name", of_h())
def test_without_h_its_csrs_are_absent(name: str) -> None:
    hart = made(hypervisor=False)
    with pytest.raises(Trap):
        csr_read(hart, u64(NUMBERS[name]))
    assert hart.cause == ILLEGAL_INSTRUCTION


def test_without_h_nothing_of_it_can_be_written() -> None:
    hart, ones = made(hypervisor=False), u64((1 << 64) - 1)
    for name in ("mstatus", "medeleg", "mideleg", "mie", "mip"):
        csr_write(hart, u64(NUMBERS[name]), ones)
    assert hart.mstatus >> 38 & 3 == 0
    assert hart.medeleg & (0xF << 20 | 1 << 10) == 0
    assert (hart.mideleg | hart.mie | hart.mip) & GUEST_INTERRUPTS == 0
    assert csr_read(hart, u64(NUMBERS["misa"])) & H == 0


def test_without_h_its_instructions_are_illegal() -> None:
    hart = made(hypervisor=False)
    hart.mode = u64(M)
    for name in ("hlv.w", "hlvx.hu"):
        with pytest.raises(Trap):
            BY_NAME[name].function(hart, u64(0))
        assert hart.cause == ILLEGAL_INSTRUCTION
    with pytest.raises(Trap):
        BY_NAME["hfence.gvma"].function(hart, u64(0), u64(0), u64(0), u64(0))
    assert hart.cause == ILLEGAL_INSTRUCTION


def test_what_hstateen0_hides_from_a_guest_stays_as_it_was() -> None:
    """Smstateen: such a bit of sstateen0 is read-only zero in VS-mode."""
    hart = made()
    csr_write(hart, u64(NUMBERS["mstateen0"]), u64(1 << 63 | 1))
    csr_write(hart, u64(NUMBERS["hstateen0"]), u64(1 << 63))
    csr_write(hart, u64(NUMBERS["sstateen0"]), u64(1))
    hart.mode, hart.virtual = u64(S), u64(1)
    assert csr_read(hart, u64(NUMBERS["sstateen0"])) == 0
    csr_write(hart, u64(NUMBERS["sstateen0"]), u64(0))
    hart.virtual = u64(0)
    assert csr_read(hart, u64(NUMBERS["sstateen0"])) == 1
