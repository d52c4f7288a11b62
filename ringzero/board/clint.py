"""The CLINT, which is also ACLINT's MSWI and MTIMER at their usual offsets: what its registers do.

`registers` is a memory of the window's size in which each register stands at its offset; `mtime`
alone is the board's clock. Harts are 0 to `harts` - 1. The device of the board is this text in
CPython; native engines compile it, so that no interrupt between harts needs Python.
"""

from __future__ import annotations

from ringzero.lang import native, ptr, read_once, u8, u32, u64, write_once

SIZE = 0x1_0000
MSIP, MTIMECMP, MTIME = 0, 0x4000, 0xBFF8


@native
def software(registers: ptr[u8], hart: u64) -> u32:
    """A hart's msip: whether its software interrupt is pending."""
    return read_once(u32, registers, MSIP + hart * 4)


@native
def deadline(registers: ptr[u8], hart: u64) -> u64:
    """A hart's mtimecmp: its timer is due when mtime is not less."""
    return read_once(u64, registers, MTIMECMP + hart * 8)


@native
def is_register(harts: u64, offset: u64, size: u64) -> bool:
    """Whether an access is one to a register, or to half of a wide one."""
    if offset & (size - 1) != 0:
        return False
    if offset < MTIMECMP:
        return size == 4 and offset >> 2 < harts
    return (size == 4 or size == 8) and (
        (offset - MTIMECMP) >> 3 < harts or offset & ~u64(7) == MTIME
    )


@native
def read_register(registers: ptr[u8], harts: u64, mtime: u64, offset: u64, size: u64) -> u64:
    """What an access reads; zero where no register is."""
    if not is_register(harts, offset, size):
        return u64(0)
    if offset & ~u64(7) == MTIME:
        value = mtime >> ((offset & 4) << 3)
        return value if size == 8 else value & 0xFFFF_FFFF
    if size == 8:
        return read_once(u64, registers, offset)
    return u64(read_once(u32, registers, offset))


@native
def write_register(registers: ptr[u8], harts: u64, offset: u64, size: u64, value: u64) -> u64:
    """Write a register that is not mtime; the hart whose lines may change, or `harts` if none."""
    if not is_register(harts, offset, size) or offset & ~u64(7) == MTIME:
        return harts
    if offset < MTIMECMP:
        write_once(u32, registers, offset, u32(value & 1))
        return offset >> 2
    if size == 8:
        write_once(u64, registers, offset, value)
    else:
        write_once(u32, registers, offset, u32(value & 0xFFFF_FFFF))
    return (offset - MTIMECMP) >> 3
