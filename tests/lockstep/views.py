"""Reading a hart's CSRs quickly, whoever keeps the hart: plain arithmetic on its fields.

`test_views.py` holds each of these against what the CSR's own definition reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringzero.isa.csrs import ALL
from ringzero.isa.hart import Hart
from ringzero.isa.trap import STCE

SSTATUS = 0x8000_0003_000C_6122
STIP = 1 << 5
MASK = (1 << 64) - 1


def status(hart: Any) -> int:
    """mstatus, with SD."""
    value = int(hart.mstatus) | 0xA_0000_0000
    return value | 1 << 63 if value >> 13 & 3 == 3 else value


def pending(hart: Any) -> int:
    """mip, while mtime is 0."""
    value = int(hart.mip) | int(hart.lines)
    if int(hart.menvcfg) & STCE:
        value = value & ~STIP | (STIP if int(hart.stimecmp) == 0 else 0)
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
READERS |= {
    0x001: lambda hart: int(hart.fcsr) & 0x1F,
    0x002: lambda hart: int(hart.fcsr) >> 5,
    0x100: lambda hart: status(hart) & SSTATUS,
    0x104: lambda hart: int(hart.mie) & int(hart.mideleg),
    0x10C: lambda hart: int(hart.sstateen0) & int(hart.mstateen0),
    0x144: lambda hart: pending(hart) & int(hart.mideleg),
    0x300: status,
    0x344: pending,
    0xB00: counter("mcycle_offset", 0),
    0xC00: counter("mcycle_offset", 0),
    0xB02: counter("minstret_offset", 2),
    0xC02: counter("minstret_offset", 2),
    0xC01: lambda hart: 0,
    0xF14: lambda hart: int(hart.hartid),
}
