"""Sign extension to register width: RV64 keeps every narrow result sign-extended."""

from __future__ import annotations

from ringzero.lang import i8, i16, i32, native, u64


@native(inline=True)
def sext8(value: u64) -> u64:
    """The low byte, sign-extended."""
    return u64(i8(value))


@native(inline=True)
def sext16(value: u64) -> u64:
    """The low halfword, sign-extended."""
    return u64(i16(value))


@native(inline=True)
def sext32(value: u64) -> u64:
    """The low word, sign-extended."""
    return u64(i32(value))
