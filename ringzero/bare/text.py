"""Text for people: strings and numbers, over whatever puts one byte where people read.

A program binds `put_byte` to its console: a UART in M-mode, an SBI call or a system call above.
"""

from __future__ import annotations

from ringzero.lang import native, port, ptr, u8, u64


@port
def put_byte(byte: u8) -> None:
    """Show one byte."""


@native
def put(text: ptr[u8]) -> None:
    """Show a NUL-terminated string."""
    i = u64(0)
    while text[i] != 0:
        put_byte(text[i])
        i += 1


@native(inline=False)
def put_decimal(value: u64) -> None:
    """Show an unsigned number."""
    digits = u8[20]()
    count, left = u64(0), value
    while True:
        digits[count] = u8(left % 10) + 48
        count += 1
        left //= 10
        if left == 0:
            break
    while count > 0:
        count -= 1
        put_byte(digits[count])


@native(inline=False)
def put_hex(value: u64) -> None:
    """Show a number as 0x…, without leading zeros."""
    put("0x")
    shift = 60 - leading_zeros(value)
    while True:
        digit = u8(value >> shift & 15)
        put_byte(digit + 48 if digit < 10 else digit + 87)
        if shift == 0:
            break
        shift -= 4


@native
def leading_zeros(value: u64) -> u64:
    """Leading zero bits, at most 60: the last digit is always shown."""
    count = u64(0)
    while count < 60 and value >> (60 - count) & 15 == 0:
        count += 4
    return count
