"""Reading a hart's CSRs quickly, whoever keeps the hart: plain arithmetic on its fields.

`test_views.py` holds each of these against what the CSR's own definition reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringzero.isa.csrs.hypervisor import DELEGABLE, FEATURES
from ringzero.isa.csrs.registry import ALL
from ringzero.isa.extensions import misa
from ringzero.isa.hart import GUEST_INTERRUPTS, Hart
from ringzero.isa.privileged.trap import STCE

SSTATUS = 0x8000_0003_000C_6122
STIP, VSTIP = 1 << 5, 1 << 6
OWN = 0x222
MASK = (1 << 64) - 1


def dirty(value: int) -> int:
    """A status register with SD."""
    return value | 1 << 63 if value >> 13 & 3 == 3 else value


def status(hart: Any) -> int:
    """mstatus, with SD."""
    return dirty(int(hart.mstatus) | 0xA_0000_0000)


def guest_state(index: int) -> Callable[[Any], int]:
    """hstateen1 to hstateen3."""
    return lambda hart: (
        int(getattr(hart, f"hstateen{index}")) & int(getattr(hart, f"mstateen{index}"))
    )


def guest_allows(hart: Any) -> int:
    """What hstateen0 lets the present mode see."""
    return int(hart.hstateen0) if int(hart.virtual) else MASK


def pending(hart: Any) -> int:
    """mip, while mtime is 0."""
    value = int(hart.mip) | int(hart.lines)
    if int(hart.menvcfg) & STCE:
        value = value & ~STIP | (STIP if int(hart.stimecmp) == 0 else 0)
        if int(hart.henvcfg) & STCE and int(hart.htimedelta) >= int(hart.vstimecmp):
            value |= VSTIP
    return value


def counter(offset: str, bit: int) -> Callable[[Any], int]:
    """mcycle or minstret."""

    def read(hart: Any) -> int:
        start = int(getattr(hart, offset))
        stopped = int(hart.mcountinhibit) >> bit & 1
        return start if stopped else start + int(hart.retired) & MASK

    return read


def stored(name: str, constant: int) -> Callable[[Any], int]:
    """A CSR with a field of its own."""
    return lambda hart: int(getattr(hart, name)) | constant


def element(name: str, index: int) -> Callable[[Any], int]:
    """A CSR in an array of the hart."""
    return lambda hart: int(getattr(hart, name)[index])


READERS: dict[int, Callable[[Any], int]] = {
    number: (lambda hart, value=csr.constant: value)  # type: ignore[misc]
    for csr in ALL
    for number in range(csr.first, csr.last + 1, csr.step)
}
READERS |= {csr.first: stored(csr.name, csr.constant) for csr in ALL if csr.name in Hart.fields}
READERS |= {0x3A0 + 2 * i: element("pmpcfg", i) for i in range(2)}
READERS |= {0x3B0 + i: element("pmpaddr", i) for i in range(16)}
READERS |= {0x60D + i: guest_state(1 + i) for i in range(3)}
READERS |= {
    0x001: lambda hart: int(hart.fcsr) & 0x1F,
    0x002: lambda hart: int(hart.fcsr) >> 5,
    0x100: lambda hart: status(hart) & SSTATUS,
    0x104: lambda hart: int(hart.mie) & int(hart.mideleg) & OWN,
    0x10C: lambda hart: int(hart.sstateen0) & int(hart.mstateen0) & guest_allows(hart),
    0x144: lambda hart: pending(hart) & int(hart.mideleg) & OWN,
    0x200: lambda hart: dirty(int(hart.vsstatus) | 0x2_0000_0000),
    0x204: lambda hart: (int(hart.mie) & int(hart.hideleg)) >> 1,
    0x244: lambda hart: (pending(hart) & int(hart.hideleg)) >> 1,
    0x301: lambda hart: misa() | int(hart.extensions),
    0x604: lambda hart: int(hart.mie) & GUEST_INTERRUPTS,
    0x60A: lambda hart: int(hart.henvcfg) & (int(hart.menvcfg) | FEATURES ^ MASK),
    0x60C: lambda hart: int(hart.hstateen0) & int(hart.mstateen0),
    0x644: lambda hart: pending(hart) & GUEST_INTERRUPTS,
    0x645: lambda hart: int(hart.mip) & DELEGABLE,
    0x300: status,
    0x344: pending,
    0xB00: counter("mcycle_offset", 0),
    0xC00: counter("mcycle_offset", 0),
    0xB02: counter("minstret_offset", 2),
    0xC02: counter("minstret_offset", 2),
    0xC01: lambda hart: int(hart.htimedelta) if int(hart.virtual) else 0,
    0xF14: lambda hart: int(hart.hartid),
}


def seen_as(own: Callable[[Any], int], guest: Callable[[Any], int]) -> Callable[[Any], int]:
    """A CSR whose number means another one while V=1."""
    return lambda hart: guest(hart) if int(hart.virtual) else own(hart)


QUICK: dict[int, Callable[[Any], int]] = dict(READERS)  # by number alone
READERS |= {
    csr.first: seen_as(QUICK[csr.first], QUICK[csr.guest.first]) for csr in ALL if csr.guest
}
